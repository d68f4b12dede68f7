//! macOS and iOS, where memory is asked of the kernel.

use std::mem::MaybeUninit;

use super::{FreeMemory, FreeMemorySource, ProcessMemory};

/// Which information [`libc::task_info`] is to give: `TASK_VM_INFO` of `mach/task_info.h`.
const TASK_VM_INFO: libc::task_flavor_t = 22;

/// `task_vm_info` of `mach/task_info.h`, as far as its first revision, which every system knows.
#[repr(C, packed(4))]
struct TaskVmInfo {
    virtual_size: u64,
    region_count: i32,
    page_size: i32,
    resident_size: u64,
    resident_size_peak: u64,
    device: [u64; 2],
    internal: [u64; 2],
    external: u64,
    external_peak: u64,
    reusable: [u64; 2],
    purgeable_volatile: [u64; 3],
    compressed: [u64; 3],
    phys_footprint: u64,
}

#[cfg(not(target_os = "macos"))]
unsafe extern "C" {
    /// `os/proc.h`: bytes that this process may still take before the system ends it.
    safe fn os_proc_available_memory() -> usize;
}

/// On iOS what the process may still take; an extension or a simulator without a limit has no figure.
#[cfg(not(target_os = "macos"))]
pub(super) fn free() -> Option<FreeMemory> {
    let bytes = os_proc_available_memory() as u64;
    (bytes > 0).then_some(FreeMemory { bytes, source: FreeMemorySource::ProcessLimit })
}

/// On macOS the pages that are free or can be freed without writing anything.
#[cfg(target_os = "macos")]
#[expect(deprecated, reason = "the crate that libc refers to is not needed for one number")]
pub(super) fn free() -> Option<FreeMemory> {
    let mut statistics = MaybeUninit::<libc::vm_statistics64>::zeroed();
    let mut count = libc::HOST_VM_INFO64_COUNT;
    // SAFETY: the kernel writes at most `count` words, which is the size of the value.
    let statistics = unsafe {
        let host = libc::mach_host_self();
        let into = statistics.as_mut_ptr().cast();
        if libc::host_statistics64(host, libc::HOST_VM_INFO64, into, &raw mut count) != libc::KERN_SUCCESS {
            return None;
        }
        statistics.assume_init()
    };
    let pages = u64::from(statistics.free_count)
        + u64::from(statistics.external_page_count)
        + u64::from(statistics.purgeable_count);
    // SAFETY: a constant of the system library.
    let page_bytes = unsafe { libc::vm_page_size } as u64;
    Some(FreeMemory { bytes: pages * page_bytes, source: FreeMemorySource::System })
}

#[expect(deprecated, reason = "the crate that libc refers to is not needed for one number")]
pub(super) fn process() -> ProcessMemory {
    let mut info = MaybeUninit::<TaskVmInfo>::zeroed();
    let words = size_of::<TaskVmInfo>() / size_of::<libc::natural_t>();
    let mut count = words as libc::mach_msg_type_number_t;
    // SAFETY: the kernel writes at most `count` words, which is the size of the value; zeros are a value.
    let info = unsafe {
        let task = libc::mach_task_self_;
        let into = info.as_mut_ptr().cast();
        if libc::task_info(task, TASK_VM_INFO, into, &raw mut count) != libc::KERN_SUCCESS {
            return ProcessMemory::default();
        }
        info.assume_init()
    };
    ProcessMemory {
        anonymous: Some(info.phys_footprint),
        file: Some(info.external),
        peak: Some(info.resident_size_peak),
    }
}
