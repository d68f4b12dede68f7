//! Twin of `embed.wgsl`: gathers rows of the packed embedding matrix.

use super::{pool::Pool, slots::Activations, weights::Matrix};

/// `output[t] = embedding[tokens[t]]`.
pub(crate) fn embed(pool: &Pool, embedding: &Matrix<'_>, tokens: &[u32], output: &mut Activations) {
    let columns = output.columns_mut(tokens.len());
    pool.run(tokens.len(), |t| {
        // SAFETY: no other task has this row.
        embedding.decode_row(tokens[t] as usize, unsafe { columns.get(t, 0..columns.width) });
    });
}
