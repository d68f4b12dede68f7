//! Runs a test, again and again, and reads the memory's bandwidth before every run.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use otaro::{CancelToken, Result, Session};

use super::{plan::Test, probe::Probe};

/// How every test is run.
pub struct Runner<'a> {
    pub repetitions: usize,
    pub warmup: bool,
    pub probe: Option<&'a Probe>,
    pub cancel: &'a CancelToken,
}

/// What the runs of a test gave, in their order.
#[derive(Default)]
pub struct Samples {
    /// Tokens per second.
    pub speeds: Vec<f64>,
    /// Bytes per second that the probe read before each run.
    pub bandwidths: Vec<f64>,
}

impl Runner<'_> {
    /// Runs a test in a session, after `test.depth` tokens of it. `done` is called after every run.
    pub fn run(
        &self,
        session: &mut Session,
        vocab_size: usize,
        threads: NonZeroUsize,
        test: &Test,
        done: &mut dyn FnMut(),
    ) -> Result<Samples> {
        let mut tokens = Tokens::new(vocab_size);
        // Tokens that a test before this one left are as good as any.
        let missing = test.depth.saturating_sub(session.position());
        session.prefill(&tokens.take(missing), self.cancel)?;
        if self.warmup {
            let generate = test.generate.min(1);
            self.time(session, &Test { generate, ..*test }, &mut tokens)?;
        }
        let mut samples = Samples::default();
        for _ in 0..self.repetitions {
            samples.bandwidths.extend(self.probe.map(|probe| probe.read(threads)));
            let time = self.time(session, test, &mut tokens)?;
            samples.speeds.push(test.tokens() as f64 / time.as_secs_f64());
            done();
        }
        Ok(samples)
    }

    /// One run, from the end of the context before the test.
    fn time(&self, session: &mut Session, test: &Test, tokens: &mut Tokens) -> Result<Duration> {
        session.truncate(test.depth);
        let prompt = tokens.take(test.prompt);
        let answer = tokens.take(test.generate);
        let start = Instant::now();
        if !prompt.is_empty() {
            session.top_k(&prompt, 1, self.cancel)?;
        }
        for &token in &answer {
            session.top_k(&[token], 1, self.cancel)?;
        }
        Ok(start.elapsed())
    }
}

/// Token ids without meaning, the same ones in every test.
pub struct Tokens {
    vocab_size: u64,
    state: u64,
}

impl Tokens {
    pub fn new(vocab_size: usize) -> Self {
        Self { vocab_size: vocab_size as u64, state: 1 }
    }

    /// The next ids.
    pub fn take(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.next()).collect()
    }

    /// The next id, by Knuth's linear congruential generator, whose upper bits are the random ones.
    pub fn next(&mut self) -> u32 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.state >> 33) % self.vocab_size) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_in_the_vocabulary_and_differ() {
        let tokens = Tokens::new(99).take(200);
        assert!(tokens.iter().all(|&token| token < 99));
        assert!(tokens.iter().collect::<std::collections::BTreeSet<_>>().len() > 50);
        assert_eq!(tokens, Tokens::new(99).take(200));
    }
}
