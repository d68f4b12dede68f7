//! How many cores there are, and how many of them are big.

use std::{fs, num::NonZeroUsize, path::Path, thread::available_parallelism};

/// Where Linux and Android describe the cores.
const SYSTEM_FOLDER: &str = "/sys/devices/system/cpu";

/// Which cores the default number of threads counts.
///
/// Threads are not pinned: a scheduler that knows big cores from small ones moves busy threads to
/// the big ones by itself, as long as there are no more of them than big cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cores {
    /// Every core. Work is handed out in small pieces, so that slow cores take fewer.
    #[default]
    All,
    /// The fastest cores of a processor with several kinds, for the sake of the battery; every core
    /// where the system does not say.
    Big,
}

impl Cores {
    /// The number of such cores that this process may use.
    pub(crate) fn count(self) -> NonZeroUsize {
        let all = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        match self {
            Self::All => all,
            Self::Big => big_cores(Path::new(SYSTEM_FOLDER)).map_or(all, |big| big.min(all)),
        }
    }
}

/// The number of cores of the highest capacity, or else of the highest frequency.
fn big_cores(folder: &Path) -> Option<NonZeroUsize> {
    ["cpu_capacity", "cpufreq/cpuinfo_max_freq"].into_iter().find_map(|file| {
        let speeds: Vec<u64> = core_folders(folder)
            .filter_map(|core| fs::read_to_string(core.join(file)).ok()?.trim().parse().ok())
            .collect();
        let fastest = speeds.iter().max()?;
        NonZeroUsize::new(speeds.iter().filter(|&speed| speed == fastest).count())
    })
}

/// The folders `cpu0`, `cpu1`, ... among others.
fn core_folders(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("cpu"));
        name.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as the system has it; each core is a file name and what it holds.
    fn folder(file: &str, cores: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (index, text) in cores.iter().enumerate() {
            let path = folder.path().join(format!("cpu{index}")).join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        for other in ["cpufreq", "cpuidle", "cpu"] {
            fs::create_dir_all(folder.path().join(other)).expect("a folder");
        }
        folder
    }

    #[test]
    fn the_fastest_cores_are_counted() {
        let cases: [(&str, &[&str], Option<usize>); 6] = [
            // A phone with four small, three middle cores and one big one.
            ("cpu_capacity", &["250\n", "250\n", "250\n", "250\n", "768", "768", "768", "1024"], Some(1)),
            ("cpufreq/cpuinfo_max_freq", &["1800000\n", "1800000\n", "2400000\n", "2400000\n"], Some(2)),
            ("cpu_capacity", &["1024", "1024"], Some(2)),
            ("cpu_capacity", &["no number", "512"], Some(1)),
            ("cpu_capacity", &["no number"], None),
            ("topology/core_id", &["0", "1"], None),
        ];
        for (file, cores, expected) in cases {
            let folder = folder(file, cores);
            let counted = big_cores(folder.path()).map(NonZeroUsize::get);
            assert_eq!(counted, expected, "{file} {cores:?}");
        }
        assert_eq!(big_cores(Path::new("/no such folder")), None);
    }

    #[test]
    fn there_are_no_more_big_cores_than_cores() {
        assert!(Cores::Big.count() <= Cores::All.count());
    }
}
