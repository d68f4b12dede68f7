//! Twin of `rope.wgsl`: rotary position embedding (Su et al., arXiv 2104.09864), half-split pairs.

use super::slots::Activations;

/// Rotates every head of every row: pair `i` is `(x[i], x[i + head_dim / 2])`.
///
/// `table` holds `[cos, sin]` per row and pair, `[rows, head_dim / 2]`.
pub(crate) fn rope(table: &[[f32; 2]], head_dim: usize, rows: usize, heads: &mut Activations) {
    for (row, table) in heads.rows_mut(rows).zip(table.chunks(head_dim / 2)) {
        row.chunks_mut(head_dim).for_each(|head| rotate(head, table));
    }
}

/// Rotates one head by the `[cos, sin]` of its pairs.
#[inline]
pub(crate) fn rotate(head: &mut [f32], table: &[[f32; 2]]) {
    let (low, high) = head.split_at_mut(head.len() / 2);
    for ((low, high), [cos, sin]) in low.iter_mut().zip(high).zip(table) {
        (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
    }
}
