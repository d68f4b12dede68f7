//! The sections of the file, in their order: a prefix that ends at the end of a section is a model.

use std::fmt;

use sefp::Precision;
use serde::{Deserialize, Serialize};

/// A section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Tokenizer and configuration files, as they are.
    Blobs,
    /// RMSNorm weights in f32.
    Norms,
    /// Scale codes of every matrix.
    Scales,
    /// The 4-bit base plane of every matrix: completes E5M3.
    Base,
    /// Completes E5M4.
    Bit4,
    /// Completes E5M5.
    Bit5,
    /// Completes E5M6.
    Bit6,
    /// Completes E5M7.
    Bit7,
    /// Completes E5M8.
    Bit8,
}

impl Section {
    /// Every section, in the order of the file.
    pub const ALL: [Self; 9] = [
        Self::Blobs,
        Self::Norms,
        Self::Scales,
        Self::Base,
        Self::Bit4,
        Self::Bit5,
        Self::Bit6,
        Self::Bit7,
        Self::Bit8,
    ];

    /// The bit planes, in the order of the file.
    pub const BIT_PLANES: [Self; sefp::BIT_PLANES] =
        [Self::Bit4, Self::Bit5, Self::Bit6, Self::Bit7, Self::Bit8];

    /// The last section that a precision needs.
    pub fn completing(precision: Precision) -> Self {
        Self::ALL[Self::Base as usize + precision.bit_planes()]
    }

    /// The name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Norms => "norms",
            Self::Scales => "scales",
            Self::Base => "base",
            Self::Bit4 => "bit4",
            Self::Bit5 => "bit5",
            Self::Bit6 => "bit6",
            Self::Bit7 => "bit7",
            Self::Bit8 => "bit8",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a section lies and what its bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionInfo {
    /// Which section.
    pub name: Section,
    /// First byte, counted from the start of the data as safetensors does.
    pub begin: u64,
    /// One past the last byte.
    pub end: u64,
    /// SHA-256 of the bytes from `begin` to `end`, 64 lower-case hexadecimal digits.
    pub sha256: String,
}
