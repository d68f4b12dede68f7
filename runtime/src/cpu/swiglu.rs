//! Twin of `swiglu.wgsl`: the gated activation of the feed-forward block (Shazeer, arXiv 2002.05202).

use super::slots::Activations;

/// `gate = gate * sigmoid(gate) * up`.
pub(crate) fn swiglu(gate: &mut Activations, up: &Activations, rows: usize) {
    for (t, gate) in gate.rows_mut(rows).enumerate() {
        for (gate, up) in gate.iter_mut().zip(up.row(t)) {
            *gate = *gate / (1.0 + (-*gate).exp()) * up;
        }
    }
}
