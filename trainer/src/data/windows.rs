//! Examples cut to pieces of one length, and the batches of a training run.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use super::{Example, order, packing};

/// A piece of text of the length that a model trains on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Token ids, one more than the length: the model reads all but the last and predicts all but
    /// the first.
    pub tokens: Vec<u32>,
    /// `scored[i]`: predicting `tokens[i + 1]` counts in the loss. As many as the length.
    pub scored: Vec<bool>,
}

/// The windows of a training set, in memory, and their order in every epoch.
#[derive(Debug)]
pub struct Dataset {
    windows: Vec<Window>,
    length: usize,
    tokens: u64,
    scored: u64,
    fingerprint: String,
    /// The orders used last: a batch may begin in one epoch and end in the next.
    orders: Mutex<[Option<Order>; 2]>,
}

#[derive(Clone, Debug)]
struct Order {
    seed: u64,
    epoch: u64,
    windows: Arc<[u32]>,
}

impl Dataset {
    /// Windows of `length` tokens out of the examples strung together in a random order: no padding,
    /// every token used. For texts and for pretraining. The last window begins early enough to be
    /// full; what it repeats does not count again.
    ///
    /// # Errors
    /// If the examples do not fill one window, or no token counts.
    pub fn stream(examples: &[Example], length: usize, seed: u64) -> Result<Self> {
        let order = order::permutation("examples", seed, 0, examples.len());
        Self::cut(order.iter().map(|index| &examples[*index as usize]), length, usize::MAX)
    }

    /// As [`Dataset::stream`], in the order of the examples and only the first `limit` windows: for
    /// evaluation. [`Dataset::iter`] returns them in that order.
    ///
    /// # Errors
    /// As [`Dataset::stream`].
    pub fn in_order(examples: &[Example], length: usize, limit: usize) -> Result<Self> {
        Self::cut(examples.iter(), length, limit)
    }

    /// Windows of `length` tokens with as many whole examples in each as fit, filled up with the
    /// token `pad`, which never counts. For conversations. An example longer than a window is cut
    /// into several, each with the last token of the one before as its context; windows and pieces
    /// without a token that counts are left out.
    ///
    /// # Errors
    /// If no token counts.
    pub fn packed(examples: &[Example], length: usize, pad: u32, seed: u64) -> Result<Self> {
        ensure!(length > 0, "windows must have at least one token");
        let order = order::permutation("examples", seed, 0, examples.len());
        let examples = order.iter().map(|index| &examples[*index as usize]);
        let packed = packing::pack(examples, length, pad);
        Self::new(packed.windows, length, packed.tokens)
    }

    fn cut<'a>(examples: impl Iterator<Item = &'a Example>, length: usize, limit: usize) -> Result<Self> {
        ensure!(length > 0 && limit > 0, "windows must have at least one token, and there must be one");
        let wanted = length.saturating_mul(limit).saturating_add(1);
        let (mut tokens, mut scored) = (Vec::new(), Vec::new());
        for example in examples {
            if tokens.len() >= wanted {
                break;
            }
            tokens.extend_from_slice(&example.tokens);
            scored.extend_from_slice(&example.scored);
        }
        tokens.truncate(wanted);
        ensure!(
            tokens.len() > length,
            "the data has {} tokens, too few for one window of {length} and the token after it",
            tokens.len()
        );
        let last = tokens.len() - 1 - length;
        let starts = (0..last).step_by(length).chain([last]);
        let mut counted = 0;
        let windows = starts.map(|start| {
            let mut window = Window {
                tokens: tokens[start..=start + length].to_vec(),
                scored: scored[start + 1..=start + length].to_vec(),
            };
            window.scored[..counted - start].fill(false);
            counted = start + length;
            window
        });
        let windows = windows.collect();
        Self::new(windows, length, tokens.len() as u64)
    }

    fn new(windows: Vec<Window>, length: usize, tokens: u64) -> Result<Self> {
        let mut hash = Sha256::new();
        hash.update((length as u64).to_le_bytes());
        let mut scored = 0;
        for window in &windows {
            let tokens: Vec<u8> = window.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
            let flags: Vec<u8> = window.scored.iter().map(|flag| u8::from(*flag)).collect();
            scored += flags.iter().map(|flag| u64::from(*flag)).sum::<u64>();
            hash.update(tokens);
            hash.update(flags);
        }
        ensure!(
            scored > 0,
            "no token of the data counts in the loss: are there answers in the conversations?"
        );
        let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { windows, length, tokens, scored, fingerprint, orders: Mutex::default() })
    }

    /// The windows of one step, the same for the same data, `seed` and `step`.
    ///
    /// Every epoch goes through all windows once, in an order of its own; a batch that begins at the
    /// end of an epoch ends in the next. This is the batch of all ranks together: each takes its
    /// part of the list.
    pub fn batch(&self, step: u64, batch: usize, seed: u64) -> Vec<&Window> {
        let count = self.windows.len() as u128;
        let first = u128::from(step) * batch as u128;
        let window = |place: u128| {
            let order = self.order(seed, (place / count) as u64);
            &self.windows[order[(place % count) as usize] as usize]
        };
        (first..first + batch as u128).map(window).collect()
    }

    fn order(&self, seed: u64, epoch: u64) -> Arc<[u32]> {
        // A panic elsewhere leaves nothing half done here.
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let known = orders.iter().flatten().find(|order| (order.seed, order.epoch) == (seed, epoch));
        if let Some(order) = known {
            return order.windows.clone();
        }
        let windows: Arc<[u32]> = order::permutation("epoch", seed, epoch, self.windows.len()).into();
        orders.swap(0, 1);
        orders[0] = Some(Order { seed, epoch, windows: windows.clone() });
        windows
    }

    /// All windows, in the order in which they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Window> {
        self.windows.iter()
    }

    /// How many windows an epoch has; at least one.
    pub fn windows(&self) -> usize {
        self.windows.len()
    }

    /// Tokens that a window predicts.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Tokens of text in an epoch, without padding and repetitions.
    pub fn tokens_per_epoch(&self) -> u64 {
        self.tokens
    }

    /// The part of the predicted tokens that counts in the loss, from 0 to 1. The rest is questions,
    /// padding and what begins a text.
    pub fn scored_fraction(&self) -> f64 {
        self.scored as f64 / (self.windows.len() * self.length) as f64
    }

    /// SHA-256, in hex, of all windows: a run goes on only with the data that it began with.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl<'a> IntoIterator for &'a Dataset {
    type Item = &'a Window;
    type IntoIter = std::slice::Iter<'a, Window>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
