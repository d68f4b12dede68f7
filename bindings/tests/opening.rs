//! Opening: from paths and descriptors, with progress, cancel and errors.

mod support;

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use otaro_ffi::{
    DeviceChoice, ErrorKind, ModelSource, OpenOptions, OpenStage, PreflightOptions, SessionOptions,
    build_info, diagnostics, open, preflight,
};
use support::{MODEL, ask, kind, model, on_cpu, opened, read, session, source};

fn path(path: &Path) -> ModelSource {
    ModelSource::Path { path: path.display().to_string() }
}

#[test]
fn progress_goes_through_the_stages() {
    let options = OpenOptions { verify: true, prepare_mantissa_bits: Some(8), ..on_cpu() };
    let task = open(source(), options).expect("a thread");
    let mut last = task.progress();
    while let Some(progress) = pollster::block_on(task.next_progress()) {
        assert!(
            (progress.stage as u8, progress.fraction) >= (last.stage as u8, last.fraction),
            "{progress:?}"
        );
        last = progress;
    }
    assert_eq!((last.stage, last.fraction), (OpenStage::Ready, 1.0));
    let model = pollster::block_on(task.model()).expect("a model");
    assert_eq!(kind(task.model_blocking()), ErrorKind::InvalidArgument, "it was taken");
    let info = model.info().expect("an open model");
    assert_eq!((info.layers, info.vocab_size, info.context_length), (7, 4096, 512));
    assert!(info.has_chat_template && !info.on_gpu && info.device.starts_with("cpu"), "{info:?}");
    assert_eq!((info.max_mantissa_bits, info.file_bytes), (8, fs::metadata(MODEL).expect("a file").len()));
}

#[test]
fn a_cancelled_opening_says_so() {
    // It may be over before the cancel comes; one of so many is not.
    let cancelled = (0..50).any(|_| {
        let task = open(source(), OpenOptions { verify: true, ..on_cpu() }).expect("a thread");
        task.cancel();
        task.cancel();
        task.model_blocking().is_err_and(|error| {
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            true
        })
    });
    assert!(cancelled);
}

#[test]
fn files_that_are_no_models_are_errors_by_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).expect("a file");
        path(&file)
    };
    let model = fs::read(MODEL).expect("the model");
    let mut damaged = model.clone();
    *damaged.last_mut().expect("a byte") ^= 1;
    let verify = OpenOptions { verify: true, ..on_cpu() };
    let cases = [
        (path(Path::new("/no/such/file")), ErrorKind::Io),
        (path(folder.path()), ErrorKind::NotACheckpoint),
        (write("empty", b""), ErrorKind::NotACheckpoint),
        (write("text", b"a text that is no model at all"), ErrorKind::NotACheckpoint),
        (write("part", &model[..model.len() / 4]), ErrorKind::MissingPlanes),
        (write("damaged", &damaged), ErrorKind::Corrupt),
    ];
    for (source, expected) in cases {
        assert_eq!(kind(opened(source.clone(), verify.clone())), expected, "{source:?}");
    }
    let bits = OpenOptions { prepare_mantissa_bits: Some(9), ..on_cpu() };
    assert_eq!(kind(open(source(), bits)), ErrorKind::InvalidArgument);
    let prefix = opened(write("prefix", &model[..model.len() * 3 / 4]), on_cpu()).expect("a model at less");
    let most = prefix.info().expect("an open model").max_mantissa_bits;
    assert!((3..8).contains(&most), "{most}");
    assert_eq!(kind(prefix.session(SessionOptions::default())), ErrorKind::MissingPlanes);
    let options = SessionOptions { mantissa_bits: 3, ..SessionOptions::default() };
    let session = prefix.session(options).expect("the lowest precision");
    assert_eq!(kind(session.set_precision(8)), ErrorKind::MissingPlanes);
    assert_eq!(session.set_precision(most).expect("it is there"), most);
}

#[test]
fn a_build_knows_where_it_comes_from() {
    let info = build_info();
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert!(info.revision == "unknown" || info.revision.len() >= 12, "{info:?}");
    assert!(info.target.contains(std::env::consts::ARCH), "{info:?}");
    let text = diagnostics().expect("text");
    assert!(text.contains(&info.revision) && text.contains("kernels") && text.contains("peak"), "{text}");
}

#[test]
fn diagnostics_have_what_a_report_needs() {
    let session = session(&model());
    read(&ask(&session, 10));
    let text = session.diagnostics().expect("text");
    let wanted = [
        "storyteller-4m.sefp.safetensors",
        "sha256",
        "bit8",
        "cpu (",
        "because",
        "7 layers",
        "E5M6 of E5M6 wanted",
        "of 512 tokens",
        "idle",
        "answer 10",
        "anonymous",
        "peak",
    ];
    for what in wanted {
        assert!(text.contains(what), "no {what} in\n{text}");
    }
    assert!(text.lines().all(|line| line.len() > 11), "{text}");
}

#[test]
fn the_canary_keeps_the_gpu_away_after_a_start_that_died() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("otaro-gpu-canary.txt");
    let options = || OpenOptions {
        device: DeviceChoice::Gpu,
        state_folder: Some(folder.path().display().to_string()),
        ..OpenOptions::default()
    };
    fs::write(&file, format!("{}\nmodel x on the GPU\n", env!("CARGO_PKG_VERSION"))).expect("a file");
    let model = opened(source(), options()).expect("a model");
    let info = model.info().expect("an open model");
    assert!(!info.on_gpu, "{info:?}");
    assert!(info.device_reason.as_ref().is_some_and(|reason| reason.contains("model x")), "{info:?}");
    assert!(model.diagnostics().expect("text").contains("model x"));
    fs::remove_file(&file).expect("the file");
    let cpu = OpenOptions { device: DeviceChoice::Cpu, ..options() };
    opened(source(), cpu).expect("a model");
    assert!(!file.exists(), "the CPU needs no canary");
    // With a GPU, or without one, nothing is left behind.
    if let Ok(model) = opened(source(), options()) {
        assert!(file.exists(), "the GPU is on trial");
        read(&ask(&session(&model), 2));
    }
    assert!(!file.exists());
}

#[cfg(unix)]
mod descriptors {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    fn descriptor(file: &File, offset: u64, length: Option<u64>) -> ModelSource {
        ModelSource::Descriptor { descriptor: file.as_raw_fd(), offset, length }
    }

    /// The model within a larger file, as an asset in a package.
    fn package(offset: usize) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&vec![0xaa; offset]).expect("the front");
        file.write_all(&fs::read(MODEL).expect("the model")).expect("the model");
        file.write_all(&[0xbb; 5000]).expect("the back");
        file
    }

    #[test]
    fn a_model_within_a_package_answers_the_same() {
        let expected = read(&ask(&session(&model()), 30)).text;
        let length = fs::metadata(MODEL).expect("a file").len();
        for offset in [0, 4, 60, 64, 4096, 16384, 16384 * 3 + 4] {
            let file = package(offset);
            let model = opened(descriptor(&file, offset as u64, Some(length)), on_cpu()).expect("a model");
            // The library has a descriptor of its own.
            drop(file);
            let session = session(&model);
            assert_eq!(read(&ask(&session, 30)).text, expected, "{offset}");
            session.set_precision(8).expect("all planes are there");
            session.trim().expect("an open session");
            assert_eq!(read(&ask(&session, 3)).token_ids.len(), 3);
            assert_eq!(model.info().expect("an open model").file_bytes, length);
        }
    }

    #[test]
    fn lengths_are_kept_to() {
        let file = package(64);
        let length = fs::metadata(MODEL).expect("a file").len();
        let part = |length| opened(descriptor(&file, 64, Some(length)), on_cpu());
        assert_eq!(kind(part(length / 4)), ErrorKind::MissingPlanes);
        assert_eq!(kind(part(4)), ErrorKind::NotACheckpoint);
        let prefix = part(length - 1).expect("all but the last plane");
        assert_eq!(prefix.info().expect("an open model").max_mantissa_bits, 7);
        // More than there is, and none at all, mean to the end of the file.
        for length in [Some(u64::MAX), None] {
            let whole = opened(descriptor(&file, 64, length), on_cpu()).expect("a model");
            assert_eq!(whole.info().expect("an open model").max_mantissa_bits, 8);
        }
        let beyond = opened(descriptor(&file, 1 << 40, None), on_cpu());
        assert_eq!(kind(beyond), ErrorKind::NotACheckpoint);
    }

    #[test]
    fn what_cannot_be_mapped_is_an_error_that_says_why() {
        for offset in [1, 2, 6, 4095] {
            let error =
                opened(descriptor(&package(offset), offset as u64, None), on_cpu()).expect_err("not aligned");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("zipalign"), "{error}");
        }
        let none = |descriptor| ModelSource::Descriptor { descriptor, offset: 0, length: None };
        assert_eq!(kind(open(none(-1), on_cpu())), ErrorKind::InvalidArgument);
        assert_eq!(kind(open(none(i32::MAX), on_cpu())), ErrorKind::Io);
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        assert_eq!(kind(opened(none(reader.as_raw_fd()), on_cpu())), ErrorKind::NotACheckpoint);
    }

    #[test]
    fn the_position_of_the_file_is_left_alone() {
        let mut file = package(4096);
        file.seek(SeekFrom::Start(17)).expect("a file");
        let model = opened(descriptor(&file, 4096, None), on_cpu()).expect("a model");
        read(&ask(&session(&model), 5));
        preflight(descriptor(&file, 4096, None), PreflightOptions::default()).expect("a header");
        assert_eq!(file.stream_position().expect("a file"), 17);
        let mut byte = [0];
        file.read_exact(&mut byte).expect("a byte");
        assert_eq!(byte, [0xaa]);
        drop(model);
        assert!(file.into_raw_fd() >= 0, "the caller's own is still open");
    }
}
