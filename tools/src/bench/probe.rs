//! How fast memory can be read at this moment: what a decode speed is held against.
//!
//! The bandwidth of a machine that others use too changes within seconds, so it is measured again
//! before every timed run, by as many threads as the run has.

use std::{
    hint::black_box,
    num::NonZeroUsize,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

/// Words of a block: threads take block after block, so a thread that is held up holds up no other.
const BLOCK_WORDS: usize = 1 << 17;
/// Parts of a block that are read side by side.
const STREAMS: usize = 4;
/// Words of a cache line of 64 bytes.
const LINE_WORDS: usize = 8;

/// A buffer much larger than the caches.
pub struct Probe {
    words: Vec<u64>,
}

impl Probe {
    /// A buffer of so many MiB, all of it written once.
    pub fn new(mebibytes: usize) -> Self {
        // Not zeros: those the system would give out as one page, many times over.
        Self { words: (0..(mebibytes << 20) / size_of::<u64>()).map(|index| index as u64).collect() }
    }

    /// Bytes of the buffer: memory of this process that no model takes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
    }

    /// Reads the buffer once; bytes per second.
    pub fn read(&self, threads: NonZeroUsize) -> f64 {
        let next = AtomicUsize::new(0);
        let start = Barrier::new(threads.get());
        let times: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.get())
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        let begin = Instant::now();
                        self.read_blocks(&next);
                        (begin, Instant::now())
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let begin = times.iter().map(|&(begin, _)| begin).min();
        let end = times.iter().map(|&(_, end)| end).max();
        begin.zip(end).map_or(f64::NAN, |(begin, end)| self.bytes() as f64 / (end - begin).as_secs_f64())
    }

    fn read_blocks(&self, next: &AtomicUsize) {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(block) = self.words.chunks(BLOCK_WORDS).nth(index) else { return };
            black_box(touch(block));
        }
    }
}

/// Reads one word of every cache line, which brings the whole line, in streams side by side. It reads
/// more per second than sums of every word do, with vectors of any width: nothing but memory is in its way.
fn touch(words: &[u64]) -> u64 {
    let mut streams = words.chunks_exact(words.len().div_ceil(STREAMS).max(1));
    let mut next = || streams.next().unwrap_or_default().chunks_exact(LINE_WORDS);
    let lines = next().zip(next()).zip(next()).zip(next());
    let mut sums = [0_u64; STREAMS];
    for (((a, b), c), d) in lines {
        for (sum, line) in sums.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(line[0]);
        }
    }
    sums.iter().fold(0, |total, &sum| total.wrapping_add(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_count_reads_everything() {
        let probe = Probe::new(4);
        assert_eq!(probe.bytes(), 4 << 20);
        for threads in [1, 2, 5] {
            let speed = probe.read(NonZeroUsize::new(threads).expect("not zero"));
            assert!(speed.is_finite() && speed > 0.0, "{threads}: {speed}");
        }
        // The first words of four lines: 0 to 3 in units of a line.
        assert_eq!(touch(&probe.words[..4 * LINE_WORDS]), (1 + 2 + 3) * LINE_WORDS as u64);
    }
}
