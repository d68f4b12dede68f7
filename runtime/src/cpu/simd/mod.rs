//! Lets one body serve every processor: compiled for each set of vector instructions, chosen at run
//! time. Plain loops become SIMD by the compiler; what it does not see is in [`Simd`].

mod exp;
#[cfg(target_arch = "aarch64")]
mod neon;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use exp::exp;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon as Native;
#[cfg(not(target_arch = "aarch64"))]
pub(crate) use vector::Baseline as Native;
pub(crate) use vector::{Baseline, Simd};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Level};

/// Makes a function out of a body that is generic over [`Simd`] and `#[inline(always)]`.
macro_rules! simd_function {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use crate::cpu::simd::{Avx2, Avx512, Level};
                #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($argument: $type),*) {
                    $body::<Avx512>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($argument: $type),*) {
                    $body::<Avx2>($($argument),*)
                }
                match Level::detect() {
                    // SAFETY: the processor has these instructions.
                    Level::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: the processor has these instructions.
                    Level::Avx2 => return unsafe { avx2($($argument),*) },
                    Level::Baseline => {}
                }
            }
            $body::<crate::cpu::simd::Native>($($argument),*)
        }
    };
}
pub(crate) use simd_function;
