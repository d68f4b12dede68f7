//! What is resident of this process, as Linux tells it; nothing elsewhere.

use std::{fs, path::Path};

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Of the map of the model's file.
    pub file: Option<u64>,
    /// Of memory that no file backs.
    pub anonymous: Option<u64>,
    /// The most that was resident of everything since [`forget_peak`].
    pub peak: Option<u64>,
}

impl Resident {
    /// What is resident now. `other` bytes are always there and are not the model's.
    pub fn now(model: &Path, other: u64) -> Self {
        let without = |bytes: u64| bytes.saturating_sub(other);
        let maps = fs::read_to_string("/proc/self/smaps").ok().map(|text| sum_maps(&text, model));
        let status = fs::read_to_string("/proc/self/status").ok();
        let peak = status.and_then(|text| text.lines().find_map(|line| field(line, "VmHWM:")));
        Self {
            file: maps.map(|(file, _)| file),
            anonymous: maps.map(|(_, anonymous)| without(anonymous)),
            peak: peak.map(without),
        }
    }
}

/// Starts a new peak; false where the system cannot, and the peak is that of the whole process.
pub fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Resident bytes of the maps of one file, and of all anonymous memory.
fn sum_maps(smaps: &str, file: &Path) -> (u64, u64) {
    let file = file.to_string_lossy();
    let (mut of_file, mut anonymous, mut in_file) = (0, 0, false);
    for line in smaps.lines() {
        // Every line of a map but its first begins with the name of a field.
        if !line.split_whitespace().next().is_some_and(|word| word.ends_with(':')) {
            in_file = line.ends_with(file.as_ref());
        }
        match (field(line, "Rss:"), field(line, "Anonymous:")) {
            (Some(bytes), _) if in_file => of_file += bytes,
            (_, Some(bytes)) => anonymous += bytes,
            _ => {}
        }
    }
    (of_file, anonymous)
}

/// The bytes of a line such as `Rss:   12 kB`.
fn field(line: &str, name: &str) -> Option<u64> {
    let kibibytes = line.strip_prefix(name)?.trim().strip_suffix("kB")?;
    Some(kibibytes.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0-55d1 r--p 00000000 fe:00 17 /usr/bin/otaro
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
7f00-7f01 r--p 00004000 fe:00 18 /models/a model.sefp.safetensors
Rss:                 100 kB
Anonymous:             0 kB
7f01-7f02 r--p 00008000 fe:00 18 /models/a model.sefp.safetensors
Rss:                  20 kB
Anonymous:             0 kB
7f05-7f06 rw-p 00000000 00:00 0
Rss:                  64 kB
Anonymous:            60 kB
";

    #[test]
    fn maps_of_the_model_are_told_from_the_rest() {
        let sums = sum_maps(SMAPS, Path::new("/models/a model.sefp.safetensors"));
        assert_eq!(sums, (120 * 1024, 60 * 1024));
        assert_eq!(sum_maps(SMAPS, Path::new("/models/other")), (0, 60 * 1024));
        assert_eq!(sum_maps("", Path::new("x")), (0, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        forget_peak();
        let resident = Resident::now(Path::new("/nowhere"), 0);
        assert_eq!(resident.file, Some(0));
        assert!(resident.anonymous.is_some_and(|bytes| bytes > 0), "{resident:?}");
        assert!(resident.peak >= resident.anonymous, "{resident:?}");
    }
}
