//! A small model and a small text.
#![allow(dead_code, reason = "every test uses a part of it")]

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use otaro::Architecture;
use otaro_tests::{huggingface, tiny};
use tempfile::TempDir;

/// A folder with a model of random weights, in `model/`, and a text of its words, `text.txt`.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        std::fs::create_dir(&model).unwrap();
        huggingface::write(&model, &Self::architecture(), 7, &huggingface::Form::default());
        std::fs::write(folder.path().join("text.txt"), text(4000)).unwrap();
        Self { folder }
    }

    pub fn architecture() -> Architecture {
        tiny::regular()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn model(&self) -> PathBuf {
        self.path("model")
    }

    /// Another model of the same vocabulary, in the folder `name`.
    pub fn teacher(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        let architecture = Architecture { layers: 1, intermediate_size: 96, ..Self::architecture() };
        huggingface::write(&folder, &architecture, 8, &huggingface::Form::default());
        folder
    }

    /// Flags of a short run into the folder `out`.
    pub fn flags(&self, out: &str) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let mut flags: Vec<String> = ["--length", "16", "--batch", "4", "--micro-batch", "1", "--steps", "8"]
            .into_iter()
            .chain(["--learning-rate", "1e-2", "--warmup", "2", "--threads", "2", "--eval-windows", "4"])
            .map(str::to_string)
            .collect();
        flags.extend(["--out".into(), path(&self.path(out)), "--model".into(), path(&self.model())]);
        flags.extend(["--data".into(), path(&self.path("text.txt")), "--holdout".into(), "0.1".into()]);
        flags
    }
}

/// Lines that a small model can learn: every word follows from the one before.
fn text(words: usize) -> String {
    let mut text = String::new();
    let mut word = 3_usize;
    for index in 0..words {
        let _ = write!(text, "w{word}{}", if index % 12 == 11 { '\n' } else { ' ' });
        word = (word * 5 + 7 + usize::from(index % 17 == 0)) % 128;
    }
    text
}
