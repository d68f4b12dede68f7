//! What can be chosen about the CPU device.

use std::{fmt, num::NonZeroUsize, str::FromStr};

use super::{Cores, KvFormat};
use crate::{Error, ErrorKind, Result};

/// How the CPU is to compute. The default is the fastest way that the processor has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads that compute, the caller's among them; as many as there are `cores` by default.
    pub threads: Option<NonZeroUsize>,
    /// The cores that the default number of threads counts.
    pub cores: Cores,
    /// The number format of the KV cache.
    pub kv_format: KvFormat,
    /// The kernels of the matrix products; the fastest that the processor has by default.
    pub kernel: Option<CpuKernel>,
}

impl CpuOptions {
    /// The plain kernels: the oracle of the tests.
    pub const PLAIN: Self =
        Self { threads: None, cores: Cores::All, kv_format: KvFormat::F16, kernel: Some(CpuKernel::Plain) };
}

/// The kernels of the matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuKernel {
    /// The plain twins of the WGSL kernels, in `f32`: the oracle of the tests.
    Plain,
}

impl CpuKernel {
    /// Every kernel, those of other processors included.
    pub const ALL: [Self; 1] = [Self::Plain];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
        }
    }

    /// Whether this processor has what the kernel needs.
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
        }
    }

    /// The fastest kernel of this processor.
    pub fn fastest() -> Self {
        Self::Plain
    }
}

impl fmt::Display for CpuKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CpuKernel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kernel| kernel.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kernel| kernel.name()).collect();
            let reason = format!("'{text}' is not a kernel: give one of {}", names.join(", "));
            Error::new(ErrorKind::InvalidArgument, reason)
        })
    }
}
