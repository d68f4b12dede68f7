//! A profile as devices read it: the precision of every matrix of one model.

use sefp::Precision;

use super::{PrecisionProfile, TensorClass};
use crate::{Architecture, Norm, Projection, WeightMatrix};

/// The precision of every matrix of a model. Made once per change of the profile; looking up costs an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixPrecisions {
    embedding: Precision,
    head: Precision,
    tied_head: bool,
    /// Attention and feed-forward block of each layer.
    layers: Box<[[Precision; 2]]>,
}

impl MatrixPrecisions {
    pub(super) fn new(profile: &PrecisionProfile, architecture: &Architecture) -> Self {
        let layer = |layer| TensorClass::OF_LAYERS.map(|class| profile.layer(layer, class));
        Self {
            embedding: profile.class(TensorClass::Embedding),
            head: profile.class(TensorClass::Head),
            tied_head: architecture.tied_head,
            layers: (0..architecture.layers).map(layer).collect(),
        }
    }

    /// The precision at which rows of the embedding are looked up.
    pub fn embedding(&self) -> Precision {
        self.embedding
    }

    /// The precision at which a matrix is multiplied with: of the embedding, as the tied head that it is then.
    /// A layer that the model does not have has the precision of the head.
    pub fn product(&self, matrix: WeightMatrix) -> Precision {
        match matrix {
            WeightMatrix::Embedding | WeightMatrix::Head => self.head,
            WeightMatrix::Layer(layer, projection) => {
                self.layers.get(layer).map_or(self.head, |layer| layer[block(projection)])
            }
        }
    }

    /// The precision whose planes a pass needs of a matrix: of a tied one, the higher of both ways to read it.
    pub fn planes(&self, matrix: WeightMatrix) -> Precision {
        match matrix {
            WeightMatrix::Embedding if self.tied_head => self.embedding.max(self.head),
            WeightMatrix::Embedding => self.embedding,
            _ => self.product(matrix),
        }
    }

    /// The highest precision of all.
    pub fn max(&self) -> Precision {
        self.layers.iter().flatten().copied().fold(self.embedding.max(self.head), Precision::max)
    }

    /// Whether the planes of `self` suffice for `other`, of the same model.
    pub fn covers(&self, other: &Self) -> bool {
        let pairs = self.layers.iter().flatten().zip(other.layers.iter().flatten());
        self.embedding >= other.embedding && self.head >= other.head && { pairs }
            .all(|(mine, others)| mine >= others)
    }

    /// The higher precision of both, matrix by matrix.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combined(other, Precision::max)
    }

    /// The lower precision of both, matrix by matrix.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combined(other, Precision::min)
    }

    fn combined(&self, other: &Self, choose: fn(Precision, Precision) -> Precision) -> Self {
        let layers = self.layers.iter().zip(&other.layers);
        Self {
            embedding: choose(self.embedding, other.embedding),
            head: choose(self.head, other.head),
            tied_head: self.tied_head,
            layers: layers.map(|(a, b)| [choose(a[0], b[0]), choose(a[1], b[1])]).collect(),
        }
    }

    /// Bytes of the planes of every matrix, and of the norms: what has to be in memory.
    pub fn weight_bytes(&self, architecture: &Architecture) -> u64 {
        let bytes = |matrix: WeightMatrix| matrix.grid(architecture).bytes(self.planes(matrix));
        let matrices: usize = WeightMatrix::all(architecture).map(bytes).sum();
        (matrices + norm_bytes(architecture)) as u64
    }

    /// Bytes of weights that a pass of one token reads: every matrix that is multiplied with, and the norms.
    /// The one row of the embedding is not counted.
    pub fn bytes_per_token(&self, architecture: &Architecture) -> u64 {
        let multiplied = WeightMatrix::all(architecture)
            .filter(|&matrix| architecture.tied_head || matrix != WeightMatrix::Embedding);
        let bytes = |matrix: WeightMatrix| matrix.grid(architecture).bytes(self.product(matrix));
        (multiplied.map(bytes).sum::<usize>() + norm_bytes(architecture)) as u64
    }

    /// Bits of storage of a packed weight on average, its share of the scale included: of a tied matrix, those
    /// of the higher of both ways to read it.
    pub fn bits_per_weight(&self, architecture: &Architecture) -> f64 {
        let bits = |matrix: WeightMatrix| {
            let grid = matrix.grid(architecture);
            (grid.rows * grid.cols) as f64 * self.planes(matrix).bits_per_weight()
        };
        WeightMatrix::all(architecture).map(bits).sum::<f64>() / architecture.packed_weights() as f64
    }
}

/// Bytes of the norms, in f32.
pub(crate) fn norm_bytes(architecture: &Architecture) -> usize {
    Norm::all(architecture).count() * architecture.hidden_size * size_of::<f32>()
}

/// The block of a layer to which a matrix belongs, as in [`TensorClass::OF_LAYERS`].
fn block(projection: Projection) -> usize {
    match projection {
        Projection::Query | Projection::Key | Projection::Value | Projection::Output => 0,
        Projection::Gate | Projection::Up | Projection::Down => 1,
    }
}
