//! Replays the corpus of every fuzz target, without a fuzzer.

use std::{fs, path::Path};

use otaro_fuzz::TARGETS;

#[test]
fn the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let folder = corpus.join(name);
        let mut inputs: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("an entry of the corpus").path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{} holds no inputs", folder.display());
        for input in inputs {
            // The last line before a panic names the input.
            println!("{}", input.display());
            target(&fs::read(&input).expect("an input of the corpus"));
        }
        target(&[]);
    }
}

#[test]
fn every_target_is_a_program_and_the_other_way_round() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let mut programs: Vec<_> = fs::read_dir(folder)
        .expect("the folder of the programs")
        .map(|entry| entry.expect("a program").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    programs.sort();
    let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    names.sort();
    assert_eq!(names, programs);
}
