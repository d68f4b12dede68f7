//! How the threads of a pool find work, share it and rest.
//!
//! One thread at a time has the pool: whoever sets `busy`. It publishes a job and takes part in it;
//! workers come to help if they find the time. The job's state is one word, see [`State`]:
//!
//! 1. The caller writes the job into its cell and opens it: a release store of the state. The job
//!    before was left by all workers, so nobody reads the cell meanwhile.
//! 2. A worker that sees an open job which it has not worked on joins it, by an acquire
//!    compare-exchange that counts it in. Only then it reads the cell. Whoever works takes the next
//!    number from a shared counter until there are none left, so a slow core takes fewer.
//! 3. The caller runs out of numbers and closes the job: nobody joins any more. It waits for those
//!    who did, each of which may still be at its last number. A worker that sleeps, or that the system
//!    gave no time, is never waited for.
//! 4. A worker leaves by a release decrement, after which it does not touch the job. The caller sees
//!    the count at zero by an acquire load: what tasks wrote is visible, and what they borrowed is free.
//!
//! Both waits spin for a moment, as the next operation of a pass follows within microseconds, and
//! then sleep on a condition variable. Whoever goes to sleep announces it and then looks at the state
//! once more; whoever changes the state looks for announcements afterwards. All four accesses are
//! sequentially consistent, so at least one side sees the other and no wake-up is lost.

use std::{
    any::Any,
    cell::UnsafeCell,
    hint::spin_loop,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
        },
    },
    time::{Duration, Instant},
};

/// How long a thread spins before it sleeps: longer than the pauses within a pass, shorter than
/// those between tokens.
const SPIN_TIME: Duration = Duration::from_micros(50);

/// The work of one [`Pool::run`](super::Pool::run). The pointer is to the stack of the caller, who stays until every
/// worker has left the job.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) task: *const (dyn Fn(usize) + Sync + 'a),
    pub(super) tasks: usize,
}

/// What a panic carries.
pub(super) type Panic = Box<dyn Any + Send>;

/// What the threads of a pool share.
#[derive(Default)]
pub(super) struct Shared {
    /// Whether some caller has the pool.
    busy: AtomicBool,
    state: CacheLine<AtomicU32>,
    /// The next number to be worked on.
    next: CacheLine<AtomicUsize>,
    job: UnsafeCell<Option<Job<'static>>>,
    /// The first panic of a task of this job.
    panic: Mutex<Option<Panic>>,
    /// Whether the pool is being dropped.
    ending: AtomicBool,
    /// Workers that sleep or are about to.
    sleeping: AtomicUsize,
    /// Whether the caller sleeps or is about to.
    caller_sleeping: AtomicBool,
    /// Held between the last look at the state and the sleep, so that a wake-up cannot fall between.
    sleep: Mutex<()>,
    job_opened: Condvar,
    workers_left: Condvar,
}

/// Keeps a value that many threads write away from others.
#[derive(Default)]
#[repr(align(128))]
struct CacheLine<T>(T);

// SAFETY: the job is the only part that is not `Sync`. The caller that has the pool writes it while
// no job is open and none is joined; workers read it between joining and leaving, see above. Its task
// is `Sync`, so that any thread may call it.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer of a job is to a value that any thread may use.
unsafe impl Send for Shared {}

/// The word that says how a job stands: a number that distinguishes it from the one before, the
/// workers in it, and whether more may join.
///
/// Numbers wrap around after 65536 jobs. A worker that slept for exactly so many takes a new job for
/// the last one it knew and does not join it, which costs nothing but its help.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u32);

impl State {
    const OPEN: u32 = 1;
    const WORKER: u32 = 2;
    const NUMBER: u32 = 1 << 16;

    fn is_open(self) -> bool {
        self.0 & Self::OPEN != 0
    }

    fn workers(self) -> u32 {
        self.0 % Self::NUMBER / Self::WORKER
    }

    fn number(self) -> u32 {
        self.0 / Self::NUMBER
    }
}

impl Shared {
    fn state(&self) -> State {
        State(self.state.0.load(SeqCst))
    }

    /// Does a job with whoever helps, and returns when everybody has left it: `None` if the pool is
    /// busy, otherwise what became of the job.
    pub(super) fn lead(&self, job: Job<'_>) -> Option<Result<(), Panic>> {
        if self.busy.swap(true, Acquire) {
            return None;
        }
        self.next.0.store(0, Relaxed);
        // SAFETY: only the lifetime changes, and no worker uses the job after this function, which
        // neither returns nor unwinds before all have left.
        let job = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
        // SAFETY: this caller has the pool, and no worker is in a job.
        unsafe { *self.job.get() = Some(job) };
        let number = self.state().0 & !(State::NUMBER - 1);
        self.state.0.store(number.wrapping_add(State::NUMBER) | State::OPEN, SeqCst);
        if self.sleeping.load(SeqCst) > 0 {
            self.wake(&self.job_opened);
        }
        self.take_part(job);
        self.state.0.fetch_and(!State::OPEN, SeqCst);
        self.wait_for_workers();
        let panic = lock(&self.panic).take();
        self.busy.store(false, Release);
        Some(panic.map_or(Ok(()), Err))
    }

    /// Works on a job until no number is left. A panic ends the job early and is kept.
    fn take_part(&self, job: Job<'static>) {
        // SAFETY: the caller waits for this thread, so the task is still there.
        let task = unsafe { &*job.task };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            loop {
                match self.next.0.fetch_add(1, Relaxed) {
                    index if index < job.tasks => task(index),
                    _ => break,
                }
            }
        }));
        if let Err(panic) = outcome {
            self.next.0.store(job.tasks, Relaxed);
            lock(&self.panic).get_or_insert(panic);
        }
    }

    fn wait_for_workers(&self) {
        if spin_until(|| self.state().workers() == 0) {
            return;
        }
        self.caller_sleeping.store(true, SeqCst);
        let mut guard = lock(&self.sleep);
        while self.state().workers() > 0 {
            guard = self.workers_left.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.caller_sleeping.store(false, SeqCst);
    }

    /// What a worker does all its life.
    pub(super) fn work(&self) {
        let mut last = State(0);
        while self.wait_for_job(last) {
            let state = self.state();
            if !state.is_open() || state.number() == last.number() {
                continue;
            }
            let joined = state.0 + State::WORKER;
            if self.state.0.compare_exchange(state.0, joined, SeqCst, Relaxed).is_err() {
                continue;
            }
            last = state;
            // SAFETY: the job was written before it was opened and stays until this worker leaves.
            if let Some(job) = unsafe { *self.job.get() } {
                self.take_part(job);
            }
            let left = State(self.state.0.fetch_sub(State::WORKER, SeqCst) - State::WORKER);
            if !left.is_open() && left.workers() == 0 && self.caller_sleeping.load(SeqCst) {
                self.wake(&self.workers_left);
            }
        }
    }

    /// Waits for an open job other than the last one; false when the pool ends.
    fn wait_for_job(&self, last: State) -> bool {
        let ready = || {
            let state = self.state();
            state.is_open() && state.number() != last.number() || self.ending.load(SeqCst)
        };
        if !spin_until(ready) {
            self.sleeping.fetch_add(1, SeqCst);
            let mut guard = lock(&self.sleep);
            while !ready() {
                guard = self.job_opened.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            drop(guard);
            self.sleeping.fetch_sub(1, SeqCst);
        }
        !self.ending.load(SeqCst)
    }

    fn wake(&self, sleepers: &Condvar) {
        // Whoever has seen the old state is asleep once this lock is to be had.
        drop(lock(&self.sleep));
        sleepers.notify_all();
    }

    /// Sends the workers home.
    pub(super) fn end(&self) {
        self.ending.store(true, SeqCst);
        self.wake(&self.job_opened);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("busy", &self.busy).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spins for [`SPIN_TIME`] at most; whether the condition came true.
fn spin_until(condition: impl Fn() -> bool) -> bool {
    let mut start = None;
    loop {
        for _ in 0..16 {
            if condition() {
                return true;
            }
            spin_loop();
        }
        if start.get_or_insert_with(Instant::now).elapsed() > SPIN_TIME {
            return false;
        }
    }
}
