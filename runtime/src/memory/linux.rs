//! Linux and Android, where memory is text in `/proc`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{FreeMemory, FreeMemorySource, ProcessMemory};

/// What is free, as the files under `root` say: of the system, or of this process's control group if
/// that has less.
pub(super) fn free(root: &Path) -> Option<FreeMemory> {
    let system = field(&fs::read_to_string(root.join("proc/meminfo")).ok()?, "MemAvailable:")?;
    let system = FreeMemory { bytes: system, source: FreeMemorySource::System };
    let group = control_group(root).map(|bytes| FreeMemory { bytes, source: FreeMemorySource::ControlGroup });
    group.filter(|group| group.bytes < system.bytes).or(Some(system))
}

pub(super) fn process() -> ProcessMemory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let [anonymous, file, peak] = ["RssAnon:", "RssFile:", "VmHWM:"].map(|name| field(&status, name));
    ProcessMemory { anonymous, file, peak }
}

/// The bytes of a line such as `VmHWM:   12 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What the control group of this process, and those around it, leave. Pages of files that nobody used
/// lately count in a group, but they are taken back before anything is refused.
fn control_group(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| group_left(root, line)).min()
}

/// Of a line such as `0::/app` (version 2) or `5:memory:/app` (version 1).
fn group_left(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (controllers, path) = (fields.nth(1)?, fields.next()?);
    let (mount, limit, used) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max", "memory.current"),
        "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        _ => return None,
    };
    let mount = root.join(mount);
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = mount.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|group| group.starts_with(&mount));
    let left = groups.filter_map(|group| {
        // No number is no limit.
        let (limit, used) = (number(group.join(limit))?, number(group.join(used))?);
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let reclaimable = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
        Some(limit.saturating_sub(used.saturating_sub(reclaimable.unwrap_or(0))))
    });
    left.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       4000 kB\nMemFree:         100 kB\nMemAvailable:   2000 kB\n";

    /// A system with these files.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    fn free_of(files: &[(&str, &str)]) -> Option<(u64, FreeMemorySource)> {
        free(system(files).path()).map(|free| (free.bytes, free.source))
    }

    #[test]
    fn the_tighter_of_system_and_control_group_counts() {
        use FreeMemorySource::{ControlGroup, System};
        let meminfo = ("proc/meminfo", MEMINFO);
        assert_eq!(free_of(&[]), None);
        assert_eq!(free_of(&[("proc/meminfo", "MemTotal: 5 kB\n")]), None);
        assert_eq!(free_of(&[meminfo]), Some((2_048_000, System)));

        let v2 = [meminfo, ("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "max\n")];
        let used = ("sys/fs/cgroup/a/b/memory.current", "500\n");
        assert_eq!(free_of(&[&v2[..], &[used]].concat()), Some((2_048_000, System)));
        let outer = [("sys/fs/cgroup/a/memory.max", "1000\n"), ("sys/fs/cgroup/a/memory.current", "700\n")];
        let stat = ("sys/fs/cgroup/a/memory.stat", "anon 400\ninactive_file 250\n");
        assert_eq!(free_of(&[&v2[..], &[used], &outer[..]].concat()), Some((300, ControlGroup)));
        assert_eq!(free_of(&[&v2[..], &[used], &outer[..], &[stat]].concat()), Some((550, ControlGroup)));

        let v1 = [
            meminfo,
            ("proc/self/cgroup", "7:cpu,cpuacct:/x\n5:memory:/x\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1000"),
            ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "1200"),
        ];
        assert_eq!(free_of(&v1), Some((0, ControlGroup)));
    }

    #[test]
    fn this_process_and_this_system_have_memory() {
        let process = process();
        assert!(process.anonymous.is_some_and(|bytes| bytes > 100_000), "{process:?}");
        assert!(process.file.is_some_and(|bytes| bytes > 100_000), "{process:?}");
        assert!(process.peak >= process.anonymous, "{process:?}");
        assert!(free(Path::new("/")).is_some_and(|free| free.bytes > 1_000_000));
    }
}
