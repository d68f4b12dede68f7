//! The kernels that read no weights, against plain formulas in f64.

use super::*;
use crate::rope::Rope;

/// Runs one operation over given rows of some slots and reads one back.
fn run(
    architecture: &Architecture,
    inputs: &[(Slot, &[f32])],
    position: usize,
    operation: impl Fn(&mut GpuDevice) -> Result<()>,
    output: Slot,
) -> Vec<f32> {
    let model = TestModel::write(architecture, &mut Made(architecture.clone(), |_, _, _| 1.0));
    let mut device = model.device();
    let rows = inputs[0].1.len() / architecture.width(inputs[0].0);
    device
        .begin(batch(&vec![0; rows], position, &precisions(architecture, Precision::E5M3)))
        .expect("a pass");
    for (slot, values) in inputs {
        device.write_slot(*slot, values);
    }
    operation(&mut device).expect("the operation");
    read(&mut device, output, rows)
}

/// Widths below and above a workgroup, odd, and of whole groups.
const WIDTHS: [usize; 4] = [3, 37, 256, 1030];

#[test]
fn rms_norm() {
    for width in WIDTHS {
        for rows in [1, 5] {
            let architecture = Architecture { hidden_size: width, ..ragged() };
            let hidden = random_values(1, rows * width);
            let actual =
                run(&architecture, &[(Slot::Hidden, &hidden)], 0, |d| d.rms_norm(Norm::Final), Slot::Normed);
            let row = |row: &[f32]| {
                let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
                let scale = 1.0 / (squares / width as f64 + f64::from(architecture.rms_norm_eps)).sqrt();
                let scaled = row
                    .iter()
                    .zip(0..)
                    .map(move |(&x, i)| f64::from(x) * scale * (0.5 + f64::from(i) / 64.0));
                scaled.map(|x| x as f32).collect::<Vec<_>>()
            };
            let expected: Vec<_> = hidden.chunks(width).flat_map(row).collect();
            assert_close(&format!("width {width}, {rows} rows"), &actual, &expected, 1e-6);
        }
    }
}

#[test]
fn swiglu_and_add() {
    for width in WIDTHS {
        for rows in [1, 5] {
            let architecture = Architecture { hidden_size: width, intermediate_size: width, ..ragged() };
            let what = format!("width {width}, {rows} rows");
            let b = random_values(3, rows * width);
            let a: Vec<f32> = random_values(2, rows * width).iter().map(|x| x * 20.0).collect();
            let actual =
                run(&architecture, &[(Slot::Gate, &a), (Slot::Up, &b)], 0, |d| d.swiglu(), Slot::Gate);
            let silu = |x: f64| x / (1.0 + (-x).exp());
            let expected: Vec<_> =
                a.iter().zip(&b).map(|(&a, &b)| (silu(f64::from(a)) * f64::from(b)) as f32).collect();
            assert_close(&format!("swiglu, {what}"), &actual, &expected, 1e-6);

            let actual = run(
                &architecture,
                &[(Slot::Hidden, &a), (Slot::Projected, &b)],
                0,
                |d| d.add(),
                Slot::Hidden,
            );
            let expected: Vec<_> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            assert_eq!(actual, expected, "add, {what}");
        }
    }
}

#[test]
fn swiglu_of_large_gates_is_finite() {
    let architecture = Architecture { intermediate_size: 6, ..ragged() };
    let gate = [-1e30, -1000.0, -90.0, 90.0, 1000.0, 1e30];
    let actual =
        run(&architecture, &[(Slot::Gate, &gate), (Slot::Up, &[1.0; 6])], 0, |d| d.swiglu(), Slot::Gate);
    assert_close("positive", &actual[3..], &gate[3..], 1e-6);
    assert!(actual[..3].iter().all(|value| value.abs() < 1e-6), "{actual:?}");
}

#[test]
fn rope() {
    for (heads, kv_heads, head_dim) in [(6, 2, 10), (4, 4, 64), (1, 1, 2), (2, 1, 256)] {
        for (rows, position) in [(1, 0), (3, 1000)] {
            let architecture = Architecture { heads, kv_heads, head_dim, ..ragged() };
            let query = random_values(4, rows * architecture.query_width());
            let key = random_values(5, rows * architecture.kv_width());
            let table = Rope::new(&architecture).table(position, rows);
            let inputs: [(Slot, &[f32]); 2] = [(Slot::Query, &query), (Slot::Key, &key)];
            for (slot, values) in inputs {
                let actual = run(&architecture, &inputs, position, |d| d.rope(), slot);
                let mut expected = values.to_vec();
                let tokens = expected.chunks_mut(architecture.width(slot)).zip(table.chunks(head_dim / 2));
                for (row, turns) in tokens {
                    for head in row.chunks_mut(head_dim) {
                        let (xs, ys) = head.split_at_mut(head_dim / 2);
                        for ((x, y), [cos, sin]) in xs.iter_mut().zip(ys).zip(turns) {
                            (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
                        }
                    }
                }
                let what =
                    format!("{slot:?}, {heads} / {kv_heads} heads of {head_dim}, {rows} rows at {position}");
                // The products may or may not be fused with the sum.
                assert_close(&what, &actual, &expected, 2e-7);
            }
        }
    }
}
