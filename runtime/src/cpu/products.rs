//! The matrix products of a device: chooses the kernel, and keeps activations in 8 bits for the
//! products that share them.

use std::ops::Range;

use sefp::GROUP_SIZE;

use super::{
    kernels::{Call, FullCall, Input, Quantised, multiply, multiply_full},
    matmul::matmul,
    options::CpuKernel,
    pool::Pool,
    slots::{Activations, Slots},
    weights::Matrix,
};
use crate::Slot;

/// Kernels, and the activations that were quantised last.
#[derive(Debug)]
pub(crate) struct Products {
    kernel: CpuKernel,
    quantised: Quantised,
    /// Whose form in 8 bits `quantised` holds: rows of a slot as of a version.
    source: Option<(Slot, u64, Range<usize>)>,
}

impl Products {
    pub(crate) fn new(kernel: CpuKernel) -> Self {
        Self { kernel, quantised: Quantised::default(), source: None }
    }

    /// Whether the kernels want activations in 8 bits.
    pub(crate) fn quantises(&self) -> bool {
        self.kernel.quantises()
    }

    /// Room for rows in 8 bits, for an operation that writes them besides its output; tell of it by
    /// [`filled`](Self::filled).
    pub(crate) fn buffer(&mut self, stride: usize, rows: usize) -> &mut Quantised {
        self.source = None;
        self.quantised.resize(rows, stride / GROUP_SIZE);
        &mut self.quantised
    }

    /// Says that the buffer holds some rows of a slot as they are now.
    pub(crate) fn filled(&mut self, slots: &Slots, slot: Slot, rows: Range<usize>) {
        self.source = Some((slot, slots.version(slot), rows));
    }

    /// Some products of the same rows of a slot, each with the slot of its output.
    pub(crate) fn compute(
        &mut self,
        pool: &Pool,
        matrices: &[(Matrix<'_>, Slot)],
        slots: &mut Slots,
        input: Slot,
        rows: Range<usize>,
    ) {
        let mut outputs: Vec<_> = matrices.iter().map(|&(_, output)| slots.take(output)).collect();
        outputs.iter_mut().for_each(|output| output.grow(rows.len()));
        match self.kernel {
            CpuKernel::Plain => {
                for ((matrix, _), output) in matrices.iter().zip(&mut outputs) {
                    matmul(pool, matrix, slots.get(input), rows.clone(), output);
                }
            }
            _ => self.compute_fast(pool, matrices, &mut outputs, slots, input, rows),
        }
        for (&(_, slot), output) in matrices.iter().zip(outputs) {
            slots.put(slot, output);
        }
    }

    /// As [`compute`](Self::compute), by the kernels; unquantised weights have one of their own.
    fn compute_fast(
        &mut self,
        pool: &Pool,
        matrices: &[(Matrix<'_>, Slot)],
        outputs: &mut [Activations],
        slots: &Slots,
        input: Slot,
        rows: Range<usize>,
    ) {
        let (mut packed, mut full) = (Vec::new(), Vec::new());
        for ((matrix, _), output) in matrices.iter().zip(outputs) {
            let output = output.columns_mut(rows.len());
            match *matrix {
                Matrix::Packed { tiles, precision, reconstruction } => {
                    packed.push(Call { tiles, precision, reconstruction, output });
                }
                Matrix::Full { grid, tiles } => full.push(FullCall { grid, tiles, output }),
            }
        }
        if !full.is_empty() {
            multiply_full(pool, slots.get(input), rows.clone(), &full);
        }
        if !packed.is_empty() {
            multiply(pool, self.kernel, self.input(pool, slots, input, rows), &packed);
        }
    }

    fn input<'a>(&'a mut self, pool: &Pool, slots: &'a Slots, slot: Slot, rows: Range<usize>) -> Input<'a> {
        let values = slots.get(slot);
        if !self.quantises() {
            return Input::Full(values, rows.start, rows.len());
        }
        let source = (slot, slots.version(slot), rows.clone());
        if self.source.as_ref() != Some(&source) {
            self.quantised.fill(pool, values, rows);
            self.source = Some(source);
        }
        Input::Int8(&self.quantised)
    }
}
