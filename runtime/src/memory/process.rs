//! What this process has.

/// Memory of this process in bytes; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// That no file stands behind. On Apple's systems the footprint, which is what they judge by.
    pub anonymous: Option<u64>,
    /// Pages of files, such as the model: the system takes them back when it runs short.
    pub file: Option<u64>,
    /// The most of both that there was.
    pub peak: Option<u64>,
}

impl ProcessMemory {
    /// What the system says at this moment.
    pub fn now() -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return super::linux::process();
        #[cfg(target_vendor = "apple")]
        return super::apple::process();
        #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
        Self::default()
    }
}
