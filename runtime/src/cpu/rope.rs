//! Twin of `rope.wgsl`: rotary position embedding (Su et al., arXiv 2104.09864), half-split pairs.

use super::slots::Activations;

/// Rotates every head of every row: pair `i` is `(x[i], x[i + head_dim / 2])`.
///
/// `table` holds `[cos, sin]` per row and pair, `[rows, head_dim / 2]`.
pub(crate) fn rope(table: &[[f32; 2]], head_dim: usize, rows: usize, heads: &mut Activations) {
    let half = head_dim / 2;
    for (row, table) in heads.rows_mut(rows).zip(table.chunks(half)) {
        for head in row.chunks_mut(head_dim) {
            let (low, high) = head.split_at_mut(half);
            for ((low, high), [cos, sin]) in low.iter_mut().zip(high).zip(table) {
                (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
            }
        }
    }
}
