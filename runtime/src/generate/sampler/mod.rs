//! Choosing the next token.
//!
//! The order is Hugging Face's: repetition penalty, temperature, top-k, top-p, min-p, then one draw
//! from what is left. With temperature 0 the best token is taken (ties go to the lower id) and
//! nothing is drawn.
//!
//! Devices can find their best `k` entries exactly. Where the settings never look beyond those, the
//! sampler takes them instead of all logits and chooses the same token.

use std::cmp::Ordering;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::{Candidate, Error, ErrorKind, Result};

/// The largest `top_k` for which a device's candidates are asked for instead of all logits.
const MOST_CANDIDATES: usize = 64;

/// How the next token is chosen. The default is a moderate temperature with top-p.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplerSettings {
    /// Divides the logits, 0 to 100: 0 always takes the best token, 1 the model's own distribution.
    pub temperature: f32,
    /// Only the so many best tokens; 0 is all.
    pub top_k: usize,
    /// Only the best tokens that together reach this probability, above 0 to 1; 1 is all.
    pub top_p: f32,
    /// Only tokens at least so probable, relative to the best, 0 to 1; 0 is all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of recent tokens, 0.1 to 10; 1 is off.
    pub repetition_penalty: f32,
    /// How many recent tokens, prompt included, the penalty looks at; 0 is none.
    pub repetition_window: usize,
    /// Where the random numbers begin: the same seed gives the same random numbers everywhere.
    pub seed: u64,
}

impl Default for SamplerSettings {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 0,
            top_p: 0.9,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 256,
            seed: 0,
        }
    }
}

impl SamplerSettings {
    /// The best token, always.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// A seed that is another one each time.
    pub fn any_seed() -> u64 {
        // The standard library's own randomness, which it has for its maps: no generator is needed for one number.
        std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] that names the field, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            ("temperature", self.temperature, (0.0..=100.0).contains(&self.temperature), "0 to 100"),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0, at most 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                (0.1..=10.0).contains(&self.repetition_penalty),
                "0.1 to 10",
            ),
        ];
        match fields.into_iter().find(|(_, _, valid, _)| !valid) {
            None => Ok(()),
            Some((name, value, _, range)) => {
                Err(Error::new(ErrorKind::InvalidArgument, format!("{name} is {value}: it must be {range}")))
            }
        }
    }

    fn penalizes(&self) -> bool {
        self.repetition_penalty != 1.0 && self.repetition_window > 0
    }
}

/// Chooses tokens; remembers the recent ones and where its random numbers are.
#[derive(Debug)]
pub struct Sampler {
    settings: SamplerSettings,
    random: StdRng,
    recent: Vec<u32>,
}

impl Sampler {
    /// A sampler with its random numbers at the beginning.
    ///
    /// # Errors
    /// As [`SamplerSettings::validate`].
    pub fn new(settings: SamplerSettings) -> Result<Self> {
        settings.validate()?;
        Ok(Self { random: StdRng::seed_from_u64(settings.seed), settings, recent: Vec::new() })
    }

    /// The settings.
    pub fn settings(&self) -> &SamplerSettings {
        &self.settings
    }

    /// Tells the sampler which tokens stand before the next one; only the repetition penalty looks at
    /// them. Tokens that it chooses itself it remembers without being told.
    pub fn observe(&mut self, context: &[u32]) {
        let window = if self.settings.penalizes() { self.settings.repetition_window } else { 0 };
        self.recent.clear();
        self.recent.extend_from_slice(&context[context.len().saturating_sub(window)..]);
    }

    /// How many of the best candidates [`Sampler::choose`] needs, or `None` if it takes all logits
    /// ([`Sampler::sample`]).
    pub fn candidates_needed(&self) -> Option<usize> {
        match self.settings.top_k {
            _ if self.settings.penalizes() => None,
            _ if self.settings.temperature == 0.0 => Some(1),
            k @ 1..=MOST_CANDIDATES => Some(k),
            _ => None,
        }
    }

    /// Chooses from the logits of the whole vocabulary, which it changes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] if a logit is NaN or infinite, [`ErrorKind::InvalidArgument`] if there
    /// are none.
    pub fn sample(&mut self, logits: &mut [f32]) -> Result<u32> {
        if let Some(token) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(not_finite(token as u32, logits[token]));
        }
        self.penalize(logits);
        let best = best_of(logits).ok_or_else(no_candidates)?;
        let token = match self.settings.temperature {
            0.0 => best.token,
            _ => {
                let candidates = self.filter(logits, best.logit);
                self.draw(&candidates, best.logit)
            }
        };
        self.remember(token);
        Ok(token)
    }

    /// Chooses from the best candidates of the vocabulary, best first, as many as
    /// [`Sampler::candidates_needed`] says. Chooses what [`Sampler::sample`] would.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    pub fn choose(&mut self, candidates: &[Candidate]) -> Result<u32> {
        if let Some(bad) = candidates.iter().find(|candidate| !candidate.logit.is_finite()) {
            return Err(not_finite(bad.token, bad.logit));
        }
        let best = *candidates.first().ok_or_else(no_candidates)?;
        let token =
            if self.settings.temperature == 0.0 { best.token } else { self.draw(candidates, best.logit) };
        self.remember(token);
        Ok(token)
    }

    /// Draws from candidates, the most probable first where top-p still has to cut them.
    fn draw(&mut self, candidates: &[Candidate], best: f32) -> u32 {
        let weights: Vec<f64> =
            candidates.iter().map(|candidate| self.weight(candidate.logit, best)).collect();
        let kept = if self.settings.top_k > 0 {
            self.nucleus(&weights, weights.iter().sum())
        } else {
            weights.len()
        };
        // The best weighs 1, so min-p compares with the weight itself.
        let min_p = f64::from(self.settings.min_p);
        let alive = || weights[..kept].iter().enumerate().filter(|(_, weight)| **weight >= min_p);
        let total: f64 = alive().map(|(_, weight)| weight).sum();
        let mut left = self.uniform() * total;
        let mut chosen = 0;
        for (index, weight) in alive() {
            chosen = index;
            if left < *weight {
                break;
            }
            left -= weight;
        }
        candidates[chosen].token
    }

    /// The probability of a logit relative to the best one: 1 for the best.
    fn weight(&self, logit: f32, best: f32) -> f64 {
        f64::from(((logit - best) / self.settings.temperature).exp())
    }

    /// How many of these weights, largest first, reach top-p of the total: the fewest, at least one.
    fn nucleus(&self, weights: &[f64], total: f64) -> usize {
        if self.settings.top_p >= 1.0 {
            return weights.len();
        }
        let wanted = f64::from(self.settings.top_p) * total;
        let mut mass = 0.0;
        weights
            .iter()
            .position(|weight| {
                mass += weight;
                mass >= wanted
            })
            .map_or(weights.len(), |last| last + 1)
    }

    /// What top-k or, without it, top-p leaves of the vocabulary, best first; with neither, all of it
    /// in its own order.
    fn filter(&self, logits: &[f32], best: f32) -> Vec<Candidate> {
        let all = (0..).zip(logits).map(|(token, logit)| Candidate { token, logit: *logit });
        if self.settings.top_k > 0 {
            let mut candidates = all.collect();
            keep_best(&mut candidates, self.settings.top_k);
            return candidates;
        }
        if self.settings.top_p >= 1.0 {
            return all.collect();
        }
        // Tokens below `floor` together weigh less than what top-p leaves out, so the nucleus is among
        // the others: only these few are put in order.
        let weights: Vec<f64> = logits.iter().map(|logit| self.weight(*logit, best)).collect();
        let total: f64 = weights.iter().sum();
        let floor = (1.0 - f64::from(self.settings.top_p)) * total / logits.len() as f64;
        let likely = all.zip(&weights).filter(|(_, weight)| **weight >= floor);
        let mut candidates: Vec<Candidate> = likely.map(|(candidate, _)| candidate).collect();
        candidates.sort_unstable_by(best_first);
        let weights: Vec<f64> =
            candidates.iter().map(|candidate| self.weight(candidate.logit, best)).collect();
        candidates.truncate(self.nucleus(&weights, total));
        candidates
    }

    /// Makes recent tokens less likely. Each once, however often it appeared.
    fn penalize(&mut self, logits: &mut [f32]) {
        if !self.settings.penalizes() {
            return;
        }
        let penalty = self.settings.repetition_penalty;
        let mut tokens = self.recent.clone();
        tokens.sort_unstable();
        tokens.dedup();
        for token in tokens {
            if let Some(logit) = logits.get_mut(token as usize) {
                let penalized = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
                *logit = penalized.clamp(f32::MIN, f32::MAX);
            }
        }
    }

    fn remember(&mut self, token: u32) {
        if self.settings.penalizes() {
            if self.recent.len() >= self.settings.repetition_window {
                self.recent.remove(0);
            }
            self.recent.push(token);
        }
    }

    /// A random number from 0 to below 1, with 53 random bits.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The order of candidates: higher logits first, then lower ids. Logits are finite.
fn best_first(left: &Candidate, right: &Candidate) -> Ordering {
    right.logit.partial_cmp(&left.logit).unwrap_or(Ordering::Equal).then(left.token.cmp(&right.token))
}

/// The best entry of the logits.
fn best_of(logits: &[f32]) -> Option<Candidate> {
    let candidates = (0..).zip(logits).map(|(token, logit)| Candidate { token, logit: *logit });
    candidates.reduce(|best, candidate| if candidate.logit > best.logit { candidate } else { best })
}

/// Keeps the `k` best candidates, best first.
fn keep_best(candidates: &mut Vec<Candidate>, k: usize) {
    if k < candidates.len() {
        candidates.select_nth_unstable_by(k, best_first);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(best_first);
}

fn not_finite(token: u32, logit: f32) -> Error {
    Error::new(
        ErrorKind::NotFinite,
        format!("the model gave token {token} the score {logit}: its weights or a kernel are at fault"),
    )
}

fn no_candidates() -> Error {
    Error::new(ErrorKind::InvalidArgument, "there are no logits to choose from")
}

#[cfg(test)]
mod tests;
