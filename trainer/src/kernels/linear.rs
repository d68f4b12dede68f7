//! Products with a weight.

use super::{
    Kernel,
    matrix::{Store, View, multiply},
};

/// `x weight^T` of `x`, `[rows, inputs]`, and a weight, `[outputs, inputs]`.
///
/// The framework would compute the gradient of the weight transposed and turn it afterwards.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Columns of `x` and of the weight.
    pub inputs: usize,
}

impl Kernel<2> for Linear {
    type Saved = ();

    fn forward(&self, [x, weight]: [&[f32]; 2]) -> (Vec<f32>, ()) {
        let (x, weight, [rows, outputs]) = self.views(x, weight);
        let mut output = vec![0.0; rows * outputs];
        multiply(&mut output, outputs, Store::Replace, x, weight.transposed());
        (output, ())
    }

    fn backward(&self, [x, weight]: [&[f32]; 2], _: &(), gradient: &[f32]) -> [Vec<f32>; 2] {
        let (mut of_x, mut of_weight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
        let (x, weight, [rows, outputs]) = self.views(x, weight);
        let gradient = View::new(gradient, rows, outputs, outputs);
        multiply(&mut of_x, self.inputs, Store::Replace, gradient, weight);
        multiply(&mut of_weight, self.inputs, Store::Replace, gradient.transposed(), x);
        [of_x, of_weight]
    }
}

impl Linear {
    fn views<'a>(&self, x: &'a [f32], weight: &'a [f32]) -> (View<'a>, View<'a>, [usize; 2]) {
        let [rows, outputs] = [x, weight].map(|values| values.len() / self.inputs);
        let [x, weight] = [(x, rows), (weight, outputs)]
            .map(|(values, rows)| View::new(values, rows, self.inputs, self.inputs));
        (x, weight, [rows, outputs])
    }
}
