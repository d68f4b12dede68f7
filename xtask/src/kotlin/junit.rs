//! Running tests on the JVM.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use super::compile::joined;
use crate::process::{line, root};

/// The model that the tests run.
const MODEL: &str = "models/storyteller-4m.sefp.safetensors";

/// Tests that were compiled.
pub(super) struct Tests<'a> {
    /// Where their classes are.
    pub(super) classes: &'a Path,
    pub(super) path: &'a [PathBuf],
    /// The library that they test.
    pub(super) library: &'a Path,
    /// More options of the JVM.
    pub(super) options: &'a [String],
}

impl Tests<'_> {
    /// Runs them with JUnit; returns how many passed.
    pub(super) fn run(&self) -> Result<usize> {
        let mut java = self.command()?;
        let line = line(&java);
        eprintln!("$ {}", line.split(" -cp ").next().unwrap_or(&line));
        let mut child =
            java.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("java did not start")?;
        let output = child.stdout.take().context("the output of java")?;
        let (mut passed, mut failed) = (None, None);
        for said in BufReader::new(output).lines() {
            let said = said?;
            eprintln!("{said}");
            passed = count(&said, "tests successful").or(passed);
            failed = count(&said, "tests failed").or(failed);
        }
        let status = child.wait()?;
        let name = self.classes.display();
        let (Some(passed), Some(failed)) = (passed, failed) else {
            bail!("the tests of {name} did not come to their end: {status}");
        };
        ensure!(failed == 0 && status.success(), "{failed} tests of {name} failed: {status}");
        ensure!(passed > 0, "{name} holds no tests");
        Ok(passed)
    }

    fn command(&self) -> Result<Command> {
        let folder = self.library.parent().context("the library lies in a folder")?;
        let resources = root().join("android/otaro/src/test/resources");
        let mut java = Command::new("java");
        java.args(["-Xmx1g", "-ea", "--add-opens=java.base/java.io=ALL-UNNAMED"]).args(self.options);
        java.arg(format!("-Djna.library.path={}", folder.display()));
        java.arg(format!("-Dotaro.model={}", root().join(MODEL).display()));
        java.arg("-cp").arg(joined(&[&[self.classes.to_owned(), resources][..], self.path].concat())?);
        java.args(["org.junit.platform.console.ConsoleLauncher", "execute", "--disable-banner"]);
        java.args(["--disable-ansi-colors", "--details=tree", "--fail-if-no-tests", "--scan-class-path"]);
        java.arg(self.classes);
        Ok(java)
    }
}

/// The number in a line such as `[        12 tests successful      ]`.
fn count(line: &str, what: &str) -> Option<usize> {
    let inner = line.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    inner.strip_suffix(what)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_junit_is_read() {
        assert_eq!(count("[        12 tests successful      ]", "tests successful"), Some(12));
        assert_eq!(count("[         0 tests failed          ]", "tests failed"), Some(0));
        assert_eq!(count("[        12 tests started         ]", "tests successful"), None);
        assert_eq!(count("12 tests successful", "tests successful"), None);
    }
}
