//! A matrix product apart from a model, so that kernels can be measured from outside.

use sefp::{Precision, Reconstruction, TileView};

use super::{
    kernels::{Call, Input, Quantised, multiply},
    matmul::matmul,
    options::{CpuKernel, CpuOptions},
    pool::Pool,
    slots::Activations,
    weights::Matrix,
};
use crate::Result;

/// Products with the same activations.
#[derive(Debug)]
pub struct MatrixProduct {
    pool: Pool,
    kernel: CpuKernel,
    input: Activations,
    quantised: Quantised,
    tokens: usize,
    output: Activations,
}

impl MatrixProduct {
    /// Takes the activations of every token, row-major `[tokens, columns]`.
    ///
    /// # Errors
    /// As [`CpuBackend::new`](super::CpuBackend::new).
    ///
    /// # Panics
    /// If `input` is not made of whole rows.
    pub fn new(options: &CpuOptions, input: &[f32], columns: usize) -> Result<Self> {
        assert!(columns > 0 && input.len().is_multiple_of(columns), "rows of {columns} values");
        let kernel = options.available_kernel()?;
        let pool = Pool::new(options.thread_count())?;
        let tokens = input.len() / columns;
        let mut activations = Activations::new(columns);
        activations.grow(tokens);
        for (to, from) in activations.rows_mut(tokens).zip(input.chunks(columns)) {
            to.copy_from_slice(from);
        }
        let quantised = Quantised::new(&pool, &activations, 0..tokens);
        Ok(Self { pool, kernel, input: activations, quantised, tokens, output: Activations::new(1) })
    }

    /// Computes `matrix * input` for every token; see [`output`](Self::output).
    ///
    /// # Panics
    /// If the matrix has another number of columns than the input, or lacks planes of the precision.
    pub fn compute(&mut self, tiles: TileView<'_>, precision: Precision, reconstruction: Reconstruction) {
        assert_eq!(tiles.grid().cols, self.input.width, "columns of the matrix");
        let tokens = self.tokens;
        let output = &mut self.output;
        if output.width != tiles.grid().rows {
            *output = Activations::new(tiles.grid().rows);
        }
        output.grow(tokens);
        if self.kernel == CpuKernel::Plain {
            let matrix = Matrix::Packed { tiles, precision, reconstruction };
            matmul(&self.pool, &matrix, &self.input, 0..tokens, output);
        } else {
            let input = match self.kernel.quantises() {
                true => Input::Int8(&self.quantised),
                false => Input::Full(&self.input, 0, tokens),
            };
            let call = Call { tiles, precision, reconstruction, output: output.columns_mut(tokens) };
            multiply(&self.pool, self.kernel, input, &[call]);
        }
    }

    /// What was computed for a token: the rows of the matrix that came last.
    pub fn output(&self, token: usize) -> &[f32] {
        self.output.row(token)
    }

    /// Calls `task` with every number below `tasks` on the threads of the products, so that a
    /// measurement of the memory costs the same to start.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        self.pool.run(tasks, task);
    }
}
