//! The kernels that read packed weights: the decode bit for bit through `embed`, `matmul` and
//! `matvec` against sums in f64.

use super::*;

/// Weights of every magnitude that SEFP holds, of both signs, and groups of zeros.
fn wild(row: usize, col: usize) -> f32 {
    let mixed = (row * 64 + col).wrapping_mul(2_654_435_761) as u32;
    if (row + col / 64).is_multiple_of(5) {
        return if col.is_multiple_of(3) { -0.0 } else { 0.0 };
    }
    let exponent = (row * 7 + col / 64 * 3) % 34;
    let magnitude = f32::from_bits(((exponent as u32 + 127 - 18) << 23) | (mixed & 0x007f_ffff));
    if mixed & 0x0080_0000 != 0 { -magnitude } else { magnitude }
}

#[test]
fn embed_decodes_bit_for_bit() {
    let architecture = ragged();
    let model =
        TestModel::write(&architecture, &mut Made(architecture.clone(), |_, row, col| wild(row, col)));
    let matrix = WeightMatrix::Embedding;
    for reconstruction in Reconstruction::ALL {
        for (chunks, backend) in
            [("one chunk", model.backend(reconstruction)), ("chunks", model.chunked_backend(reconstruction))]
        {
            let mut device = backend.gpu_device().expect("a device");
            for precision in Precision::ALL {
                let view = model.checkpoint.tiles(matrix, precision).expect("tiles");
                let tokens: Vec<u32> = (0..architecture.vocab_size as u32).collect();
                for tokens in tokens.chunks(device.max_batch()) {
                    device.begin(batch(tokens, 0, &precisions(&architecture, precision))).expect("a pass");
                    device.embed().expect("embed");
                    let rows = read(&mut device, Slot::Hidden, tokens.len());
                    for (&token, actual) in tokens.iter().zip(rows.chunks(architecture.hidden_size)) {
                        let mut expected = vec![0.0; architecture.hidden_size];
                        view.decode_row(token as usize, precision, reconstruction, &mut expected);
                        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        assert_eq!(
                            bits(actual),
                            bits(&expected),
                            "row {token}, {precision}, {reconstruction}, {chunks}"
                        );
                    }
                }
            }
        }
    }
}

/// Compares products with sums in f64 of weights decoded by the codec. A sum in f32 is off by a
/// little of what was added up, whatever is left of it: hence relative to the sum of magnitudes.
#[track_caller]
fn assert_products(what: &str, actual: &[f32], expected: &[[f64; 2]]) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (&actual, &[sum, magnitudes])) in actual.iter().zip(expected).enumerate() {
        let difference = (f64::from(actual) - sum).abs();
        assert!(difference <= 1e-6 * magnitudes, "{what}: value {i} is {actual}, {sum} was expected");
    }
}

/// `weight * input` in f64 with the sum of magnitudes, from weights decoded by the codec.
fn reference(
    checkpoint: &Checkpoint,
    matrix: WeightMatrix,
    precision: Precision,
    reconstruction: Reconstruction,
    input: &[f32],
) -> Vec<[f64; 2]> {
    let view = checkpoint.tiles(matrix, precision).expect("tiles");
    let grid = view.grid();
    let mut row = vec![0.0; grid.cols];
    let mut columns = vec![Vec::new(); input.len() / grid.cols];
    for r in 0..grid.rows {
        view.decode_row(r, precision, reconstruction, &mut row);
        for (t, input) in input.chunks(grid.cols).enumerate() {
            let products = || row.iter().zip(input).map(|(&w, &x)| f64::from(w) * f64::from(x));
            columns[t].push([products().sum(), products().map(f64::abs).sum()]);
        }
    }
    columns.concat()
}

/// Matrices of every ragged kind: columns and rows that are no multiple of anything, a single row, a
/// single column.
#[test]
fn products_match_sums_in_f64() {
    let shapes = [
        ("ragged", ragged()),
        ("regular", regular()),
        ("37 x 172", Architecture { intermediate_size: 37, ..ragged() }),
        ("one row", Architecture { intermediate_size: 1, vocab_size: 1, hidden_size: 65, ..ragged() }),
    ];
    for (shape, architecture) in shapes {
        let model = TestModel::random(&architecture);
        for reconstruction in Reconstruction::ALL {
            for (chunks, backend) in [
                ("one chunk", model.backend(reconstruction)),
                ("chunks", model.chunked_backend(reconstruction)),
            ] {
                let mut device = backend.gpu_device().expect("a device");
                for precision in Precision::ALL {
                    for count in [1, 2, 3, 8, 19] {
                        let what =
                            format!("{shape}, {count} tokens, {precision}, {reconstruction}, {chunks}");
                        check_products(&what, &model, &mut device, precision, reconstruction, count);
                    }
                }
            }
        }
    }
}

fn check_products(
    what: &str,
    model: &TestModel,
    device: &mut GpuDevice,
    precision: Precision,
    reconstruction: Reconstruction,
    count: usize,
) {
    let architecture = model.checkpoint.architecture();
    let tokens = tokens(architecture, count);
    let projection = |projection| WeightMatrix::Layer(0, projection);
    for (matrix, input, output) in [
        (projection(crate::Projection::Gate), Slot::Normed, Slot::Gate),
        (projection(crate::Projection::Down), Slot::Gate, Slot::Projected),
        (architecture.head(), Slot::Normed, Slot::Logits),
    ] {
        let values = random_values(count as u64, count * architecture.width(input));
        device.begin(batch(&tokens, 0, &precisions(architecture, precision))).expect("a pass");
        device.write_slot(input, &values);
        device.matmul(matrix, input, 0..count, output).expect("matmul");
        let actual = read(device, output, count);
        let expected = reference(&model.checkpoint, matrix, precision, reconstruction, &values);
        assert_products(&format!("{matrix}, {what}"), &actual, &expected);
    }
}

/// What adapters that are GPUs run: invocations that share rows and sum up at the end.
#[test]
fn products_match_when_invocations_share_rows() {
    for split in [2, 16, 64] {
        let context = split_context(split);
        for architecture in [ragged(), Architecture { hidden_size: 700, intermediate_size: 37, ..ragged() }] {
            let model = TestModel::random(&architecture);
            for reconstruction in Reconstruction::ALL {
                let backend = GpuBackend::open(Arc::clone(&model.checkpoint), reconstruction, &context);
                let mut device = backend.expect("a backend").gpu_device().expect("a device");
                for precision in Precision::ALL {
                    let what = format!("split {split}, {precision}, {reconstruction}");
                    check_products(&what, &model, &mut device, precision, reconstruction, 1);
                }
            }
        }
    }
}

#[test]
fn rows_of_a_product_are_those_asked_for() {
    let architecture = ragged();
    let model = TestModel::random(&architecture);
    let mut device = model.device();
    let tokens = tokens(&architecture, 9);
    let values = random_values(3, 9 * architecture.hidden_size);
    for rows in [8..9, 3..5, 2..9, 4..4] {
        device.begin(batch(&tokens, 0, &precisions(&architecture, Precision::E5M6))).expect("a pass");
        device.write_slot(Slot::Normed, &values);
        device.matmul(WeightMatrix::Head, Slot::Normed, rows.clone(), Slot::Logits).expect("matmul");
        let actual = read(&mut device, Slot::Logits, rows.len());
        let input = &values[rows.start * architecture.hidden_size..rows.end * architecture.hidden_size];
        let expected = reference(
            &model.checkpoint,
            WeightMatrix::Head,
            Precision::E5M6,
            Reconstruction::Midpoint,
            input,
        );
        assert_products(&format!("rows {rows:?}"), &actual, &expected);
    }
}

#[test]
fn products_leave_padding_and_other_rows_alone() {
    let architecture = ragged();
    let model = TestModel::random(&architecture);
    let mut device = model.device();
    for count in [1, 3] {
        let tokens = tokens(&architecture, 5);
        device.begin(batch(&tokens, 0, &precisions(&architecture, Precision::E5M8))).expect("a pass");
        device.fill_slot(Slot::Gate, 7.0);
        device.write_slot(Slot::Normed, &random_values(1, 5 * architecture.hidden_size));
        device
            .matmul(WeightMatrix::Layer(0, crate::Projection::Gate), Slot::Normed, 0..count, Slot::Gate)
            .expect("matmul");
        let (width, stride) =
            (architecture.intermediate_size, architecture.intermediate_size.next_multiple_of(64));
        let all = device.read_padded(Slot::Gate, 5);
        for (row, values) in all.chunks(stride).enumerate() {
            let written = if row < count { width } else { 0 };
            assert!(
                values[..written].iter().all(|&value| value != 7.0),
                "row {row} of {count} is not written"
            );
            assert!(
                values[written..].iter().all(|&value| value == 7.0),
                "row {row} of {count} is overwritten"
            );
        }
    }
}
