//! How much memory a process may still take.

/// Where the figure of free memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FreeMemorySource {
    /// The app gave it.
    App,
    /// The system's own estimate of what can be taken without swapping: `MemAvailable` of Linux and Android,
    /// free and reclaimable pages on macOS.
    System,
    /// What the control group of this process has left, which is less than the system has.
    ControlGroup,
    /// What this process may take before iOS ends it. Pages of files do not count there.
    ProcessLimit,
}

/// Memory that may still be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeMemory {
    /// In bytes.
    pub bytes: u64,
    /// Who says so.
    pub source: FreeMemorySource,
}

impl FreeMemory {
    /// What the system says at this moment; `None` where it is not known how to ask.
    pub fn now() -> Option<Self> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return super::linux::free(std::path::Path::new("/"));
        #[cfg(target_vendor = "apple")]
        return super::apple::free();
        #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
        None
    }

    /// A figure that the app gave.
    pub fn given(bytes: u64) -> Self {
        Self { bytes, source: FreeMemorySource::App }
    }

    /// Whether pages of mapped files count against it.
    pub fn counts_mapped_files(self) -> bool {
        self.source != FreeMemorySource::ProcessLimit
    }
}
