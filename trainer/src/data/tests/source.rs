use std::{collections::BTreeMap, fs, path::Path};

use super::encoder;
use crate::data::{Source, encode_sources};

#[test]
fn a_source_is_a_path_and_how_often() {
    let cases = [
        ("a.jsonl", "a.jsonl", 1.0),
        ("a.jsonl:3", "a.jsonl", 3.0),
        ("a/b.txt.zst:0.5", "a/b.txt.zst", 0.5),
        (r"C:\data\a.txt", r"C:\data\a.txt", 1.0),
        (r"C:\data\a.txt:2", r"C:\data\a.txt", 2.0),
        ("a:b.txt", "a:b.txt", 1.0),
    ];
    for (text, path, repeat) in cases {
        let expected = Source { path: path.into(), repeat };
        assert_eq!(text.parse::<Source>().unwrap(), expected, "{text}");
    }
}

#[test]
fn bad_sources_are_explained() {
    let cases = [
        ("", "empty"),
        (":3", "name of the file is missing"),
        ("a.txt:0", "greater than 0"),
        ("a.txt:-1", "greater than 0"),
        ("a.txt:inf", "greater than 0"),
        ("a.txt:NaN", "greater than 0"),
        ("a.txt:x3", "FILE:REPEAT"),
    ];
    for (text, words) in cases {
        let error = text.parse::<Source>().unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(text), "{text}: {error}");
    }
}

fn write(folder: &Path, name: &str, texts: &[String]) -> Source {
    let path = folder.join(name);
    fs::write(&path, texts.join("\n<|endoftext|>\n")).unwrap();
    Source { path, repeat: 1.0 }
}

#[test]
fn a_mix_counts_every_document_as_often_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..10).map(|n| format!("dog {n}")).collect();
    let one = Source { repeat: 2.5, ..write(folder.path(), "a.txt", &texts) };
    let other = Source { repeat: 0.3, ..write(folder.path(), "b.txt", &texts) };
    let mix = encode_sources(&[one.clone(), other], &encoder(), 1).unwrap();
    assert_eq!(mix.len(), 28);
    let mut counts = BTreeMap::new();
    for example in &mix[..25] {
        *counts.entry(&example.tokens).or_insert(0) += 1;
    }
    let mut counts: Vec<i32> = counts.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
    assert_eq!(encode_sources(std::slice::from_ref(&one), &encoder(), 1).unwrap(), mix[..25]);
    assert_ne!(encode_sources(&[one], &encoder(), 2).unwrap(), mix[..25]);
}

#[test]
fn errors_name_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source { repeat: 0.01, ..write(folder.path(), "a.txt", &["dog".to_owned()]) };
    let error = encode_sources(&[source], &encoder(), 1).unwrap_err().to_string();
    assert!(error.contains("a.txt") && error.contains("nothing is left"), "{error}");
}
