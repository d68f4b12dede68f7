//! The width that a batch's weights are read at.

use std::{fmt, str::FromStr};

use anyhow::{Context, Result};
use sefp::Precision;
use serde::{Deserialize, Serialize};

use super::text;

/// Full precision or one of the six quantised widths. The text is `full` or `M3` to `M8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// Unquantised weights.
    Full,
    /// Weights quantised with this many mantissa bits.
    At(Precision),
}

impl Width {
    /// Every width, widest first: the columns of the tables.
    pub const ALL: [Self; 7] = [
        Self::Full,
        Self::At(Precision::E5M8),
        Self::At(Precision::E5M7),
        Self::At(Precision::E5M6),
        Self::At(Precision::E5M5),
        Self::At(Precision::E5M4),
        Self::At(Precision::E5M3),
    ];

    /// Its place in [`Self::ALL`], 0 to 6.
    pub const fn index(self) -> usize {
        match self {
            Self::Full => 0,
            Self::At(precision) => 6 - precision.bit_planes(),
        }
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.pad("full"),
            Self::At(precision) => f.pad(&format!("M{}", precision.mantissa_bits())),
        }
    }
}

impl FromStr for Width {
    type Err = anyhow::Error;

    /// Reads `full` and whatever [`Precision`] reads.
    fn from_str(name: &str) -> Result<Self> {
        if name == "full" {
            return Ok(Self::Full);
        }
        let precision =
            name.parse().with_context(|| format!("'{name}' is not a width: give full or M3 to M8"))?;
        Ok(Self::At(precision))
    }
}

impl Serialize for Width {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Width {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_and_orders() {
        for (index, width) in Width::ALL.into_iter().enumerate() {
            assert_eq!(width.to_string().parse::<Width>().unwrap(), width);
            assert_eq!(width.index(), index);
        }
        let error = "M9".parse::<Width>().unwrap_err();
        assert!(error.to_string().contains("'M9' is not a width"), "{error}");
    }
}
