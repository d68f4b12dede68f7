//! The kernels of the matrix products, one file for every instruction set, behind one function.
//!
//! `plain` is not here: it is the twin in [`matmul`](super::matmul). `exact` computes the same with
//! wider vectors, and `full` computes with weights that were never packed. All others quantise the activations to 8 bits and compute what [`int8`] defines,
//! bit for bit. To add an instruction set, implement [`driver::InstructionSet`], give it a name in
//! [`CpuKernel`] and a line in [`Call::run`]; the tests find it there.
//!
//! No result depends on the number of threads, nor on the tokens beside it.

#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "there are no fast kernels for this processor")
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod driver;
mod exact;
#[cfg(target_arch = "x86_64")]
mod exact_x86;
mod full;
mod int8;
#[cfg(target_arch = "aarch64")]
mod neon;
mod quantised;
mod tasks;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use sefp::{LANE_ROWS, Precision, Reconstruction, TileView};

pub(crate) use self::{
    full::{FullCall, multiply_full},
    quantised::Quantised,
};
use super::{
    options::CpuKernel,
    pool::Pool,
    slots::{Activations, Columns},
};

impl CpuKernel {
    /// Whether the activations are quantised to 8 bits.
    pub(crate) fn quantises(self) -> bool {
        !matches!(self, Self::Plain | Self::Exact)
    }
}

/// The activations of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// As they are, some rows of a buffer: for the exact kernels.
    Full(&'a Activations, usize, usize),
    /// In 8 bits: for all others.
    Int8(&'a Quantised),
}

impl Input<'_> {
    fn tokens(self) -> usize {
        match self {
            Self::Full(_, _, tokens) => tokens,
            Self::Int8(quantised) => quantised.tokens,
        }
    }
}

/// One product: `output = weight * input`.
pub(crate) struct Call<'a> {
    pub(crate) tiles: TileView<'a>,
    pub(crate) precision: Precision,
    pub(crate) reconstruction: Reconstruction,
    pub(crate) output: Columns<'a>,
}

/// Computes some products of one input, as one piece of work.
pub(crate) fn multiply(pool: &Pool, kernel: CpuKernel, input: Input<'_>, calls: &[Call<'_>]) {
    // Whoever chose the kernel has looked; the instructions must be there whatever happens.
    assert!(kernel.is_available(), "this processor cannot run the {kernel} kernels");
    let tasks = tasks::divide(calls.iter().map(|call| call.tiles.grid()), input.tokens(), pool.threads());
    pool.run(tasks.len(), |task| {
        let (call, tile_rows) = &tasks[task];
        // SAFETY: the kernel is available, and no other task has these rows of tiles of this call.
        unsafe { calls[*call].run(kernel, input, tile_rows.clone()) };
    });
}

impl<'a> Call<'a> {
    /// Some rows of tiles.
    ///
    /// # Safety
    /// The kernel is available; no other thread uses what these rows of tiles write.
    unsafe fn run(&'a self, kernel: CpuKernel, input: Input<'a>, tile_rows: Range<usize>) {
        let quantised = match input {
            Input::Full(input, first, tokens) => {
                // SAFETY: as of this function.
                return unsafe { exact::multiply(self, input, first..first + tokens, tile_rows) };
            }
            Input::Int8(quantised) => quantised,
        };
        let Self { tiles, precision, reconstruction, .. } = *self;
        let product = driver::Product { tiles, precision, reconstruction, input: quantised };
        // SAFETY: as of this function.
        unsafe {
            match kernel {
                #[cfg(target_arch = "x86_64")]
                CpuKernel::Avx2 => driver::multiply::<avx2::Avx2>(&product, tile_rows, &self.output),
                #[cfg(target_arch = "x86_64")]
                CpuKernel::Avx512Vnni => {
                    driver::multiply::<avx512::Avx512Vnni>(&product, tile_rows, &self.output);
                }
                #[cfg(target_arch = "aarch64")]
                CpuKernel::NeonDotprod => {
                    driver::multiply::<neon::NeonDotprod>(&product, tile_rows, &self.output);
                }
                #[cfg(target_arch = "aarch64")]
                CpuKernel::NeonI8mm => {
                    driver::multiply::<neon::NeonI8mm>(&product, tile_rows, &self.output);
                }
                _ => self.run_int8(&product, tile_rows),
            }
        }
    }

    /// # Safety
    /// No other thread uses what these rows of tiles write.
    unsafe fn run_int8(&self, product: &driver::Product<'_>, tile_rows: Range<usize>) {
        let mut sums = vec![[0.0; LANE_ROWS]; product.input.tokens];
        for tile_row in tile_rows {
            sums.fill([0.0; LANE_ROWS]);
            int8::multiply_tile_row(product, tile_row, &mut sums);
            // SAFETY: as of this function.
            unsafe { driver::store(&self.output, tile_row, 0, &sums) };
        }
    }
}
