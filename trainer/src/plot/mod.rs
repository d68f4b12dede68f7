//! Plots as SVG text, on white so that they read on any page.

mod perplexity;
mod run;
mod style;
#[cfg(test)]
mod tests;

pub use perplexity::{Series, perplexity};
pub use run::{gradient_norms, loss_per_width, width_path};
