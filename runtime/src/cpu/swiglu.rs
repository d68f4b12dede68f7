//! Twin of `swiglu.wgsl`: the gated activation of the feed-forward block (Shazeer, arXiv 2002.05202).

use super::{
    pool::Pool,
    simd::{Simd, exp, simd_function},
    slots::Activations,
};

/// `gate = gate * sigmoid(gate) * up`.
pub(crate) fn swiglu(gate: &mut Activations, up: &Activations, rows: usize) {
    for (t, gate) in gate.rows_mut(rows).enumerate() {
        for (gate, up) in gate.iter_mut().zip(up.row(t)) {
            *gate = *gate / (1.0 + (-*gate).exp()) * up;
        }
    }
}

/// Columns of a task.
const TASK_COLUMNS: usize = 1024;

/// [`swiglu`] with a faster exponential, by several threads.
pub(crate) fn fast_swiglu(pool: &Pool, gate: &mut Activations, up: &Activations, rows: usize) {
    let columns = gate.columns_mut(rows);
    let tasks = columns.width.div_ceil(TASK_COLUMNS);
    pool.run(rows * tasks, |task| {
        let (row, first) = (task / tasks, task % tasks * TASK_COLUMNS);
        let range = first..(first + TASK_COLUMNS).min(columns.width);
        // SAFETY: no other task has these columns of this row.
        let gate = unsafe { columns.get(row, range.clone()) };
        gate_by_sigmoid(gate, &up.row(row)[range]);
    });
}

simd_function! {
    fn gate_by_sigmoid(gate: &mut [f32], up: &[f32]) = gate_with
}

#[inline(always)]
fn gate_with<S: Simd>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp::<S>(-*gate)) * up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_way_computes_what_the_twin_computes() {
        let (width, rows) = (2500, 3);
        let activations = |step: f32| {
            let mut activations = Activations::new(width);
            activations.grow(rows);
            let values = activations.rows_mut(rows).flatten();
            (-(width as i32)..).zip(values).for_each(|(i, value)| *value = i as f32 * step);
            activations
        };
        // Arguments far beyond those whose exponential an f32 holds.
        let (mut expected, up) = (activations(0.05), activations(-0.001));
        let mut gate = expected.clone();
        *gate.values.last_mut().expect("a value") = 7.0;
        swiglu(&mut expected, &up, rows);
        let pool = Pool::new(std::num::NonZeroUsize::MIN.saturating_add(1)).expect("a pool");
        fast_swiglu(&pool, &mut gate, &up, rows);
        for row in 0..rows {
            for (a, b) in gate.row(row).iter().zip(expected.row(row)) {
                assert!((a - b).abs() <= 1e-6 * b.abs() + 1e-30, "{a} {b}");
            }
        }
        assert_eq!(gate.values.last(), Some(&7.0), "padding is not written");
    }
}
