//! The allocator of a training run.

/// Tells glibc to keep the memory of freed tensors. A step allocates the same large blocks over and
/// over; handing them back to the system and faulting them in again took a third of the time.
///
/// To be called first of all, before any thread runs.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_freed_memory() {
    // SAFETY: mallopt only sets parameters of the allocator, which locks them itself.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed_memory() {}
