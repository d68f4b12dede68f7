//! The threads of the CPU device.

use std::{num::NonZeroUsize, thread::available_parallelism};

use crate::{Error, ErrorKind, Result};

/// Threads that share the work of an operation. Which thread does which part never changes a result.
#[derive(Debug)]
pub(crate) struct Pool {
    threads: rayon::ThreadPool,
}

impl Pool {
    /// A pool of some threads, the caller's among them; of as many as there are cores by default.
    pub(crate) fn new(threads: Option<NonZeroUsize>) -> Result<Self> {
        let threads = threads.or(available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| Error::new(ErrorKind::Device, error.to_string()))?;
        Ok(Self { threads })
    }

    /// How many threads compute.
    pub(crate) fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Calls `task` with every number below `tasks`, each once, on any thread and in any order.
    pub(crate) fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        use rayon::prelude::*;
        let task = &task;
        self.threads.install(|| (0..tasks).into_par_iter().for_each(task));
    }
}
