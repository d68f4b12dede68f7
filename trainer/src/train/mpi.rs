//! The processes that `mpirun` started.
//!
//! What fails inside MPI ends the whole job at once: that is MPI's own default, and what training
//! needs, since no rank can go on without the others. The last saved state is kept.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use mpi::{
    Threading,
    collective::SystemOperation,
    environment::Universe,
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Root},
};

use super::{GradientReducer, launched_processes};

/// Values of a message: little memory beside a model, and a count that MPI can hold.
const MESSAGE: usize = 1 << 22;

/// How often a rank that waits looks whether the others have come.
const LOOK: Duration = Duration::from_millis(5);

/// How long the others leave the word to rank 0 when they fail: as a rule for the same reason.
const FIRST_SPEAKS: Duration = Duration::from_millis(500);

/// A rank of an MPI job.
pub struct MpiReducer {
    world: SimpleCommunicator,
    ranks_here: usize,
    // Its end is that of MPI in this process.
    _universe: Universe,
}

impl MpiReducer {
    /// Joins the job. To be called once, from the thread that will make all other calls.
    ///
    /// # Errors
    /// When MPI cannot be started, or knows of fewer processes than `mpirun` started.
    pub fn join() -> Result<Self> {
        let (universe, threading) = mpi::initialize_with_threading(Threading::Funneled)
            .context("MPI was started in this process before")?;
        ensure!(
            threading >= Threading::Funneled,
            "this MPI library cannot be used by a program with threads"
        );
        let world = universe.world();
        let (found, launched) = (count(world.size()), launched_processes());
        ensure!(
            found == launched,
            "mpirun started {launched} processes, of which MPI finds {found}: is it the mpirun of the library \
             that otaro-train was built with?"
        );
        let ranks_here = count(world.split_shared(0).size());
        Ok(Self { world, ranks_here, _universe: universe })
    }

    /// Does this rank's part of a job. An error or a panic is told and ends the processes of all ranks,
    /// which would wait for this one for ever; then this call does not return.
    pub fn run<T>(self, part: impl FnOnce(&dyn GradientReducer) -> Result<T>) -> T {
        let error = match catch_unwind(AssertUnwindSafe(|| part(&self))) {
            Ok(Ok(result)) => return result,
            Ok(Err(error)) => Some(error),
            Err(_) => None, // the panic has been told
        };
        if self.rank() > 0 {
            sleep(FIRST_SPEAKS);
        }
        if let Some(error) = error {
            eprintln!("error: {error:#} (rank {})", self.rank());
        }
        self.world.abort(1)
    }
}

impl GradientReducer for MpiReducer {
    fn rank(&self) -> usize {
        count(self.world.rank())
    }

    fn ranks(&self) -> usize {
        count(self.world.size())
    }

    fn ranks_here(&self) -> usize {
        self.ranks_here
    }

    fn sum_at_first(&self, values: &mut [f32]) -> Result<()> {
        let (first, sum) = (self.world.process_at_rank(0), SystemOperation::sum());
        let mut sums = vec![0.0; if self.rank() == 0 { values.len().min(MESSAGE) } else { 0 }];
        for message in values.chunks_mut(MESSAGE) {
            if self.rank() == 0 {
                let sums = &mut sums[..message.len()];
                first.reduce_into_root(message, sums, sum);
                message.copy_from_slice(sums);
            } else {
                first.reduce_into(message, sum);
            }
        }
        Ok(())
    }

    fn share_from_first(&self, values: &mut [f32]) -> Result<()> {
        let first = self.world.process_at_rank(0);
        values.chunks_mut(MESSAGE).for_each(|message| first.broadcast_into(message));
        Ok(())
    }

    fn sum_exact(&self, values: &mut [f64]) -> Result<()> {
        // Not MPI's own sum: it may take another order on another rank.
        let mut all = vec![0.0; values.len() * self.ranks()];
        self.world.all_gather_into(values, &mut all);
        for (index, sum) in values.iter_mut().enumerate() {
            *sum = all.iter().skip(index).step_by(all.len() / self.ranks()).sum();
        }
        Ok(())
    }

    fn gather(&self, value: u64) -> Result<Vec<u64>> {
        let mut all = vec![0; self.ranks()];
        self.world.all_gather_into(&value, &mut all);
        Ok(all)
    }

    fn wait(&self) -> Result<()> {
        // The blocking barrier would take a whole core, from the rank that is waited for among others.
        let mut barrier = self.world.immediate_barrier();
        while let Err(pending) = barrier.test() {
            barrier = pending;
            sleep(LOOK);
        }
        Ok(())
    }
}

/// A rank or a number of ranks, which are never negative.
fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or_default()
}
