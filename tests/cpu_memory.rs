//! Memory on the CPU: planes above the precision stay on the disk, nothing is copied out of the file,
//! and `trim` gives back what was read. The system's own count is asked, which Linux has.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, path::Path, sync::Arc};

use otaro::{
    Architecture, CancelToken, Checkpoint, Model, Precision, PrecisionProfile, Session,
    checkpoint::Section,
    cpu::{CpuKernel, CpuOptions, KvFormat},
};
use otaro_tests::{temporary_folder, tiny};

/// Some 17 million weights: a bit plane has 2 MiB, the file 20.
fn architecture() -> Architecture {
    Architecture {
        vocab_size: 2048,
        hidden_size: 512,
        intermediate_size: 2048,
        layers: 4,
        heads: 8,
        kv_heads: 4,
        head_dim: 64,
        ..tiny::regular()
    }
}

/// What may be in memory beside: stacks, tables, pages that the allocator keeps.
const SLACK: u64 = 3 << 20;

/// Bytes of a file's sections that are mapped into this process and in memory, in their order.
fn resident(path: &Path, checkpoint: &Checkpoint) -> Vec<u64> {
    let path = path.canonicalize().unwrap();
    let mut bytes = vec![0; Section::ALL.len()];
    let mut section = None;
    for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        if fields.len() >= 5 && fields[0].contains('-') {
            let offset = u64::from_str_radix(fields[2], 16).unwrap();
            // A map begins at most a page before its section.
            let begins_by = |end: u64| checkpoint.data_start() + end <= offset + 4096;
            section = (fields.last() == Some(&path.to_str().unwrap()))
                .then(|| checkpoint.sections().iter().rposition(|info| begins_by(info.begin)).unwrap());
        } else if let (Some(section), ["Rss:", kilobytes, ..]) = (section, &fields[..]) {
            bytes[section] += 1024 * kilobytes.parse::<u64>().unwrap();
        }
    }
    bytes
}

/// Bytes of memory that no file stands behind.
fn anonymous() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    1024 * line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

fn generate(session: &mut Session, tokens: usize) {
    for token in 0..tokens as u32 {
        session.top_k(&[token], 1, &CancelToken::new()).unwrap();
    }
}

/// One test, as all of them look at the memory of the process.
#[test]
fn memory_is_proportional_to_the_precision() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    drop(tiny::checkpoint(&path, &architecture(), 3));
    for kernel in CpuKernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
        let options = CpuOptions { kernel: Some(kernel), ..CpuOptions::default() };
        planes_come_and_go(&path, &options);
    }
    kv_cache_grows_with_the_context(&path);
}

fn planes_come_and_go(path: &Path, options: &CpuOptions) {
    let before = anonymous();
    let checkpoint = Arc::new(Checkpoint::open(path).unwrap());
    let model = Model::on_cpu(Arc::clone(&checkpoint), None, options).unwrap();
    let size = |section: Section| {
        checkpoint.sections()[section as usize].end - checkpoint.sections()[section as usize].begin
    };
    let check = |highest: Section, when: &str| {
        let resident = resident(path, &checkpoint);
        for (section, bytes) in Section::ALL.into_iter().zip(resident).skip(Section::Scales as usize) {
            // The system maps a few pages around those that are read.
            match section <= highest {
                true => assert!(bytes > size(section) * 9 / 10, "{when}: {section} has only {bytes} bytes"),
                false => assert!(bytes < 128 << 10, "{when}: {section} has {bytes} bytes"),
            }
        }
    };
    assert_eq!(model.resident_bytes(), 0);
    let mut session = model.session(Precision::E5M3).unwrap();
    generate(&mut session, 3);
    check(Section::Base, "at E5M3");
    assert_eq!(model.resident_bytes(), weights(&checkpoint, Section::Base));
    let grown = anonymous().saturating_sub(before);
    assert!(grown < session.kv_bytes() + SLACK, "{grown} bytes beside the file: were weights copied?");

    model.prepare(Precision::E5M5).unwrap();
    check(Section::Base, "after reading ahead, which maps nothing");
    session.set_precision(Precision::E5M8).unwrap();
    let highest = session.logits(&[5], &CancelToken::new()).unwrap();
    check(Section::Bit8, "at E5M8");
    assert_eq!(model.resident_bytes(), weights(&checkpoint, Section::Bit8));

    // A profile keeps the planes of some matrices: here those of the feed-forward blocks, of every layer alike.
    model.trim("4,mlp=8".parse::<PrecisionProfile>().unwrap()).unwrap();
    let kept = 4 * 3 * 2048 * 512 / 8;
    for (section, bytes) in Section::ALL.into_iter().zip(resident(path, &checkpoint)) {
        let near = (kept * 9 / 10..kept + (128 << 10)).contains(&bytes);
        assert!(section <= Section::Bit4 || near, "{section} has {bytes} of {kept} bytes");
    }

    model.trim(Precision::E5M4).unwrap();
    check(Section::Bit4, "trimmed to E5M4");
    assert_eq!(model.resident_bytes(), weights(&checkpoint, Section::Bit4));
    session.truncate(session.position() - 1);
    assert_eq!(
        session.logits(&[5], &CancelToken::new()).unwrap(),
        highest,
        "the planes come back as they were"
    );
    check(Section::Bit8, "at E5M8 again");
}

/// How long the first token of a file takes that is not in memory, with and without reading ahead:
/// `cargo test -p otaro-tests --test cpu_memory -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn time_of_a_cold_file() {
    let architecture =
        Architecture { hidden_size: 1024, intermediate_size: 8192, layers: 8, ..architecture() };
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    drop(tiny::checkpoint(&path, &architecture, 3));
    for _ in 0..3 {
        for read_ahead in [false, true] {
            let forget = ["oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"];
            let dd =
                std::process::Command::new("dd").arg(format!("of={}", path.display())).args(forget).status();
            assert!(dd.unwrap().success());
            let start = std::time::Instant::now();
            let model =
                Model::on_cpu(Arc::new(Checkpoint::open(&path).unwrap()), None, &CpuOptions::default())
                    .unwrap();
            if read_ahead {
                model.prepare(Precision::E5M4).unwrap();
            }
            generate(&mut model.session(Precision::E5M4).unwrap(), 1);
            let cold = start.elapsed();
            let start = std::time::Instant::now();
            generate(&mut model.session(Precision::E5M4).unwrap(), 1);
            println!("read ahead: {read_ahead}; first token {cold:?}, next {:?}", start.elapsed());
        }
    }
}

/// Bytes of tensors up to a section, padding not counted.
fn weights(checkpoint: &Checkpoint, last: Section) -> u64 {
    let architecture = checkpoint.architecture();
    let precision = Precision::ALL.into_iter().find(|&p| Section::completing(p) == last).unwrap();
    let matrices: usize =
        otaro::WeightMatrix::all(architecture).map(|matrix| matrix.grid(architecture).bytes(precision)).sum();
    (matrices + otaro::Norm::all(architecture).count() * architecture.hidden_size * 4) as u64
}

fn kv_cache_grows_with_the_context(path: &Path) {
    for (kv_format, bytes_per_head) in [(KvFormat::F16, 128), (KvFormat::F32, 256), (KvFormat::Int8, 68)] {
        let options = CpuOptions { kv_format, ..CpuOptions::default() };
        let model = Model::on_cpu(Arc::new(Checkpoint::open(path).unwrap()), None, &options).unwrap();
        let bytes_per_position = kv_format.bytes_per_position(model.architecture());
        assert_eq!(bytes_per_position, 2 * 4 * 4 * bytes_per_head);
        let mut session = model.session(Precision::E5M3).unwrap();
        assert_eq!(session.kv_bytes(), 0);
        generate(&mut session, 1);
        assert_eq!(session.kv_bytes(), 64 * bytes_per_position as u64, "{kv_format:?}");
        session.prefill(&[1; 64], &CancelToken::new()).unwrap();
        assert_eq!(session.kv_bytes(), 128 * bytes_per_position as u64, "{kv_format:?}");
    }
}
