//! How a kernel takes its place in the framework's graph.

use std::{fmt::Debug, marker::PhantomData};

use burn::{
    backend::{
        Autodiff, Backend, DispatchKindConversion, DispatchTensor, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        flex::FlexTensor,
    },
    tensor::{DType, Shape, Tensor, TensorData},
};

/// An operation on `N` matrices, given row by row, that knows its gradient.
pub trait Kernel<const N: usize>: Clone + Debug + Send + 'static {
    /// What the forward pass leaves for the backward pass, beside the inputs.
    type Saved: Clone + Debug + Send + 'static;

    /// Computes the output.
    fn forward(&self, inputs: [&[f32]; N]) -> (Vec<f32>, Self::Saved);

    /// The gradient of every input, given that of the output. An input that is only ever a constant
    /// may get an empty one.
    fn backward(&self, inputs: [&[f32]; N], saved: &Self::Saved, gradient: &[f32]) -> [Vec<f32>; N];
}

/// The output of `kernel`, of the given shape; `None` where the inputs are not `f32` on the CPU, or
/// only some of them are part of a graph.
pub fn apply<K: Kernel<N>, const N: usize, const D: usize>(
    kernel: K,
    inputs: [&Tensor<2>; N],
    shape: [usize; D],
) -> Option<Tensor<D>> {
    if inputs.iter().any(|input| input.dtype() != DType::F32) {
        return None;
    }
    let Some(tracked) = primitives::<Autodiff<Flex>, N>(inputs) else {
        let inputs = primitives::<Flex, N>(inputs)?.map(|input| input.to_contiguous());
        let (output, _) = kernel.forward(inputs.each_ref().map(values));
        return Some(Tensor::from_primitive::<Flex>(tensor(output, shape.into())));
    };
    let nodes = tracked.each_ref().map(|input| input.node());
    let inputs = tracked.map(|input| input.into_primitive().to_contiguous());
    let (output, saved) = kernel.forward(inputs.each_ref().map(values));
    let output = tensor(output, shape.into());
    let step = Step(PhantomData::<K>).prepare::<NoCheckpointing>(nodes).compute_bound().stateful();
    Some(Tensor::from_primitive::<Autodiff<Flex>>(match step {
        OpsKind::Tracked(step) => step.finish((kernel, inputs, saved), output),
        OpsKind::UnTracked(step) => step.finish(output),
    }))
}

/// The backward step of a kernel.
#[derive(Debug)]
struct Step<K>(PhantomData<K>);

impl<K: Kernel<N>, const N: usize> Backward<Flex, N> for Step<K> {
    type State = (K, [FlexTensor; N], K::Saved);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (kernel, inputs, saved) = ops.state;
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let gradients = kernel.backward(inputs.each_ref().map(values), &saved, values(&gradient));
        for ((node, input), gradient) in ops.parents.into_iter().zip(&inputs).zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(gradient, input.layout().shape().clone()));
            }
        }
    }
}

fn primitives<B: Backend, const N: usize>(inputs: [&Tensor<2>; N]) -> Option<[B::FloatTensorPrimitive; N]>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    let primitives = inputs.into_iter().map(|input| input.clone().try_into_primitive::<B>().ok());
    primitives.collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("inputs are f32 and were made contiguous")
}

fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
