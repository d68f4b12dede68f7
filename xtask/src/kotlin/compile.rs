//! Running the Kotlin compiler.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::folder;
use crate::process::run;

/// How strictly code is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// What was generated: it is not ours to improve.
    Generated,
    /// Tests and apps: no warnings.
    NoWarnings,
    /// The package: no warnings, and everything public says so.
    ExplicitApi,
}

impl Rules {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Generated => &["-nowarn"],
            Self::NoWarnings => &["-Werror"],
            Self::ExplicitApi => &["-Werror", "-Xexplicit-api=strict"],
        }
    }
}

/// Some sources that are compiled together.
pub(super) struct Compilation<'a> {
    pub(super) name: &'a str,
    pub(super) rules: Rules,
    /// Folders, read with those below them, and files.
    pub(super) sources: &'a [PathBuf],
    pub(super) classpath: &'a [PathBuf],
    /// Whose `internal` declarations these sources may use.
    pub(super) friends: &'a [PathBuf],
    pub(super) plugins: &'a [PathBuf],
}

impl Compilation<'_> {
    /// Compiles unless nothing has changed; returns the folder of the classes.
    pub(super) fn run(&self, compiler: &[PathBuf]) -> Result<PathBuf> {
        let classes = folder().join("classes").join(self.name);
        let stamp = folder().join("classes").join(format!("{}.sha256", self.name));
        let options = self.options(&classes);
        let files = self.files()?;
        let hash = self.hash(&options, &files)?;
        if fs::read_to_string(&stamp).is_ok_and(|known| known == hash) {
            return Ok(classes);
        }
        // What a deleted source left behind would still be found.
        for old in [&classes, &stamp] {
            if old.is_dir() { fs::remove_dir_all(old) } else { fs::remove_file(old) }.ok();
        }
        fs::create_dir_all(&classes)?;
        let arguments = classes.with_extension("arguments");
        let quoted = |word: &String| format!("\"{}\"\n", word.replace('\\', r"\\").replace('"', "\\\""));
        let paths = files.iter().map(|file| file.display().to_string());
        fs::write(
            &arguments,
            options.iter().cloned().chain(paths).map(|word| quoted(&word)).collect::<String>(),
        )?;
        let mut java = Command::new("java");
        java.args(["-Xmx1500m", "-cp"])
            .arg(joined(compiler)?)
            .arg("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler");
        run(java.arg(format!("@{}", arguments.display())))?;
        fs::write(&stamp, hash)?;
        Ok(classes)
    }

    fn options(&self, classes: &Path) -> Vec<String> {
        let mut options: Vec<String> = self.rules.options().iter().map(|&option| option.to_owned()).collect();
        options.extend(
            ["-no-stdlib", "-no-reflect", "-jvm-target", "17", "-module-name", self.name].map(str::to_owned),
        );
        options.extend(["-d".to_owned(), classes.display().to_string()]);
        options.extend(["-classpath".to_owned(), list(self.classpath)]);
        if !self.friends.is_empty() {
            let friends: Vec<_> = self.friends.iter().map(|path| path.display().to_string()).collect();
            options.push(format!("-Xfriend-paths={}", friends.join(",")));
        }
        options.extend(self.plugins.iter().map(|plugin| format!("-Xplugin={}", plugin.display())));
        options
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for source in self.sources {
            collect(source, &mut files)?;
        }
        files.sort();
        Ok(files)
    }

    /// Of everything that goes in. Jars never change under their names; classes that were compiled before do.
    fn hash(&self, options: &[String], files: &[PathBuf]) -> Result<String> {
        let mut hasher = Sha256::new();
        for option in options {
            hasher.update(option.as_bytes());
        }
        for file in files {
            hasher.update(fs::read(file).with_context(|| format!("cannot read {}", file.display()))?);
        }
        for folder in self.classpath.iter().filter(|path| path.is_dir()) {
            hasher.update(fs::read(folder.with_extension("sha256")).unwrap_or_default());
        }
        let mut hash = String::new();
        for byte in hasher.finalize() {
            write!(hash, "{byte:02x}")?;
        }
        Ok(hash)
    }
}

/// The Kotlin files under a folder, or a file itself.
fn collect(source: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if source.is_file() {
        files.push(source.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(source).with_context(|| format!("cannot list {}", source.display()))? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "kt") {
            collect(&path, files)?;
        }
    }
    Ok(())
}

/// A class path.
pub(super) fn joined(paths: &[PathBuf]) -> Result<std::ffi::OsString> {
    std::env::join_paths(paths).context("a path with a separator in it")
}

fn list(paths: &[PathBuf]) -> String {
    let separator = if cfg!(windows) { ";" } else { ":" };
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(separator)
}
