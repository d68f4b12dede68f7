//! What `--bits`, `--profile` and the commands of the same names mean for the model at hand.

use std::sync::Arc;

use otaro::{Checkpoint, Precision, PrecisionProfile, ProfileSource, Result};

use crate::arguments::Arguments;

/// Turns what is asked for into a profile of the model.
pub struct Dial {
    checkpoint: Arc<Checkpoint>,
    /// The bits asked for last: what a profile does not name.
    bits: Precision,
}

impl Dial {
    /// The dial, and the profile that the command line asks for.
    pub fn new(checkpoint: &Arc<Checkpoint>, arguments: &Arguments) -> Result<(Self, PrecisionProfile)> {
        let bits = match arguments.bits {
            Some(precision) => precision,
            None => checkpoint.available()?,
        };
        let mut dial = Self { checkpoint: Arc::clone(checkpoint), bits };
        let profile = match &arguments.profile {
            Some(source) => dial.profile(source)?,
            None => dial.bits(bits),
        };
        Ok((dial, profile))
    }

    /// The same bits everywhere.
    pub fn bits(&mut self, precision: Precision) -> PrecisionProfile {
        self.bits = precision;
        precision.into()
    }

    /// A profile, with the bits asked for last where it names nothing.
    pub fn profile(&self, source: &ProfileSource) -> Result<PrecisionProfile> {
        source.profile(self.checkpoint.profiles(), self.bits)
    }
}
