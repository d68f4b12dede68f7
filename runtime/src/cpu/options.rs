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

    /// How many threads compute.
    pub(crate) fn thread_count(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(|| self.cores.count())
    }

    /// The kernel that was chosen, or the fastest.
    pub(super) fn available_kernel(&self) -> Result<CpuKernel> {
        let kernel = self.kernel.unwrap_or_else(CpuKernel::fastest);
        if !kernel.is_available() {
            let reason = format!("this processor cannot run the {kernel} kernels");
            return Err(Error::new(ErrorKind::InvalidArgument, reason));
        }
        Ok(kernel)
    }
}

/// The kernels of the matrix products.
///
/// Those of a kind compute the same numbers, bit for bit: [`Plain`](Self::Plain) and
/// [`Exact`](Self::Exact); [`Int8`](Self::Int8) and the kernels named after instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuKernel {
    /// The plain twins of the WGSL kernels, in `f32`: the oracle of the tests.
    Plain,
    /// Activations in `f32`, with the widest vectors that the processor has.
    Exact,
    /// Activations in 8 bits, on any processor: the oracle of the kernels below.
    Int8,
    /// Activations in 8 bits on x86-64 with AVX2.
    Avx2,
    /// Activations in 8 bits on x86-64 with AVX-512 and its instructions for neural networks.
    Avx512Vnni,
    /// Activations in 8 bits on 64-bit ARM with dot products of bytes.
    NeonDotprod,
    /// Activations in 8 bits on 64-bit ARM with products of matrices of bytes.
    NeonI8mm,
}

impl CpuKernel {
    /// Every kernel, those of other processors included, slowest first.
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::Exact,
        Self::Int8,
        Self::Avx2,
        Self::Avx512Vnni,
        Self::NeonDotprod,
        Self::NeonI8mm,
    ];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Exact => "exact",
            Self::Int8 => "int8",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
            Self::NeonDotprod => "neon-dotprod",
            Self::NeonI8mm => "neon-i8mm",
        }
    }

    /// Whether this processor has what the kernel needs.
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain | Self::Exact | Self::Int8 => true,
            Self::Avx2 => instructions::avx2(),
            Self::Avx512Vnni => instructions::avx512_vnni(),
            Self::NeonDotprod => instructions::neon_dotprod(),
            Self::NeonI8mm => instructions::neon_i8mm(),
        }
    }

    /// The fastest kernel of this processor.
    pub fn fastest() -> Self {
        let fast = [Self::NeonI8mm, Self::NeonDotprod, Self::Avx512Vnni, Self::Avx2];
        fast.into_iter().find(|kernel| kernel.is_available()).unwrap_or(Self::Exact)
    }
}

pub(super) mod instructions {
    //! What this processor can do.

    /// Whether this is an x86-64 processor with all of some instructions.
    macro_rules! x86_64 {
        ($($feature:tt),+) => {{
            #[cfg(target_arch = "x86_64")]
            let found = $(is_x86_feature_detected!($feature))&&+;
            #[cfg(not(target_arch = "x86_64"))]
            let found = false;
            found
        }};
    }

    /// Whether this is a 64-bit ARM processor with all of some instructions.
    macro_rules! aarch64 {
        ($($feature:tt),+) => {{
            #[cfg(target_arch = "aarch64")]
            let found = $(std::arch::is_aarch64_feature_detected!($feature))&&+;
            #[cfg(not(target_arch = "aarch64"))]
            let found = false;
            found
        }};
    }

    /// AVX2, with fused multiply-add.
    pub(crate) fn avx2() -> bool {
        x86_64!("avx2", "fma")
    }

    /// AVX-512 as far as the exact kernels need it.
    pub(crate) fn avx512() -> bool {
        x86_64!("avx512f", "avx512bw", "avx512vl")
    }

    /// AVX-512 with its instructions for neural networks.
    pub(crate) fn avx512_vnni() -> bool {
        avx512() && avx2() && x86_64!("avx512vnni")
    }

    /// Dot products of bytes.
    pub(crate) fn neon_dotprod() -> bool {
        aarch64!("dotprod")
    }

    /// Products of matrices of bytes; the ninth bits of E5M8 need dot products as well.
    pub(crate) fn neon_i8mm() -> bool {
        neon_dotprod() && aarch64!("i8mm")
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
