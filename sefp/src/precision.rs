//! The choices that a number format has: how finely groups are scaled when weights become codes, how
//! many mantissa bits of a code are read, and how a truncated code becomes a value.

use std::{fmt, str::FromStr};

/// How many mantissa bits of every weight are read: E5M3 (4 bits a weight) to E5M8 (9 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Precision {
    /// Sign and three mantissa bits: the base plane alone.
    E5M3 = 3,
    /// Sign and four mantissa bits.
    E5M4 = 4,
    /// Sign and five mantissa bits.
    E5M5 = 5,
    /// Sign and six mantissa bits.
    E5M6 = 6,
    /// Sign and seven mantissa bits.
    E5M7 = 7,
    /// Sign and eight mantissa bits: every plane.
    E5M8 = 8,
}

impl Precision {
    /// Every precision, lowest first.
    pub const ALL: [Self; 6] = [Self::E5M3, Self::E5M4, Self::E5M5, Self::E5M6, Self::E5M7, Self::E5M8];
    /// The lowest precision.
    pub const MIN: Self = Self::E5M3;
    /// The highest precision.
    pub const MAX: Self = Self::E5M8;

    /// The precision with this many mantissa bits, 3 to 8.
    ///
    /// # Errors
    /// [`UnknownPrecision`] for any other number.
    pub fn from_mantissa_bits(mantissa_bits: u32) -> Result<Self, UnknownPrecision> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.mantissa_bits() == mantissa_bits)
            .ok_or_else(|| UnknownPrecision(mantissa_bits.to_string()))
    }

    /// Mantissa bits, 3 to 8.
    pub const fn mantissa_bits(self) -> u32 {
        self as u32
    }

    /// One-bit planes read besides the base plane, 0 to 5.
    pub const fn bit_planes(self) -> usize {
        self as usize - 3
    }

    /// Bits of storage a weight takes at this precision: sign, mantissa and its share of the scale.
    pub const fn bits_per_weight(self) -> f64 {
        self as u32 as f64 + 1.0 + 8.0 / crate::GROUP_SIZE as f64
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E5M{}", self.mantissa_bits())
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    /// Reads `6`, `m6`, `M6` or `E5M6`.
    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.strip_prefix("e5").unwrap_or(&lower);
        let digits = digits.strip_prefix('m').unwrap_or(digits);
        let unknown = || UnknownPrecision(text.to_string());
        let mantissa_bits = digits.parse().map_err(|_| unknown())?;
        Self::from_mantissa_bits(mantissa_bits).map_err(|_| unknown())
    }
}

/// A precision that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a precision: give 3 to 8 mantissa bits (E5M3 to E5M8)")]
pub struct UnknownPrecision(pub(crate) String);

/// How a truncated code is turned back into a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reconstruction {
    /// The middle of the interval that truncates to the code. Worth about one mantissa bit.
    #[default]
    Midpoint,
    /// The end of the interval nearest to zero: the OTARo paper's decode.
    Truncate,
}

impl Reconstruction {
    /// Both reconstructions, the default first.
    pub const ALL: [Self; 2] = [Self::Midpoint, Self::Truncate];

    /// The name used in files and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Midpoint => "midpoint",
            Self::Truncate => "truncate",
        }
    }
}

impl fmt::Display for Reconstruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Reconstruction {
    type Err = UnknownReconstruction;

    fn from_str(text: &str) -> Result<Self, UnknownReconstruction> {
        Self::ALL
            .into_iter()
            .find(|reconstruction| reconstruction.name() == text)
            .ok_or_else(|| UnknownReconstruction(text.to_string()))
    }
}

/// A reconstruction that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a reconstruction: give midpoint or truncate")]
pub struct UnknownReconstruction(String);

/// How finely the scale of a group follows its largest weight.
///
/// Both are read the same way: every scale of [`PowerOfTwo`](Self::PowerOfTwo) is one of
/// [`Fine`](Self::Fine).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scale {
    /// Eight steps an octave: the range is at most 1/8 above what the largest weight needs. Worth more
    /// than half a mantissa bit on a real model.
    #[default]
    Fine,
    /// Powers of two alone: the OTARo paper's SEFP.
    PowerOfTwo,
}

impl Scale {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Fine, Self::PowerOfTwo];

    /// The name used in files and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::PowerOfTwo => "power-of-two",
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scale {
    type Err = UnknownScale;

    fn from_str(text: &str) -> Result<Self, UnknownScale> {
        Self::ALL.into_iter().find(|scale| scale.name() == text).ok_or_else(|| UnknownScale(text.to_string()))
    }
}

/// A scale that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a scale: give fine or power-of-two")]
pub struct UnknownScale(String);
