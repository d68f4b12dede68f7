//! The tensors of a model under their Hugging Face names, and arithmetic on all of them at once.
//!
//! Weights, gradients, the moments of the optimiser and the accumulator of LAA have the same form,
//! so one type serves for all four.

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use otaro::{Architecture, Norm, WeightMatrix};

/// A trained tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in a Hugging Face checkpoint.
    pub name: String,
    /// `[out, in]`; a norm is one row.
    pub shape: [usize; 2],
    /// Whether `otaro pack` quantises it: every matrix is, no norm is.
    pub packed: bool,
}

impl Parameter {
    /// Whether it is a matrix of a layer: neither embedding nor head nor norm.
    pub fn in_layer(&self) -> bool {
        self.packed && self.name.starts_with("model.layers.")
    }
}

/// Every trained tensor of a model: the matrices in the order of a checkpoint, then the norms.
pub fn parameters(architecture: &Architecture) -> Vec<Parameter> {
    let matrices = WeightMatrix::all(architecture).map(|matrix| {
        let grid = matrix.grid(architecture);
        Parameter { name: matrix.to_string(), shape: [grid.rows, grid.cols], packed: true }
    });
    let norms = Norm::all(architecture).map(|norm| Parameter {
        name: norm.to_string(),
        shape: [1, architecture.hidden_size],
        packed: false,
    });
    matrices.chain(norms).collect()
}

/// One tensor per [`Parameter`], in the same order.
#[derive(Clone, Debug)]
pub struct TensorSet(Vec<Tensor<2>>);

impl TensorSet {
    /// Tensors in the order of [`parameters`].
    pub fn new(tensors: Vec<Tensor<2>>) -> Self {
        Self(tensors)
    }

    /// Tensors of zeros with the shapes of `self`.
    pub fn zeros_like(&self) -> Self {
        Self(self.0.iter().map(Tensor::zeros_like).collect())
    }

    /// The tensors.
    pub fn tensors(&self) -> &[Tensor<2>] {
        &self.0
    }

    /// The tensors, moved out.
    pub fn into_tensors(self) -> Vec<Tensor<2>> {
        self.0
    }

    /// How many numbers there are in all tensors together.
    pub fn len(&self) -> usize {
        self.0.iter().map(|tensor| tensor.dims().iter().product::<usize>()).sum()
    }

    /// Whether there is no number at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `self + other`.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.into_iter().zip(other.0).map(|(a, b)| a + b).collect())
    }

    /// `self * factor`.
    pub fn scale(self, factor: f32) -> Self {
        Self(self.0.into_iter().map(|tensor| tensor.mul_scalar(factor)).collect())
    }

    /// The scalar product of all numbers, summed up in f64 over the tensors.
    pub fn dot(&self, other: &Self) -> f64 {
        let products = self.0.iter().zip(&other.0).map(|(a, b)| (a.clone() * b.clone()).sum()).collect();
        // One read for all tensors: on a GPU each read waits for the device.
        let sums = Tensor::<1>::cat(products, 0).into_data();
        sums.iter::<f64>().sum()
    }

    /// The Euclidean norm of all numbers.
    pub fn norm(&self) -> f64 {
        self.dot(self).sqrt()
    }

    /// Copies every tensor to the host, rows one after another.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_host(&self) -> Result<Vec<Vec<f32>>> {
        self.0.iter().map(|tensor| Ok(tensor.try_to_data()?.try_into_vec()?)).collect()
    }

    /// Makes tensors of the shapes of `parameters` from values of the host.
    ///
    /// # Errors
    /// When a tensor has another number of values than its shape.
    pub fn from_host(values: Vec<Vec<f32>>, parameters: &[Parameter], device: &Device) -> Result<Self> {
        ensure!(
            values.len() == parameters.len(),
            "{} tensors where {} belong",
            values.len(),
            parameters.len()
        );
        let tensor = |(values, parameter): (Vec<f32>, &Parameter)| {
            let [rows, cols] = parameter.shape;
            ensure!(
                values.len() == rows * cols,
                "{} has {} values, its shape is {rows} x {cols}",
                parameter.name,
                values.len()
            );
            Ok(Tensor::from_data(TensorData::new(values, [rows, cols]), device))
        };
        values.into_iter().zip(parameters).map(tensor).collect::<Result<_>>().map(Self).context("tensors")
    }

    /// As [`Self::from_host`], from the values of all tensors one after another.
    ///
    /// # Errors
    /// When there are too few values.
    pub fn from_flat(values: &[f32], parameters: &[Parameter], device: &Device) -> Result<Self> {
        let mut rest = values;
        let mut tensors = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let (tensor, after) =
                rest.split_at_checked(parameter.shape.iter().product()).context("too few values")?;
            tensors.push(tensor.to_vec());
            rest = after;
        }
        Self::from_host(tensors, parameters, device)
    }
}
