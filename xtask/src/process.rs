//! Starting other programs, and where the repository keeps its things.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The runtime and what is around it, for cargo. Built together with the trainer, the lab or the generator of the
/// bindings, the dependencies would get the features that those ask for, and not the ones they are shipped with.
pub(crate) const RUNTIME: [&str; 7] =
    ["--workspace", "--exclude", "otaro-trainer", "--exclude", "otaro-lab", "--exclude", "otaro-bindgen"];

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Where cargo builds, and where tools and fuzzing keep what they make.
pub(crate) fn target() -> PathBuf {
    // A relative directory counts from where cargo was started, which is the root for all of ours.
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target")))
}

/// The cargo that runs this program, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root());
    command
}

/// Runs a command to its end with nothing on its standard input; its output passes through.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("$ {line}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("`{line}` did not start"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Makes tests fail that do not find the folder `../shared`, where it is: real weights and reference
/// numbers.
pub(crate) fn require_shared(command: &mut Command) {
    if root().join("../shared").is_dir() {
        command.env("OTARO_REQUIRE_SHARED", "1");
    }
}

/// A command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().map_or_else(|| command.get_program().into(), OsString::from);
    let words = [program].into_iter().chain(command.get_args().map(OsString::from));
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Whether a program of this name is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_typed_again() {
        let mut command = Command::new("/some/where/chat");
        command.args(["--prompt", "Once upon a time", "it's", ""]);
        assert_eq!(line(&command), r"chat --prompt 'Once upon a time' 'it'\''s' ''");
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
