//! Twin of `add.wgsl`: the residual connection.

use super::slots::Activations;

/// `sum += term`.
pub(crate) fn add(sum: &mut Activations, term: &Activations, rows: usize) {
    for (t, sum) in sum.rows_mut(rows).enumerate() {
        for (sum, term) in sum.iter_mut().zip(term.row(t)) {
            *sum += term;
        }
    }
}
