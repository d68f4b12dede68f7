use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use super::*;

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).expect("a thread")).expect("a pool")
}

/// Runs tasks that count themselves; how often each ran.
fn counts(pool: &Pool, tasks: usize) -> Vec<usize> {
    let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
    pool.run(tasks, |index| {
        counts[index].fetch_add(1, SeqCst);
    });
    counts.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn every_task_runs_once() {
    for threads in [1, 2, 3, 8, 20] {
        let pool = pool(threads);
        assert_eq!(pool.threads(), threads);
        for tasks in [0, 1, 2, 3, 64, 1000] {
            assert_eq!(counts(&pool, tasks), vec![1; tasks], "{threads} threads");
        }
    }
}

/// The jobs of a forward pass: many, small, one behind the other, each on what the last one wrote.
#[test]
fn many_tiny_jobs() {
    let pool = pool(3);
    let sums: Vec<_> = (0..4).map(|_| AtomicUsize::new(0)).collect();
    for job in 0..100_000 {
        pool.run(sums.len(), |index| {
            let next = (index + 1) % sums.len();
            // Nobody else writes this element, and the neighbour is at this job or the last.
            assert!((job..=job + 1).contains(&sums[next].load(SeqCst)));
            sums[index].store(job + 1, SeqCst);
        });
        assert!(sums.iter().all(|sum| sum.load(SeqCst) == job + 1));
    }
}

#[test]
fn workers_help_and_have_names() {
    let pool = pool(4);
    let everybody = Barrier::new(4);
    let names = Mutex::new(Vec::new());
    pool.run(4, |_| {
        // Passes only when all four threads are here.
        everybody.wait();
        names.lock().expect("names").push(thread::current().name().map(str::to_owned));
    });
    let names = names.into_inner().expect("names");
    for index in 1..4 {
        assert!(names.contains(&Some(format!("otaro-cpu-{index}"))), "{names:?}");
    }
    thread::sleep(Duration::from_millis(20));
    // By now all sleep; they wake again.
    pool.run(4, |_| {
        everybody.wait();
    });
}

#[test]
fn a_panic_reaches_the_caller_after_all_workers_are_done() {
    let pool = pool(4);
    for panicking in 0..20 {
        let running = AtomicUsize::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.run(20, |index| {
                running.fetch_add(1, SeqCst);
                if index == panicking {
                    running.fetch_sub(1, SeqCst);
                    std::panic::panic_any(index);
                }
                thread::sleep(Duration::from_micros(200));
                running.fetch_sub(1, SeqCst);
            });
        }));
        assert_eq!(running.load(SeqCst), 0, "nobody works any more");
        let panic = outcome.expect_err("a panic");
        assert_eq!(panic.downcast_ref(), Some(&panicking));
        assert_eq!(counts(&pool, 100), [1; 100], "the pool is as good as before");
    }
}

#[test]
fn a_nested_run_is_done_by_its_own_thread() {
    let pool = pool(3);
    let total = AtomicUsize::new(0);
    pool.run(10, |_| {
        let thread = thread::current().id();
        pool.run(10, |_| {
            assert_eq!(thread::current().id(), thread);
            total.fetch_add(1, SeqCst);
        });
    });
    assert_eq!(total.into_inner(), 100);
}

#[test]
fn a_busy_pool_leaves_the_work_to_the_caller() {
    let pool = pool(2);
    let (begun, done) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            pool.run(2, |index| {
                if index == 0 {
                    begun.wait();
                    while !done.load(SeqCst) {
                        thread::yield_now();
                    }
                }
            });
        });
        begun.wait();
        // The other job does not end before this one: waiting for it would be forever.
        assert_eq!(counts(&pool, 100), [1; 100]);
        done.store(true, SeqCst);
    });
}

#[test]
fn several_callers_share_a_pool() {
    let pool = pool(3);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for tasks in 0..500 {
                    assert_eq!(counts(&pool, tasks % 17), vec![1; tasks % 17]);
                }
            });
        }
    });
}

/// At every moment of its life: before its threads have begun, while they spin, when they sleep.
#[test]
fn a_pool_can_be_dropped_at_any_time() {
    for wait in [0, 10, 100, 20_000] {
        for _ in 0..20 {
            let pool = pool(3);
            pool.run(8, |_| {});
            thread::sleep(Duration::from_micros(wait));
            let start = Instant::now();
            drop(pool);
            assert!(start.elapsed() < Duration::from_secs(10));
        }
        drop(pool(3));
    }
}
