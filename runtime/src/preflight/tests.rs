use std::path::Path;

use super::*;
use crate::{cpu::KvFormat, memory::FreeMemorySource};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/storyteller-4m.sefp.safetensors");

fn source() -> ModelSource {
    Path::new(MODEL).into()
}

fn with_free(bytes: u64) -> Preflight {
    let options = PreflightOptions { free: Some(FreeMemory::given(bytes)), ..PreflightOptions::default() };
    preflight(source(), &options).expect("a model")
}

#[test]
fn the_highest_precision_that_fits_and_leaves_a_tenth() {
    let all = with_free(1 << 40);
    assert_eq!(all.highest, Some(Precision::E5M8));
    assert_eq!(all.needs.len(), 6);
    assert!(all.needs.is_sorted_by_key(|need| need.counted_bytes));
    for need in &all.needs {
        let just = need.counted_bytes * LEFT_FREE / (LEFT_FREE - 1) + LEFT_FREE;
        assert_eq!(with_free(just).highest, Some(need.precision));
        let less = with_free(need.counted_bytes);
        assert!(less.highest < Some(need.precision), "{less:?}");
        assert!(with_free(just).summary.starts_with(&need.precision.to_string()));
    }
    let none = with_free(1 << 20);
    assert_eq!(none.highest, None);
    assert!(none.summary.starts_with("Nothing fits: E5M3"), "{}", none.summary);
    assert!(none.summary.contains("of 1.0 MB that are free"), "{}", none.summary);
}

#[test]
fn the_parts_follow_context_format_and_device() {
    let need = |options: PreflightOptions| {
        let needs = preflight(source(), &options).expect("a model").needs;
        needs.into_iter().next_back().expect("the highest precision")
    };
    let whole = need(PreflightOptions::default());
    // 7 layers of 3 heads of 32 values, keys and values of 2 bytes.
    assert_eq!(whole.kv_bytes, 512 * 7 * 3 * 32 * 2 * 2);
    assert_eq!((whole.gpu_bytes, whole.in_file), (0, true));
    let parts = whole.mapped_bytes + whole.kv_bytes + whole.scratch_bytes + whole.text_bytes;
    assert_eq!(whole.counted_bytes, parts);
    let short = need(PreflightOptions { context_length: Some(65), ..PreflightOptions::default() });
    assert_eq!(short.kv_bytes, whole.kv_bytes / 4, "whole blocks of 64");
    let cpu = CpuOptions { kv_format: KvFormat::Int8, ..CpuOptions::default() };
    let int8 = need(PreflightOptions { cpu, ..PreflightOptions::default() });
    assert_eq!(int8.kv_bytes, 512 * 7 * 3 * (32 + 4) * 2);
    let gpu = need(PreflightOptions { device: DeviceKind::Gpu, ..PreflightOptions::default() });
    assert!(gpu.gpu_bytes > gpu.mapped_bytes + whole.kv_bytes && gpu.kv_bytes == 0);
    assert_eq!(gpu.counted_bytes, gpu.gpu_bytes + gpu.scratch_bytes + gpu.text_bytes);
}

#[test]
fn a_profile_is_counted_as_it_is_read_and_capped_to_fit() {
    let with = |profile: &str, free| {
        let profile = profile.parse().expect("a profile");
        let options = PreflightOptions { profile, free, ..PreflightOptions::default() };
        preflight(source(), &options)
    };
    let plenty = Some(FreeMemory::given(1 << 40));
    let uniform = with("8", plenty).expect("a model").needs;
    let mixed = with("4,mlp=7,layers.0=6", plenty).expect("a model");
    assert_eq!(mixed.highest, Some(Precision::E5M7));
    assert_eq!(mixed.needs.len(), 5, "E5M3 to E5M7");
    for (mixed, uniform) in mixed.needs.iter().zip(&uniform).take(2) {
        assert_eq!(mixed, uniform, "nothing of it is below {}", mixed.precision);
    }
    for need in &mixed.needs[2..] {
        let uniform = uniform.iter().find(|other| other.precision == need.precision).expect("a need");
        assert!(need.mapped_bytes < uniform.mapped_bytes);
        let just = need.counted_bytes * LEFT_FREE / (LEFT_FREE - 1) + LEFT_FREE;
        let just = with("4,mlp=7,layers.0=6", Some(FreeMemory::given(just))).expect("a model");
        assert_eq!(just.highest, Some(need.precision));
    }
    let error = with("4,layers.7=6", plenty).expect_err("no such layer");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn pages_of_files_do_not_count_where_the_system_does_not_count_them() {
    let free = FreeMemory { bytes: 1 << 30, source: FreeMemorySource::ProcessLimit };
    let options = PreflightOptions { free: Some(free), ..PreflightOptions::default() };
    for need in preflight(source(), &options).expect("a model").needs {
        assert_eq!(need.counted_bytes, need.kv_bytes + need.scratch_bytes + need.text_bytes);
    }
}

#[test]
fn a_part_of_a_file_holds_what_it_completes() {
    let bytes = std::fs::read(MODEL).expect("the model");
    let checkpoint = Checkpoint::open(MODEL).expect("the model");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("part");
    let end = |precision| {
        let section = crate::checkpoint::Section::completing(precision) as usize;
        (checkpoint.data_start() + checkpoint.sections()[section].end) as usize
    };
    for (length, highest) in [
        (checkpoint.data_start() as usize, None),
        (end(Precision::E5M5), Some(Precision::E5M5)),
        (end(Precision::E5M5) + 1, Some(Precision::E5M5)),
    ] {
        std::fs::write(&path, &bytes[..length]).expect("a file");
        let options =
            PreflightOptions { free: Some(FreeMemory::given(1 << 40)), ..PreflightOptions::default() };
        let part = preflight(path.as_path().into(), &options).expect("a header is enough");
        assert_eq!(part.highest, highest, "{length}");
        assert_eq!(part.summary.contains("no precision yet"), highest.is_none(), "{}", part.summary);
    }
}

#[test]
fn a_context_out_of_range_is_an_error() {
    for tokens in [0, 513] {
        let options = PreflightOptions { context_length: Some(tokens), ..PreflightOptions::default() };
        let error = preflight(source(), &options).expect_err("out of range");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
