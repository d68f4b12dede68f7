//! What data-parallel training needs of the processes that share a job.

use anyhow::Result;

/// The ranks of a job. Each computes a share of every batch; rank 0 adds the shares up, updates the
/// weights and sends them to the others. Every rank must make the same calls in the same order.
///
/// The updates are rank 0's alone because they would be the same work everywhere, and because weights
/// that are sent cannot differ in their last bits as weights that were computed on another processor may.
pub trait GradientReducer {
    /// Which of the ranks this is, from 0. Rank 0 writes the files.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn ranks(&self) -> usize;

    /// How many of the ranks share this machine, this one among them.
    fn ranks_here(&self) -> usize;

    /// Adds as many values of every rank up. Rank 0 gets the sums, the others keep what they gave.
    ///
    /// # Errors
    /// When the connection between the ranks fails.
    fn sum_at_first(&self, values: &mut [f32]) -> Result<()>;

    /// Replaces as many values of every rank by those of rank 0.
    ///
    /// # Errors
    /// As [`Self::sum_at_first`].
    fn share_from_first(&self, values: &mut [f32]) -> Result<()>;

    /// Adds up the few numbers that all ranks must know, in the order of the ranks: the sums are the
    /// same on every rank, bit by bit.
    ///
    /// # Errors
    /// As [`Self::sum_at_first`].
    fn sum_exact(&self, values: &mut [f64]) -> Result<()>;

    /// The values of all ranks, by rank.
    ///
    /// # Errors
    /// As [`Self::sum_at_first`].
    fn gather(&self, value: u64) -> Result<Vec<u64>>;

    /// Waits, without keeping a core busy, until every rank has come here.
    ///
    /// # Errors
    /// As [`Self::sum_at_first`].
    fn wait(&self) -> Result<()>;
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

    fn ranks_here(&self) -> usize {
        1
    }

    fn sum_at_first(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn share_from_first(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn sum_exact(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn gather(&self, value: u64) -> Result<Vec<u64>> {
        Ok(vec![value])
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }
}

/// How many processes `mpirun` started, as it tells each of them; 1 without it.
pub fn launched_processes() -> usize {
    // Open MPI, MPICH and their relatives.
    let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
    let counts = names.iter().filter_map(|name| std::env::var(name).ok()?.parse().ok());
    counts.max().unwrap_or(1)
}
