//! Activation buffers: row-major, each row padded with zeros to whole groups.

use std::{marker::PhantomData, ops::Range};

use sefp::GROUP_SIZE;

use crate::{Architecture, Slot};

/// One activation buffer, `[rows, width]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activations {
    /// Values of a row without padding.
    pub(crate) width: usize,
    /// Values from one row to the next: `width` rounded up to whole groups.
    pub(crate) stride: usize,
    /// `[rows, stride]`.
    pub(crate) values: Vec<f32>,
}

impl Activations {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, stride: width.next_multiple_of(GROUP_SIZE), values: Vec::new() }
    }

    /// Makes room for some rows; memory is taken when it is first needed.
    pub(crate) fn grow(&mut self, rows: usize) {
        let values = rows * self.stride;
        if self.values.len() < values {
            self.values.resize(values, 0.0);
        }
    }

    /// A row without padding.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.stride..][..self.width]
    }

    /// The first rows, to be written by several threads.
    pub(crate) fn columns_mut(&mut self, rows: usize) -> Columns<'_> {
        let values = self.values[..rows * self.stride].as_mut_ptr();
        Columns { values, rows, width: self.width, stride: self.stride, borrow: PhantomData }
    }

    /// The first rows without padding, to be written.
    pub(crate) fn rows_mut(&mut self, rows: usize) -> impl Iterator<Item = &mut [f32]> {
        let width = self.width;
        self.values[..rows * self.stride].chunks_mut(self.stride).map(move |row| &mut row[..width])
    }
}

/// Rows of a buffer of which several threads write different parts.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    values: *mut f32,
    rows: usize,
    /// Values of a row without padding.
    pub(crate) width: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable borrow of the values, which whoever calls `get` divides among threads.
unsafe impl Sync for Columns<'_> {}

impl Columns<'_> {
    /// Some columns of a row.
    ///
    /// # Safety
    /// As long as the slice lives, no other may cover one of its values.
    #[expect(clippy::mut_from_ref, reason = "the caller divides the borrow")]
    pub(crate) unsafe fn get(&self, row: usize, columns: Range<usize>) -> &mut [f32] {
        assert!(row < self.rows && columns.start <= columns.end && columns.end <= self.width);
        // SAFETY: inside of the borrowed values, by the line above; the caller shares none of them.
        unsafe {
            std::slice::from_raw_parts_mut(self.values.add(row * self.stride + columns.start), columns.len())
        }
    }

    /// A whole row with its padding, which must stay zero.
    ///
    /// # Safety
    /// As long as the slice lives, no other may cover one of its values.
    #[expect(clippy::mut_from_ref, reason = "the caller divides the borrow")]
    pub(crate) unsafe fn padded_row(&self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: inside of the borrowed values, by the line above; the caller shares none of them.
        unsafe { std::slice::from_raw_parts_mut(self.values.add(row * self.stride), self.stride) }
    }
}

/// All activation buffers of a device.
#[derive(Debug)]
pub(crate) struct Slots {
    buffers: [Activations; Slot::ALL.len()],
    /// How often each buffer was lent out to be written.
    versions: [u64; Slot::ALL.len()],
}

impl Slots {
    pub(crate) fn new(architecture: &Architecture) -> Self {
        let buffers = Slot::ALL.map(|slot| Activations::new(architecture.width(slot)));
        Self { buffers, versions: [0; Slot::ALL.len()] }
    }

    pub(crate) fn get(&self, slot: Slot) -> &Activations {
        &self.buffers[slot as usize]
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut Activations {
        self.versions[slot as usize] += 1;
        &mut self.buffers[slot as usize]
    }

    /// Another number whenever the buffer may have been written in between.
    pub(crate) fn version(&self, slot: Slot) -> u64 {
        self.versions[slot as usize]
    }

    /// Takes a buffer out, so that others can be read while it is written; [`put`](Self::put) it back.
    pub(crate) fn take(&mut self, slot: Slot) -> Activations {
        std::mem::take(self.get_mut(slot))
    }

    pub(crate) fn put(&mut self, slot: Slot, activations: Activations) {
        *self.get_mut(slot) = activations;
    }
}
