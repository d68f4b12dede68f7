//! The parts of a model whose precision is chosen apart.

use std::fmt;

use otaro::{Architecture, PartialProfile, Precision, PrecisionProfile, TensorClass};

/// A class of tensors: of the model, or of some neighbouring layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    pub class: TensorClass,
    /// First and last layer.
    layers: Option<(usize, usize)>,
}

/// Every part: the embedding, attention and feed-forward block of every `together` layers, the head.
pub fn all(architecture: &Architecture, together: usize) -> Vec<Unit> {
    let group = |first: usize| {
        let last = first.saturating_add(together).min(architecture.layers) - 1;
        TensorClass::OF_LAYERS.map(|class| Unit { class, layers: Some((first, last)) })
    };
    let layers = (0..architecture.layers).step_by(together).flat_map(group);
    let [embedding, head] =
        [TensorClass::Embedding, TensorClass::Head].map(|class| Unit { class, layers: None });
    [embedding].into_iter().chain(layers).chain([head]).collect()
}

impl Unit {
    /// The profile that has this part at a precision and everything else at another.
    pub fn alone(self, precision: Precision, others: Precision) -> anyhow::Result<PrecisionProfile> {
        Ok(self.entry(precision).parse::<PartialProfile>()?.over(others))
    }

    fn entry(self, precision: Precision) -> String {
        format!("{self}={}", precision.mantissa_bits())
    }

    /// Layers that it spans; 1 for those of no layer.
    fn span(self) -> usize {
        self.layers.map_or(1, |(first, last)| last - first + 1)
    }
}

impl fmt::Display for Unit {
    /// The key in a profile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layers {
            None => self.class.fmt(f),
            Some((first, last)) if first == last => write!(f, "layers.{first}.{}", self.class),
            Some((first, last)) => write!(f, "layers.{first}-{last}.{}", self.class),
        }
    }
}

/// The profile of parts that cover a model, in few entries: each class has the precision that most of its layers
/// have, the others are named.
pub fn profile(parts: &[(Unit, Precision)]) -> anyhow::Result<PrecisionProfile> {
    let mut entries = Vec::new();
    for class in TensorClass::ALL {
        let of_class = || parts.iter().filter(|(unit, _)| unit.class == class);
        let votes = |precision| -> usize {
            of_class().filter(|&&(_, other)| other == precision).map(|&(unit, _)| unit.span()).sum()
        };
        let most =
            Precision::ALL.into_iter().max_by_key(|&precision| votes(precision)).unwrap_or(Precision::MAX);
        entries.push(format!("{class}={}", most.mantissa_bits()));
        entries
            .extend(of_class().filter(|part| part.1 != most).map(|&(unit, precision)| unit.entry(precision)));
    }
    Ok(entries.join(",").parse()?)
}

#[cfg(test)]
mod tests {
    use otaro::pack::Shape;

    use super::*;

    #[test]
    fn parts_cover_the_model_once() {
        let architecture = &Shape::find("stories15m").expect("a known shape").architecture;
        for (together, count) in [(1, 2 + 2 * 6), (4, 2 + 2 * 2), (100, 2 + 2), (usize::MAX, 2 + 2)] {
            let units = all(architecture, together);
            assert_eq!(units.len(), count, "{together}");
            let parts: Vec<_> = units.into_iter().map(|unit| (unit, Precision::E5M5)).collect();
            assert_eq!(profile(&parts).expect("no part twice"), Precision::E5M5.into(), "{together}");
        }
        assert_eq!(all(architecture, 4)[3].to_string(), "layers.4-5.attention");
        let alone = all(architecture, 4)[3].alone(Precision::E5M3, Precision::E5M8).expect("a profile");
        assert_eq!(alone.to_string(), "8,layers.4-5.attention=3");
    }

    #[test]
    fn the_precision_of_most_layers_is_that_of_the_class() {
        let architecture = &Shape::find("stories15m").expect("a known shape").architecture;
        let mut parts: Vec<_> =
            all(architecture, 1).into_iter().map(|unit| (unit, Precision::E5M4)).collect();
        parts[1].1 = Precision::E5M6;
        parts[13].1 = Precision::E5M8;
        assert_eq!(profile(&parts).expect("a profile").to_string(), "4,head=8,layers.0.attention=6");
    }
}
