//! What this process has of the memory, and what the system has left.

#[cfg(target_vendor = "apple")]
mod apple;
mod free;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
mod process;

pub use free::{FreeMemory, FreeMemorySource};
pub use process::ProcessMemory;

/// A number of bytes for a person.
pub(crate) fn readable(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}
