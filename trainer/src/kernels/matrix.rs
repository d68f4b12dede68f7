//! Products of matrices that lie in larger ones.

use gemm::Parallelism;

/// A matrix within a slice.
#[derive(Clone, Copy)]
pub struct View<'a> {
    values: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> View<'a> {
    /// `rows` rows of `columns` numbers; a row begins `stride` numbers after the one before.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(
            rows == 0 || columns == 0 || (rows - 1) * stride + columns <= values.len(),
            "a view beyond its slice"
        );
        Self { values, shape: [rows, columns], strides: [stride, 1] }
    }

    /// The rows from `start` to `end`.
    pub fn rows(self, start: usize, end: usize) -> Self {
        assert!(start <= end && end <= self.shape[0], "rows beyond a view");
        let values = &self.values[(start * self.strides[0]).min(self.values.len())..];
        Self { values, shape: [end - start, self.shape[1]], strides: self.strides }
    }

    /// The columns from `start` to `end`.
    fn columns(self, start: usize, end: usize) -> Self {
        self.transposed().rows(start, end).transposed()
    }

    /// The numbers row by row, without gaps.
    fn packed(self) -> Vec<f32> {
        let ([rows, columns], [row_stride, column_stride]) = (self.shape, self.strides);
        let mut packed = vec![0.0; rows * columns];
        if column_stride == 1 {
            for (to, from) in packed.chunks_exact_mut(columns).zip(self.values.chunks(row_stride)) {
                to.copy_from_slice(&from[..columns]);
            }
            return packed;
        }
        // A few rows at a time, so that the lines of memory that are written stay in the cache.
        for (tile, to) in packed.chunks_mut(16 * columns).enumerate() {
            for (column, from) in self.values.chunks(column_stride).take(columns).enumerate() {
                let to = to[column..].iter_mut().step_by(columns);
                to.zip(&from[16 * tile..]).for_each(|(to, &from)| *to = from);
            }
        }
        packed
    }

    /// The rows up to `end`.
    pub fn top(self, end: usize) -> Self {
        self.rows(0, end)
    }

    /// The same numbers with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        let ([rows, columns], [row, column]) = (self.shape, self.strides);
        Self { values: self.values, shape: [columns, rows], strides: [column, row] }
    }
}

/// What a product does to the numbers that were there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// It replaces them.
    Replace,
    /// It is added to them.
    Add,
}

/// Columns of a product that are computed at a time. The widest kernel of `gemm`, for 64 columns, keeps
/// some of its sums in memory; the one for 32 has registers for all of them and is twice as fast.
const PANEL: usize = 32;
/// Numbers of the left factor that stay in the cache from panel to panel.
const BLOCK: usize = 1 << 18;

/// `output = a b` or `output += a b`; a row of `output` begins `stride` numbers after the one before.
pub fn multiply(output: &mut [f32], stride: usize, store: Store, a: View<'_>, b: View<'_>) {
    let ([rows, inner], columns) = (a.shape, b.shape[1]);
    assert!(inner == b.shape[0], "the factors of a product do not fit");
    let panels: Vec<_> =
        (0..columns).step_by(PANEL).map(|at| b.columns(at, columns.min(at + PANEL)).packed()).collect();
    let height = (BLOCK / inner.max(1)).max(PANEL);
    for start in (0..rows).step_by(height) {
        let a = a.rows(start, rows.min(start + height));
        let packed = if a.strides[1] == 1 { Vec::new() } else { a.transposed().packed() };
        let a = if a.strides[1] == 1 {
            a
        } else {
            View::new(&packed, inner, a.shape[0], a.shape[0]).transposed()
        };
        for (index, panel) in panels.iter().enumerate() {
            let at = index * PANEL;
            let width = PANEL.min(columns - at);
            let panel = View::new(panel, inner, width, width);
            multiply_panel(&mut output[start * stride + at..], stride, store, a, panel);
        }
    }
}

fn multiply_panel(output: &mut [f32], stride: usize, store: Store, a: View<'_>, b: View<'_>) {
    let ([rows, inner], columns) = (a.shape, b.shape[1]);
    assert!(inner == b.shape[0], "the factors of a product do not fit");
    assert!(columns <= stride && (rows - 1) * stride + columns <= output.len(), "a product beyond its slice");
    let [a_strides, b_strides] = [a.strides, b.strides].map(|strides| strides.map(|stride| stride as isize));
    // SAFETY: every number of the three matrices lies within its slice: for the factors `View::new`
    // asserts it and `transposed` keeps the numbers, for the product the lines above do. The rows of
    // the product do not overlap, and no other reference to its slice exists.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            output.as_mut_ptr(),
            1,
            stride as isize,
            store == Store::Add,
            a.values.as_ptr(),
            a_strides[1],
            a_strides[0],
            b.values.as_ptr(),
            b_strides[1],
            b_strides[0],
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_the_same_in_any_layout_and_in_blocks() {
        // So many inner numbers that the rows come in several blocks, the columns in two panels.
        let (rows, inner, columns) = (70, 8192, 35);
        let a: Vec<f32> = (0..rows * inner).map(|index| (index as f32 * 0.7).sin()).collect();
        let b: Vec<f32> = (0..inner * columns).map(|index| (index as f32 * 1.3).cos()).collect();
        let (left, right) = (View::new(&a, rows, inner, inner), View::new(&b, inner, columns, columns));
        let (a_columns, b_columns) = (left.transposed().packed(), right.transposed().packed());
        let left_turned = View::new(&a_columns, inner, rows, rows).transposed();
        let right_turned = View::new(&b_columns, columns, inner, inner).transposed();
        let stride = columns + 3;
        for (left, right) in
            [(left, right), (left_turned, right), (left, right_turned), (left_turned, right_turned)]
        {
            let mut output = vec![1.0; rows * stride];
            multiply(&mut output, stride, Store::Add, left, right);
            for (index, &found) in output.iter().enumerate() {
                let (row, column) = (index / stride, index % stride);
                let term = |k: usize| f64::from(a[row * inner + k]) * f64::from(b[k * columns + column]);
                let expected = 1.0 + if column < columns { (0..inner).map(term).sum::<f64>() } else { 0.0 };
                assert!(
                    (f64::from(found) - expected).abs() < 5e-3,
                    "{row}, {column}: {found}, not {expected}"
                );
            }
        }
    }
}
