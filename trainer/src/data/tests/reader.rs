use std::{fs, path::Path};

use otaro::{Message, Role};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::data::{Document, Lines, read};

/// What a file of this name and content holds.
fn read_bytes(name: &str, bytes: &[u8]) -> anyhow::Result<Vec<Document>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    read(&path)
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn texts(texts: &[&str]) -> Vec<Document> {
    texts.iter().map(|text| Document::Text((*text).to_owned())).collect()
}

#[test]
fn text_files_hold_texts() {
    let cases: [(&str, &[&str]); 7] = [
        ("one\n\ntext \n", &["one\n\ntext \n"]),
        ("a\nb\n<|endoftext|>\nc\n", &["a\nb", "c"]),
        ("a\r\n<|endoftext|>\r\nb", &["a", "b"]),
        ("a <|endoftext|> b", &["a <|endoftext|> b"]),
        ("<|endoftext|>\n\n<|endoftext|>\na\n<|endoftext|>", &["a"]),
        ("\u{feff}a", &["a"]),
        ("  indented\n<|endoftext|>\n", &["  indented"]),
    ];
    for (content, expected) in cases {
        assert_eq!(read_bytes("a.txt", content.as_bytes()).unwrap(), texts(expected), "{content:?}");
        assert_eq!(read_bytes("a.txt.zst", &compressed(content.as_bytes())).unwrap(), texts(expected));
    }
}

#[test]
fn json_lines_hold_texts_and_conversations() {
    let content = concat!(
        "{\"text\": \"a\\nb\", \"source\": {\"x\": [1]}}\r\n",
        "\n  \n",
        "{\"text\": \" \"}\n",
        r#"{"messages": [{"role": "user", "content": "Hi", "id": 3}, {"role": "assistant", "content": "Hello!"}]}"#,
    );
    let chat = vec![Message::new(Role::User, "Hi"), Message::new(Role::Assistant, "Hello!")];
    let expected = vec![Document::Text("a\nb".to_owned()), Document::Chat(chat)];
    assert_eq!(read_bytes("A.JSONL", content.as_bytes()).unwrap(), expected);
    assert_eq!(read_bytes("a.jsonl.ZST", &compressed(content.as_bytes())).unwrap(), expected);
}

#[test]
fn all_frames_of_a_compressed_file_are_read() {
    let skipped = [&0x184d_2a53_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"xyz"].concat();
    let frames = [compressed(b"one "), skipped, compressed(b""), compressed(b"two")].concat();
    assert_eq!(read_bytes("a.txt.zst", &frames).unwrap(), texts(&["one two"]));
}

#[test]
fn errors_name_the_file_the_line_and_what_was_expected() {
    let good = r#"{"text": "a"}"#;
    let long = [good; 3].join("\n");
    let cases: [(&str, &[u8], &[&str]); 16] = [
        ("a.jsonl", b"\n{\"text\": \"a\"", &["a.jsonl:2", "column", "expected {\"text\""]),
        ("a.jsonl", b"{\"text\": \"a\"}\nhello\n", &["a.jsonl:2", "expected"]),
        ("a.jsonl", b"{\"text\": 3}", &["a.jsonl:1", "expected a string"]),
        ("a.jsonl", b"{\"txt\": \"a\"}", &["a.jsonl:1", "neither `text` nor `messages`"]),
        ("a.jsonl", b"{\"text\": \"a\", \"messages\": []}", &["a.jsonl:1", "both"]),
        ("a.jsonl", b"{\"messages\": []}", &["a.jsonl:1", "`messages` is empty"]),
        ("a.jsonl", b"{\"messages\": [{\"role\": \"user\"}]}", &["a.jsonl:1", "missing field `content`"]),
        ("a.jsonl", b"{\"messages\": [{\"content\": \"\"}]}", &["a.jsonl:1", "missing field `role`"]),
        (
            "a.jsonl",
            br#"{"messages": [{"role": "tool", "content": ""}]}"#,
            &["a.jsonl:1", "unknown variant `tool`", "`system`, `user`, `assistant`"],
        ),
        ("a.jsonl", b"{\"text\": \"a\"}\n\"\xff\"\n", &["a.jsonl:2", "UTF-8"]),
        ("a.txt", b"a\nb\n\xe4\n", &["a.txt:3", "UTF-8"]),
        ("a.txt", b" \n", &["a.txt holds no text"]),
        ("a.jsonl", b"", &["a.jsonl holds no text"]),
        ("a.csv", b"a,b", &["a.csv", "unknown kind of file", ".jsonl"]),
        ("a.zst", b"", &["a.zst", "unknown kind of file"]),
        ("a.jsonl.zst", long.as_bytes(), &["a.jsonl.zst:1", "cannot read"]),
    ];
    for (name, content, expected) in cases {
        let error = format!("{:#}", read_bytes(name, content).unwrap_err());
        for words in expected {
            assert!(error.contains(words), "{name} {:?}: {error}", String::from_utf8_lossy(content));
        }
    }
}

#[test]
fn missing_files_and_folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = read(&folder.path().join("gone.txt")).unwrap_err();
    assert!(missing.to_string().contains("gone.txt"), "{missing}");
    fs::create_dir(folder.path().join("folder.jsonl")).unwrap();
    for path in [folder.path(), &folder.path().join("folder.jsonl")] {
        let error = read(path).unwrap_err();
        assert!(error.to_string().contains("is a folder"), "{error}");
    }
}

#[test]
fn damage_of_a_compressed_file_is_an_error() {
    let text = "The dog saw a red ball. ".repeat(500);
    let whole = compressed(text.as_bytes());
    for cut in [5, whole.len() / 2, whole.len() - 1] {
        assert!(read_bytes("a.txt.zst", &whole[..cut]).is_err(), "cut at {cut}");
    }
    let mut wrong_sum = whole.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    let error = format!("{:#}", read_bytes("a.txt.zst", &wrong_sum).unwrap_err());
    assert!(error.contains("checksum"), "{error}");
    assert!(read_bytes("a.txt.zst", &[&whole[..], b"more"].concat()).is_err());
}

#[test]
fn lines_end_after_an_error() {
    let bytes: &[u8] = b"a\n\xff\nb\n";
    let mut lines = Lines::new(Path::new("x"), Box::new(bytes));
    assert_eq!(lines.next().unwrap().unwrap(), "a\n");
    assert!(lines.next().unwrap().is_err());
    assert!(lines.next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        // An error is fine; so is nothing but an error.
        for name in ["a.txt", "a.jsonl", "a.txt.zst", "a.jsonl.zst"] {
            read_bytes(name, &bytes).ok();
        }
        let frame = [&0xfd2f_b528_u32.to_le_bytes()[..], &bytes].concat();
        read_bytes("a.txt.zst", &frame).ok();
        read_bytes("a.jsonl.zst", &compressed(&bytes)).ok();
    }

    #[test]
    fn no_json_makes_the_reader_panic(line in r#"[{}\[\]":, \\untexmsagrolci0-9]{0,80}"#) {
        read_bytes("a.jsonl", line.as_bytes()).ok();
    }

    #[test]
    fn texts_survive(parts in prop::collection::vec("[a-z<|>\u{e4}][ a-z<|>\u{e4}\n]{0,20}[a-z]", 1..6)) {
        let joined = parts.join("\n<|endoftext|>\n");
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        prop_assert_eq!(read_bytes("a.txt", joined.as_bytes()).unwrap(), texts(&parts));
    }
}
