//! Damaged, truncated and foreign files: an error value each, never a panic.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use otaro::{
    CancelToken, Checkpoint, ErrorKind, Model, NamedProfiles, Precision,
    checkpoint::{Section, SectionCheck, write_checkpoint},
    cpu::CpuOptions,
    pack::RandomWeights,
};
use otaro_tests::{temporary_folder, tiny};

/// Does with a file what a user would: open, list, verify, compute a token at every precision.
fn exercise(path: &Path) -> otaro::Result<()> {
    let checkpoint = Arc::new(Checkpoint::open(path)?);
    checkpoint.metadata();
    checkpoint.verify(&mut |_| Ok(()))?;
    let model = Model::on_cpu(Arc::clone(&checkpoint), None, &CpuOptions::default()).unwrap();
    for precision in [Precision::MIN, checkpoint.available()?] {
        model.session(precision)?.logits(&[1, 2], &CancelToken::new())?;
    }
    Ok(())
}

fn kind_of(path: &Path) -> ErrorKind {
    exercise(path).unwrap_err().kind()
}

#[test]
fn no_flipped_byte_of_the_header_panics() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    let data_start = tiny::checkpoint(&path, &tiny::irregular(), 1).data_start();
    let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut header = vec![0; data_start as usize];
    file.read_exact(&mut header).unwrap();
    let (mut refused, mut accepted) = (0, 0);
    for (offset, &byte) in header.iter().enumerate() {
        for flip in [0x01, 0x10, 0xff] {
            put(&mut file, offset, byte ^ flip);
            match exercise(&path) {
                Ok(()) => accepted += 1,
                Err(_) => refused += 1,
            }
        }
        put(&mut file, offset, byte);
    }
    println!(
        "{refused} flips refused, {accepted} without effect on the numbers (hashes, provenance, padding names)"
    );
    assert!(refused > header.len(), "most of the header matters");
    exercise(&path).unwrap();
}

fn put(file: &mut File, offset: usize, byte: u8) {
    file.seek(SeekFrom::Start(offset as u64)).unwrap();
    file.write_all(&[byte]).unwrap();
}

#[test]
fn a_prefix_holds_the_precisions_that_it_completes() {
    let folder = temporary_folder();
    let whole = folder.path().join("whole.sefp.safetensors");
    let complete = tiny::checkpoint(&whole, &tiny::irregular(), 2);
    let bytes = fs::read(&whole).unwrap();
    assert_eq!(bytes.len() as u64, complete.complete_bytes());
    let end = |section: Section| (complete.data_start() + complete.sections()[section as usize].end) as usize;

    let path = folder.path().join("prefix.sefp.safetensors");
    for precision in Precision::ALL {
        let needed = end(Section::completing(precision));
        fs::write(&path, &bytes[..needed]).unwrap();
        let checkpoint = Arc::new(Checkpoint::open(&path).unwrap());
        assert_eq!(checkpoint.available().unwrap(), precision);
        let model = Model::on_cpu(Arc::clone(&checkpoint), None, &CpuOptions::default()).unwrap();
        let cancel = CancelToken::new();
        let logits = model.session(precision).unwrap().logits(&[5, 6, 7], &cancel).unwrap();
        let expected =
            Model::on_cpu(Arc::new(Checkpoint::open(&whole).unwrap()), None, &CpuOptions::default())
                .unwrap()
                .session(precision)
                .unwrap()
                .logits(&[5, 6, 7], &cancel)
                .unwrap();
        assert_eq!(logits, expected, "{precision}");
        if precision < Precision::MAX {
            let above = Precision::ALL[precision.bit_planes() + 1];
            let error = model.session(above).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingPlanes);
            let plane = format!("missing bit{}", above.mantissa_bits());
            assert!(
                error.to_string().contains(&plane) && error.to_string().contains(&above.to_string()),
                "{error}"
            );
        }
        // One byte less is the precision below, or none at all.
        fs::write(&path, &bytes[..needed - 1]).unwrap();
        match precision {
            Precision::E5M3 => assert_eq!(kind_of(&path), ErrorKind::MissingPlanes),
            _ => assert!(Checkpoint::open(&path).unwrap().available().unwrap() < precision),
        }
    }
}

#[test]
fn planes_are_picked_up_as_they_land() {
    let folder = temporary_folder();
    let whole = folder.path().join("whole.sefp.safetensors");
    let complete = tiny::checkpoint(&whole, &tiny::regular(), 3);
    let bytes = fs::read(&whole).unwrap();
    let base_end = (complete.data_start() + complete.sections()[Section::Base as usize].end) as usize;

    let path = folder.path().join("arriving.sefp.safetensors");
    fs::write(&path, &bytes[..base_end]).unwrap();
    let model =
        Model::on_cpu(Arc::new(Checkpoint::open(&path).unwrap()), None, &CpuOptions::default()).unwrap();
    let mut session = model.session(Precision::E5M3).unwrap();
    session.prefill(&[1, 2, 3], &CancelToken::new()).unwrap();
    assert_eq!(session.set_precision(Precision::E5M8).unwrap_err().kind(), ErrorKind::MissingPlanes);
    assert_eq!(session.profile().uniform(), Some(Precision::E5M3), "a refused change changes nothing");

    OpenOptions::new().append(true).open(&path).unwrap().write_all(&bytes[base_end..]).unwrap();
    session.set_precision(Precision::E5M8).unwrap();
    session.logits(&[4], &CancelToken::new()).unwrap();
}

#[test]
fn a_file_cut_anywhere_is_refused_or_usable() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    tiny::checkpoint(&path, &tiny::regular(), 4);
    let bytes = fs::read(&path).unwrap();
    for length in (0..64).chain((64..bytes.len()).step_by(509)) {
        fs::write(&path, &bytes[..length]).unwrap();
        if let Err(error) = exercise(&path) {
            let expected = [ErrorKind::NotACheckpoint, ErrorKind::MissingPlanes];
            assert!(expected.contains(&error.kind()), "{length}: {error}");
        }
    }
}

#[test]
fn foreign_files_are_named_as_such() {
    let folder = temporary_folder();
    let path = folder.path().join("file");
    let with_header = |json: &str| [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
    let cases: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("text", b"Once upon a time".repeat(100)),
        ("gguf", [b"GGUF".as_slice(), &[3; 4096]].concat()),
        ("huge header", [u64::MAX.to_le_bytes().as_slice(), &[b'{'; 100]].concat()),
        ("header beyond the end", [1_000_u64.to_le_bytes().as_slice(), b"{}"].concat()),
        ("no metadata", with_header("{}")),
        ("another format", with_header(r#"{"__metadata__":{"format":"pt"}}"#)),
    ];
    for (name, bytes) in cases {
        fs::write(&path, bytes).unwrap();
        assert_eq!(kind_of(&path), ErrorKind::NotACheckpoint, "{name}");
    }
    assert_eq!(kind_of(folder.path()), ErrorKind::NotACheckpoint, "a folder");
    assert_eq!(kind_of(&folder.path().join("absent")), ErrorKind::Io);
}

/// Rewrites a text of the header by another of the same length.
fn replace_in_header(path: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(path).unwrap();
    let at =
        bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("the text is there");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn contradictions_in_the_header_are_named() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    let cases = [
        (r#""version":"2.0""#, r#""version":"3.0""#, ErrorKind::UnsupportedVersion),
        (r#""version":"2.0""#, r#""version":"1.0""#, ErrorKind::UnsupportedVersion),
        (r#""version":"2.0""#, r#""version":"2.7""#, ErrorKind::Io), // a later minor version is read
        (r#""group_size":"64""#, r#""group_size":"32""#, ErrorKind::NotACheckpoint),
        (r#""lane_rows":"16""#, r#""lane_rows":"08""#, ErrorKind::NotACheckpoint),
        (r#""reconstruction":"midpoint""#, r#""reconstruction":"midpiont""#, ErrorKind::UnsupportedVersion),
        (r#""scale":"fine""#, r#""scale":"fain""#, ErrorKind::UnsupportedVersion),
        (r#""provenance""#, r#""provenence""#, ErrorKind::NotACheckpoint),
        (r#"\"layers\":2"#, r#"\"layers\":3"#, ErrorKind::Corrupt),
        (r#"\"layers\":2"#, r#"\"layers\":0"#, ErrorKind::UnsupportedModel),
        (r#"\"head_dim\":10"#, r#"\"head_dim\":11"#, ErrorKind::UnsupportedModel),
        (r#"\"kv_heads\":2"#, r#"\"kv_heads\":4"#, ErrorKind::UnsupportedModel),
        (r#"\"hidden_size\":72"#, r#"\"hidden_size\":73"#, ErrorKind::Corrupt),
        (r#""model.norm.weight""#, r#""model.norn.weight""#, ErrorKind::Corrupt),
        (r#"\"name\":\"bit5\""#, r#"\"name\":\"bit4\""#, ErrorKind::Corrupt),
    ];
    for (from, to, kind) in cases {
        tiny::checkpoint(&path, &tiny::irregular(), 5);
        replace_in_header(&path, from, to);
        match exercise(&path) {
            Ok(()) => assert_eq!(kind, ErrorKind::Io, "{from} -> {to} was accepted"),
            Err(error) => assert_eq!(error.kind(), kind, "{from} -> {to}: {error}"),
        }
    }
}

#[test]
fn profiles_that_contradict_the_model_are_named() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    let mut manifest = tiny::manifest(&tiny::regular());
    manifest.profiles = NamedProfiles::from_json(r#"{"mixed": {"all": 4, "layers.1": 6}}"#).unwrap();
    let mut weights = RandomWeights::new(&tiny::regular(), 5);
    for (from, to, message) in [
        (r#"\"layers.1\":6"#, r#"\"layers.2\":6"#, "the model has layers 0 to 1"),
        (r#"\"layers.1\":6"#, r#"\"loyers.1\":6"#, "'loyers.1' is nothing that a profile can name"),
        (r#"\"layers.1\":6"#, r#"\"layers.1\":9"#, "9 mantissa bits"),
        (r#"\"all\":4"#, r#"\"mlp\":4"#, "at which precision embedding, attention, head is read"),
        (r#"{\"mixed\":{"#, r#"{\"mi ed\":{"#, "'mi ed' cannot be the name"),
        (r#"{\"mixed\":{"#, r#"[\"mixed\":{"#, "names and profiles"),
        (r#""profiles":"{"#, r#""profiles":"4"#, "an object of names and profiles"),
    ] {
        write_checkpoint(&path, &manifest, &mut weights, &mut |_| Ok(())).unwrap();
        exercise(&path).unwrap();
        replace_in_header(&path, from, to);
        let error = exercise(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{to}: {error}");
        assert!(error.to_string().contains("metadata field 'profiles'"), "{to}: {error}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(message), "{to}: {cause}");
    }
    // A writer does not write what no reader takes.
    manifest.profiles = NamedProfiles::from_json(r#"{"deep": "4,layers.2=5"}"#).unwrap();
    let error = write_checkpoint(&path, &manifest, &mut weights, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[test]
fn a_file_of_an_earlier_format_is_to_be_packed_again() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    for (version, remedy) in [("1.0", "pack it again"), ("3.0", "update otaro"), ("2,0", "update otaro")] {
        tiny::checkpoint(&path, &tiny::regular(), 5);
        replace_in_header(&path, r#""version":"2.0""#, &format!(r#""version":"{version}""#));
        let message = exercise(&path).unwrap_err().to_string();
        assert!(
            message.contains(&format!("format version '{version}'")) && message.contains(remedy),
            "{message}"
        );
    }
}

#[test]
fn damaged_planes_are_found_by_their_hashes_and_never_panic() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    let checkpoint = tiny::checkpoint(&path, &tiny::regular(), 6);
    let intact = checkpoint.verify(&mut |_| Ok(())).unwrap();
    assert!(intact.iter().all(|(_, check)| *check == SectionCheck::Intact), "{intact:?}");
    let (start, sections) = (checkpoint.data_start(), checkpoint.sections().to_vec());
    let bytes = fs::read(&path).unwrap();
    for section in sections.iter().filter(|section| section.end > section.begin) {
        let mut damaged = bytes.clone();
        damaged[(start + section.begin) as usize] ^= 0x02;
        fs::write(&path, damaged).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        for (name, check) in checkpoint.verify(&mut |_| Ok(())).unwrap() {
            assert_eq!(check == SectionCheck::Damaged, name == section.name, "{name} of {}", section.name);
        }
    }
    // A scale code that no writer writes is refused when the file is opened.
    let mut damaged = bytes.clone();
    damaged[(start + sections[Section::Scales as usize].begin) as usize] = 241;
    fs::write(&path, damaged).unwrap();
    assert_eq!(kind_of(&path), ErrorKind::Corrupt);
    // Norms that are not numbers give logits that are not numbers, not a crash.
    let mut damaged = bytes;
    let norms = (start + sections[Section::Norms as usize].begin) as usize;
    damaged[norms..norms + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, damaged).unwrap();
    exercise(&path).unwrap();
}
