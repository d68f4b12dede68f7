//! How near the matrix products come to the bandwidth of the memory:
//!
//! ```text
//! cargo run --release --example kernel_speed -- --bits 3,5,8 --tokens 1,64 --threads 1
//! ```
//!
//! A random matrix larger than the caches is cut into pieces. For one piece after the other, as many
//! bytes as the kernel would read are read and added up, elsewhere in the matrix, then the kernel
//! runs. The medians of both times make a row of the table, so that a thread that was held up now
//! and then does not count.

use std::{hint::black_box, num::NonZeroUsize, time::Instant};

use anyhow::Context;
use clap::Parser;
use otaro::{
    Precision, Reconstruction,
    cpu::{CpuKernel, CpuOptions, MatrixProduct},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sefp::{BIT_PLANES, TileGrid, TileView};

/// Weights of the model for which tokens per second are told: LLaMA 3.2 of 1B.
const MODEL_WEIGHTS: f64 = 1.236e9;

/// Shares into which a reading of memory is divided.
const SHARES: usize = 16;

#[derive(Parser)]
#[command(about = "Measures the matrix products of the CPU against a plain reading of memory")]
struct Arguments {
    /// Kernels, separated by commas; every one of this processor that is fast by default.
    #[arg(long, value_delimiter = ',')]
    kernel: Vec<CpuKernel>,
    /// Mantissa bits, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "3,4,5,6,7,8")]
    bits: Vec<Precision>,
    /// Tokens of a product, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    tokens: Vec<usize>,
    /// Size of the matrix at E5M8, in MiB.
    #[arg(long, default_value_t = 1024)]
    mib: usize,
    /// Columns of the matrix.
    #[arg(long, default_value_t = 2048)]
    columns: usize,
    /// Rows of a piece.
    #[arg(long, default_value_t = 4096)]
    rows: usize,
    /// Threads.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// How weights are read back.
    #[arg(long, default_value = "midpoint")]
    reconstruction: Reconstruction,
}

/// Pieces of a random matrix: planes that lie one after the other in memory.
struct Pieces {
    grid: TileGrid,
    count: usize,
    scales: Vec<u8>,
    base: Vec<u32>,
    bits: [Vec<u32>; BIT_PLANES],
}

impl Pieces {
    fn new(grid: TileGrid, count: usize) -> Self {
        let mut random = StdRng::seed_from_u64(1);
        let mut words = |words: usize| (0..words * count).map(|_| random.random()).collect::<Vec<u32>>();
        let base = words(grid.base_words());
        let bits = std::array::from_fn(|_| words(grid.bit_words()));
        let scales = (0..grid.scale_bytes() * count).map(|_| random.random_range(1..=240)).collect();
        Self { grid, count, scales, base, bits }
    }

    fn view(&self, piece: usize) -> anyhow::Result<TileView<'_>> {
        let part = |words: usize| piece * words..(piece + 1) * words;
        let bits: [&[u32]; BIT_PLANES] =
            std::array::from_fn(|plane| &self.bits[plane][part(self.grid.bit_words())]);
        let scales = &self.scales[part(self.grid.scale_bytes())];
        TileView::new(self.grid, scales, &self.base[part(self.grid.base_words())], &bits)
            .context("planes of the grid's own size")
    }

    /// Seconds that it takes to read as much as a piece has at a precision, on the threads of a product.
    fn probe(&self, piece: usize, precision: Precision, product: &MatrixProduct) -> f64 {
        // What lies before the piece was read longest ago; the planes are taken as they come.
        let piece = (piece + self.count / 2) % self.count;
        let bits = &self.bits[..precision.bit_planes()];
        let planes = std::iter::once((&self.base, self.grid.base_words()))
            .chain(bits.iter().map(|plane| (plane, self.grid.bit_words())));
        let parts: Vec<_> = planes.map(|(plane, words)| &plane[piece * words..(piece + 1) * words]).collect();
        let start = Instant::now();
        product.run(SHARES, |share| read(&parts, share));
        start.elapsed().as_secs_f64()
    }
}

/// Adds up one of the shares of some parts of memory.
fn read(parts: &[&[u32]], share: usize) {
    for part in parts {
        let words = part.len() / SHARES;
        let mut sums = [0_u32; 32];
        let (lines, _) = part[share * words..(share + 1) * words].as_chunks::<32>();
        for line in lines {
            // The kernels look ahead too.
            #[cfg(target_arch = "x86_64")]
            // SAFETY: it is a hint, which reads nothing.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().wrapping_add(1024).cast());
                _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().wrapping_add(1040).cast());
            }
            for (sum, word) in sums.iter_mut().zip(line) {
                *sum = sum.wrapping_add(*word);
            }
        }
        black_box(sums);
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let grid = TileGrid::new(arguments.rows, arguments.columns);
    let count = ((arguments.mib << 20) / grid.bytes(Precision::MAX).max(1)).max(2);
    let pieces = Pieces::new(grid, count);
    let kernels = match arguments.kernel.is_empty() {
        true => vec![CpuKernel::fastest()],
        false => arguments.kernel.clone(),
    };
    println!("| kernel | tokens | precision | GB/s | of the probe | GMAC/s | tokens/s of 1B |");
    println!("|---|---:|---|---:|---:|---:|---:|");
    for kernel in kernels {
        for &tokens in &arguments.tokens {
            let mut random = StdRng::seed_from_u64(2);
            let input: Vec<f32> =
                (0..tokens * arguments.columns).map(|_| random.random_range(-1.0..1.0)).collect();
            let options = CpuOptions {
                threads: Some(arguments.threads),
                kernel: Some(kernel),
                ..CpuOptions::default()
            };
            let mut product = MatrixProduct::new(&options, &input, arguments.columns)?;
            for &precision in &arguments.bits {
                measure(&arguments, &pieces, &mut product, (kernel, tokens, precision))?;
            }
        }
    }
    Ok(())
}

fn measure(
    arguments: &Arguments,
    pieces: &Pieces,
    product: &mut MatrixProduct,
    (kernel, tokens, precision): (CpuKernel, usize, Precision),
) -> anyhow::Result<()> {
    let (mut probes, mut products) = (Vec::new(), Vec::new());
    for piece in 0..pieces.count {
        probes.push(pieces.probe(piece, precision, product));
        let view = pieces.view(piece)?;
        let start = Instant::now();
        product.compute(view, precision, arguments.reconstruction);
        products.push(start.elapsed().as_secs_f64());
        black_box(product.output(0));
    }
    let (probe, time) = (median(&mut probes), median(&mut products));
    let bytes = pieces.grid.bytes(precision) as f64;
    let weights = (pieces.grid.rows * pieces.grid.cols) as f64;
    println!(
        "| {kernel} | {tokens} | {precision} | {:.1} | {:.2} | {:.1} | {:.1} |",
        bytes / time / 1e9,
        probe / time,
        weights * tokens as f64 / time / 1e9,
        weights * tokens as f64 / time / MODEL_WEIGHTS,
    );
    Ok(())
}
