//! Precision profiles: how many mantissa bits are read of which matrices.
//!
//! A [`PrecisionProfile`] is data: it names classes of tensors and layers, and fits every model that has
//! these. [`MatrixPrecisions`] is the same for one model, a small table that devices read. The text form is
//! `4,head=8,layers.0=6`; in JSON it is `{"all": 4, "head": 8, "layers.0": 6}`.

mod json;
mod matrices;
mod named;
mod source;
mod text;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use sefp::Precision;

pub(crate) use self::matrices::norm_bytes;
pub use self::{
    matrices::MatrixPrecisions, named::NamedProfiles, source::ProfileSource, text::PartialProfile,
};
use crate::{Architecture, Error, ErrorKind, Result};

/// The classes of tensors that a profile tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorClass {
    /// The token embeddings, as rows that are looked up.
    Embedding,
    /// Queries, keys, values and output of the attention.
    Attention,
    /// Gate, up and down of the feed-forward block.
    Mlp,
    /// The LM head. Where it is tied, the embedding matrix as it is multiplied with.
    Head,
}

impl TensorClass {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Embedding, Self::Attention, Self::Mlp, Self::Head];
    /// The classes that every layer has.
    pub const OF_LAYERS: [Self; 2] = [Self::Attention, Self::Mlp];

    /// The name in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Attention => "attention",
            Self::Mlp => "mlp",
            Self::Head => "head",
        }
    }
}

impl fmt::Display for TensorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A layer, or one class of its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct LayerKey {
    class: Option<TensorClass>,
    layer: u16,
}

/// How many mantissa bits are read of which matrices. Complete: it has an answer for every matrix of every
/// model, and [`resolve`](Self::resolve) refuses a model that lacks a layer it names.
///
/// The more specific entry holds: a class of a layer over the layer, the layer over the class, the class over
/// `all`. [`Precision`] converts into the profile that has it everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PrecisionProfile {
    /// In the order of [`TensorClass::ALL`].
    classes: [Precision; TensorClass::ALL.len()],
    layers: BTreeMap<LayerKey, Precision>,
}

impl From<Precision> for PrecisionProfile {
    fn from(precision: Precision) -> Self {
        Self { classes: [precision; TensorClass::ALL.len()], layers: BTreeMap::new() }
    }
}

impl From<&Self> for PrecisionProfile {
    fn from(profile: &Self) -> Self {
        profile.clone()
    }
}

impl PrecisionProfile {
    /// The precision of a class where no layer says otherwise.
    pub fn class(&self, class: TensorClass) -> Precision {
        self.classes[class as usize]
    }

    /// The precision of a class in a layer; of embedding and head, which are of no layer, that of the class.
    pub fn layer(&self, layer: usize, class: TensorClass) -> Precision {
        let named = |class| {
            let layer = u16::try_from(layer).ok()?;
            self.layers.get(&LayerKey { class, layer }).copied()
        };
        if self.layers.is_empty() || !TensorClass::OF_LAYERS.contains(&class) {
            return self.class(class);
        }
        named(Some(class)).or_else(|| named(None)).unwrap_or(self.class(class))
    }

    /// Every precision that it mentions.
    fn mentioned(&self) -> impl Iterator<Item = Precision> {
        self.classes.iter().chain(self.layers.values()).copied()
    }

    /// The highest precision that it mentions.
    pub fn max(&self) -> Precision {
        self.mentioned().max().unwrap_or(Precision::MAX)
    }

    /// The lowest precision that it mentions.
    pub fn min(&self) -> Precision {
        self.mentioned().min().unwrap_or(Precision::MIN)
    }

    /// The precision that it has everywhere, if it is the same everywhere.
    pub fn uniform(&self) -> Option<Precision> {
        (self.min() == self.max()).then_some(self.max())
    }

    /// The same profile with nothing above `limit`.
    #[must_use]
    pub fn capped(&self, limit: Precision) -> Self {
        if limit <= self.min() {
            return limit.into();
        }
        let mut capped = self.clone();
        let precisions = capped.classes.iter_mut().chain(capped.layers.values_mut());
        precisions.for_each(|precision| *precision = limit.min(*precision));
        capped
    }

    /// The precision of every matrix of a model.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) when it names a layer that the model does not have.
    pub fn resolve(&self, architecture: &Architecture) -> Result<MatrixPrecisions> {
        let layers = architecture.layers;
        match self.layers.keys().map(|key| key.layer).max() {
            Some(layer) if usize::from(layer) >= layers => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the profile {self} names layer {layer}: the model has layers 0 to {}", layers - 1),
            )),
            _ => Ok(MatrixPrecisions::new(self, architecture)),
        }
    }
}
