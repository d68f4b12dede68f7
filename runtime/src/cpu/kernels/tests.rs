//! Every kernel against its twin.

use std::num::NonZeroUsize;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sefp::{GROUP_SIZE, PackedMatrix, Precision, Reconstruction, Scale, TileView};

use super::{Call, Input, Quantised, multiply};
use crate::cpu::{matmul::matmul, options::CpuKernel, pool::Pool, slots::Activations, weights::Matrix};

/// Rows and columns: whole tiles, parts of tiles, one weight; one panel and more.
const SHAPES: [(usize, usize); 6] = [(16, 64), (1, 1), (17, 65), (130, 200), (64, 320), (75, 129)];
/// One, few and many, with every size of a last block.
const TOKENS: [usize; 13] = [1, 2, 3, 4, 5, 8, 9, 10, 11, 13, 17, 64, 65];

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).expect("threads")).expect("threads")
}

/// Weights of every size that SEFP has, groups of zeros among them.
fn weights(rows: usize, cols: usize, seed: u64) -> PackedMatrix {
    let mut random = StdRng::seed_from_u64(seed);
    let mut weights = vec![0.0_f32; rows * cols];
    for row in weights.chunks_mut(cols) {
        for group in row.chunks_mut(GROUP_SIZE) {
            let size = match random.random_range(0..6) {
                0 => continue,
                1 => 2.0_f32.powi(-15),
                2 => 65_000.0,
                _ => 2.0_f32.powi(random.random_range(-8..3)),
            };
            group.iter_mut().for_each(|weight| *weight = random.random_range(-1.0..1.0) * size);
        }
    }
    PackedMatrix::pack(&weights, rows, cols, Scale::Fine).expect("weights in range")
}

/// Activations with a group of zeros, one of tiny and one of huge values.
fn activations(rows: usize, width: usize, seed: u64) -> Activations {
    let mut random = StdRng::seed_from_u64(seed);
    let mut activations = Activations::new(width);
    activations.grow(rows);
    for row in activations.rows_mut(rows) {
        for group in row.chunks_mut(GROUP_SIZE) {
            let size = [0.0, 1e-20, 1e20, 1.0, 3.0, 0.1][random.random_range(0..6)];
            group.iter_mut().for_each(|x| *x = random.random_range(-1.0..1.0) * size);
        }
    }
    activations
}

/// The product of some rows by a kernel, row after row.
fn product(
    pool: &Pool,
    kernel: CpuKernel,
    tiles: TileView<'_>,
    (precision, reconstruction): (Precision, Reconstruction),
    input: &Activations,
    rows: std::ops::Range<usize>,
) -> Vec<f32> {
    let width = tiles.grid().rows;
    let mut output = Activations::new(width);
    output.grow(rows.len());
    if kernel == CpuKernel::Plain {
        matmul(pool, &Matrix::Packed { tiles, precision, reconstruction }, input, rows.clone(), &mut output);
    } else {
        let quantised = Quantised::new(pool, input, rows.clone());
        let input = match kernel.quantises() {
            true => Input::Int8(&quantised),
            false => Input::Full(input, rows.start, rows.len()),
        };
        let call = Call { tiles, precision, reconstruction, output: output.columns_mut(rows.len()) };
        multiply(pool, kernel, input, &[call]);
    }
    (0..rows.len()).flat_map(|row| output.row(row).to_vec()).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn settings() -> impl Iterator<Item = (Precision, Reconstruction)> {
    Precision::ALL
        .into_iter()
        .flat_map(|precision| Reconstruction::ALL.map(|reconstruction| (precision, reconstruction)))
}

fn twin(kernel: CpuKernel) -> CpuKernel {
    if kernel.quantises() { CpuKernel::Int8 } else { CpuKernel::Plain }
}

#[test]
fn every_kernel_computes_what_its_twin_computes() {
    let pool = pool(2);
    for kernel in CpuKernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
        for (seed, (rows, cols)) in (0..).zip(SHAPES) {
            let packed = weights(rows, cols, seed);
            for tokens in TOKENS {
                let input = activations(tokens, cols, seed + 100);
                for setting in settings() {
                    let compute = |kernel| product(&pool, kernel, packed.view(), setting, &input, 0..tokens);
                    let (got, wanted) = (compute(kernel), compute(twin(kernel)));
                    assert_eq!(
                        bits(&got),
                        bits(&wanted),
                        "{kernel} {rows} x {cols}, {tokens} tokens {setting:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn results_depend_neither_on_threads_nor_on_the_tokens_beside() {
    let (rows, cols, tokens) = (300, 200, 21);
    let packed = weights(rows, cols, 7);
    let input = activations(tokens, cols, 8);
    let setting = (Precision::E5M6, Reconstruction::Midpoint);
    for kernel in CpuKernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
        let whole = product(&pool(1), kernel, packed.view(), setting, &input, 0..tokens);
        for threads in [2, 3] {
            let got = product(&pool(threads), kernel, packed.view(), setting, &input, 0..tokens);
            assert_eq!(bits(&got), bits(&whole), "{kernel}, {threads} threads");
        }
        for part in [0..1, 20..21, 3..5, 5..13, 2..11, 4..21] {
            let got = product(&pool(2), kernel, packed.view(), setting, &input, part.clone());
            assert_eq!(bits(&got), bits(&whole[part.start * rows..part.end * rows]), "{kernel} {part:?}");
        }
    }
}

#[test]
fn planes_above_the_precision_need_not_be_there() {
    let packed = weights(40, 100, 3);
    let input = activations(9, 100, 4);
    for kernel in CpuKernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
        for (precision, reconstruction) in settings() {
            let planes: Vec<&[u32]> = packed.bits().iter().map(Vec::as_slice).collect();
            let fewer = TileView::new(
                packed.grid(),
                packed.scales(),
                packed.base(),
                &planes[..precision.bit_planes()],
            );
            for tokens in [1, 9] {
                let compute =
                    |tiles| product(&pool(1), kernel, tiles, (precision, reconstruction), &input, 0..tokens);
                assert_eq!(
                    bits(&compute(fewer.expect("the planes of the precision"))),
                    bits(&compute(packed.view())),
                    "{kernel}"
                );
            }
        }
    }
}

#[test]
fn activations_in_8_bits_cost_little() {
    let (rows, cols) = (64, 512);
    let mut random = StdRng::seed_from_u64(5);
    let values: Vec<f32> = (0..rows * cols).map(|_| random.random_range(-1.0..1.0)).collect();
    let packed = PackedMatrix::pack(&values, rows, cols, Scale::Fine).expect("weights in range");
    let mut input = Activations::new(cols);
    input.grow(3);
    input.values.iter_mut().for_each(|x| *x = random.random_range(-1.0..1.0));
    for setting in settings() {
        let compute = |kernel| product(&pool(1), kernel, packed.view(), setting, &input, 0..3);
        let (exact, int8) = (compute(CpuKernel::Plain), compute(CpuKernel::Int8));
        let power: f32 = exact.iter().map(|x| x * x).sum();
        let error: f32 = exact.iter().zip(&int8).map(|(a, b)| (a - b) * (a - b)).sum();
        // Rounding to steps of 1/127 of the largest of 64 even values leaves an error of 1/220 of them.
        let error = (error / power).sqrt();
        assert!((0.001..0.007).contains(&error), "{setting:?}: {error}");
    }
}

#[test]
fn what_is_not_finite_does_not_become_finite() {
    let packed = weights(20, 130, 1);
    for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut input = activations(9, 130, 2);
        input.values[input.stride * 4 + 70] = x;
        for kernel in CpuKernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
            for setting in settings() {
                for rows in [4..5, 3..6, 0..9] {
                    let got = product(&pool(1), kernel, packed.view(), setting, &input, rows.clone());
                    for (row, got) in rows.zip(got.chunks(20)) {
                        let finite = got.iter().all(|value| value.is_finite());
                        assert_eq!(finite, row != 4, "{kernel} {setting:?} row {row}");
                        assert!(row != 4 || kernel == CpuKernel::Plain || got.iter().all(|y| !y.is_finite()));
                    }
                }
            }
        }
    }
}

#[test]
fn activations_become_whole_numbers() {
    let mut input = Activations::new(70);
    input.grow(2);
    let row = &mut input.values[input.stride..];
    row[..5].copy_from_slice(&[-254.0, 127.0, 1.0, -3.0, 2.1]);
    row[64] = f32::MIN_POSITIVE / 4.0;
    let quantised = Quantised::new(&pool(1), &input, 1..2);
    assert_eq!(quantised.codes[..6], [-127, 64, 0, -2, 1, 0]);
    assert_eq!(quantised.scales, [2.0, 0.0]);
    assert_eq!(quantised.sums, [-64.0, 0.0]);
}
