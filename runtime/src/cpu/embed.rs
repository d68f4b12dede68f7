//! Twin of `embed.wgsl`: gathers rows of the packed embedding matrix.

use super::{slots::Activations, weights::Matrix};

/// `output[t] = embedding[tokens[t]]`.
pub(crate) fn embed(embedding: &Matrix<'_>, tokens: &[u32], output: &mut Activations) {
    for (&token, row) in tokens.iter().zip(output.rows_mut(tokens.len())) {
        embedding.decode_row(token as usize, row);
    }
}
