//! The LLaMA model as the trainer sees it: named tensors, a forward pass and its loss.

mod device_quantize;
mod fake_quantize;
mod folder;
mod initialize;
mod llama;
mod loss;
mod tensor_set;

pub use fake_quantize::fake_quantize;
pub use folder::{load_folder, read_architecture, save_weights};
pub use initialize::initialize;
pub use llama::Llama;
pub use loss::{Targets, cross_entropy, distillation};
pub use tensor_set::{Parameter, TensorSet, parameters};
