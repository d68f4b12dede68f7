//! The width that a batch's weights are read at.

use std::{fmt, str::FromStr};

use anyhow::{Context, Result};
use sefp::Precision;

use super::text;

/// Full precision or one of the six quantised widths, ordered by size. The text is `full` or `M3` to `M8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// Weights quantised with this many mantissa bits.
    At(Precision),
    /// Unquantised weights.
    Full,
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

text::serde_as_text!(Width);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

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
