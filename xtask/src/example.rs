//! The commands of the README, run as a newcomer would type them, in both profiles.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, line, root, target};

/// What the README tells a newcomer to type first.
const CHAT: &str = "cargo run --example chat -- --bits 6";

/// A small model that lies beside the repository where the tests' data does.
const MODEL: &str = "../shared/models/stories260K";

/// Runs the example as it stands in the README, then with a model on each device.
pub(crate) fn check() -> Result<String> {
    let readme = fs::read_to_string(root().join("README.md")).context("cannot read README.md")?;
    ensure!(readme.contains(CHAT), "README.md no longer says `{CHAT}`");
    let has_model = root().join(MODEL).is_dir();
    for profile in [&[][..], &["--release"]] {
        without_arguments(profile)?;
        if has_model {
            for device in ["cpu", "gpu"] {
                with_a_model(profile, device)?;
            }
        }
    }
    let note = format!("{MODEL} is absent: no text was generated");
    Ok(if has_model { String::new() } else { note })
}

/// The bare command. With nothing to chat with, the example says what to type and exits with 2; with
/// a model in `models/` it chats until its input ends, which is at once.
fn without_arguments(profile: &[&str]) -> Result<()> {
    let output = output(&mut chat(profile, &[]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if has_default_model()? {
        ensure!(output.status.success(), "the chat failed ({}): {said}", output.status);
    } else {
        ensure!(
            output.status.code() == Some(2) && said.contains("--model"),
            "without a model the example must exit with 2 and say how to name one; {}: {said}",
            output.status
        );
    }
    Ok(())
}

fn has_default_model() -> Result<bool> {
    let folder = root().join("models");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.any(|name| name.ends_with(".sefp.safetensors")))
}

/// The example answers with text.
fn with_a_model(profile: &[&str], device: &str) -> Result<()> {
    let mut arguments = vec!["--model", MODEL, "--prompt", "Once upon a time"];
    arguments.extend(["--max-tokens", "16", "--seed", "1", "--device", device]);
    let output = output(&mut chat(profile, &arguments))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("the example failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    ensure!(letters >= 16, "16 tokens of a story on the {device} are more than {text:?}");
    eprintln!("{}", text.trim());
    Ok(())
}

/// The command of the README with more arguments.
fn chat(profile: &[&str], arguments: &[&str]) -> Command {
    let mut words = CHAT.split(' ').skip(1);
    let mut command = cargo();
    command.args(words.next()).args(profile).args(words).args(arguments);
    // Where the example keeps what it packs: not among the things of whoever runs this.
    command.env("XDG_CACHE_HOME", target().join("example-cache"));
    command
}

fn output(command: &mut Command) -> Result<Output> {
    let line = line(command);
    eprintln!("$ {line}");
    command.stdin(Stdio::null()).output().with_context(|| format!("`{line}` did not start"))
}
