//! In which numbers keys and values are kept.

use std::{fmt, str::FromStr};

use half::f16;

use crate::{Architecture, Error, ErrorKind, Result};

/// The number format of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// Half precision, as on the GPU.
    #[default]
    F16,
    /// Single precision, for comparison with a reference.
    F32,
    /// Eight bits, scaled by the largest value of a head at a position: half the memory of
    /// [`F16`](Self::F16) and a little noise.
    Int8,
}

impl KvFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::F16, Self::F32, Self::Int8];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }

    /// Bytes that a model's keys and values of one position take, in all layers.
    pub fn bytes_per_position(self, architecture: &Architecture) -> usize {
        2 * architecture.layers * architecture.kv_heads * self.head_bytes(architecture.head_dim)
    }

    /// Bytes of a key or a value of one head.
    pub(crate) fn head_bytes(self, dim: usize) -> usize {
        match self {
            Self::F16 => dim * size_of::<f16>(),
            Self::F32 => dim * size_of::<f32>(),
            // And the scale.
            Self::Int8 => dim + size_of::<f32>(),
        }
    }
}

impl fmt::Display for KvFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KvFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            let reason = format!("'{text}' is not a format of the KV cache: give one of {names}");
            Error::new(ErrorKind::InvalidArgument, reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for format in KvFormat::ALL {
            assert_eq!(format.to_string().parse::<KvFormat>().ok(), Some(format));
        }
        assert!("bf16".parse::<KvFormat>().is_err());
    }
}
