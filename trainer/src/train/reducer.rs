//! What data-parallel training needs of the processes that share a job.

use anyhow::Result;

/// The ranks of a job: each computes a share of every batch, all sums are the same on each of them.
pub trait GradientReducer {
    /// Which of the ranks this is, from 0. Rank 0 writes the files.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn ranks(&self) -> usize;

    /// Replaces every value by its sum over the ranks. Every rank must call it with as many values.
    ///
    /// # Errors
    /// When the connection between the ranks fails.
    fn sum(&self, values: &mut [f32]) -> Result<()>;

    /// As [`Self::sum`], for the few numbers that must not be rounded.
    ///
    /// # Errors
    /// As [`Self::sum`].
    fn sum_exact(&self, values: &mut [f64]) -> Result<()>;
}

/// One process that does it all.
pub struct Alone;

impl GradientReducer for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn sum_exact(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }
}
