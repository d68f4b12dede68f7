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

/// Runs the tests in a folder of classes with JUnit; returns how many passed.
pub(super) fn run(tests: &Path, classpath: &[PathBuf], library: &Path) -> Result<usize> {
    let folder = library.parent().context("the library lies in a folder")?;
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-ea", "--add-opens=java.base/java.io=ALL-UNNAMED"]);
    java.arg(format!("-Djna.library.path={}", folder.display()));
    java.arg(format!("-Dotaro.model={}", root().join(MODEL).display()));
    java.arg("-cp").arg(joined(&[&[tests.to_owned()][..], classpath].concat())?);
    java.args(["org.junit.platform.console.ConsoleLauncher", "execute", "--disable-banner"]);
    java.args(["--disable-ansi-colors", "--details=tree", "--fail-if-no-tests", "--scan-class-path"]).arg(tests);
    let line = line(&java);
    eprintln!("$ {}", line.split(" -cp ").next().unwrap_or(&line));

    let mut child = java.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("java did not start")?;
    let output = child.stdout.take().context("the output of java")?;
    let (mut passed, mut failed) = (None, None);
    for said in BufReader::new(output).lines() {
        let said = said?;
        eprintln!("{said}");
        passed = count(&said, "tests successful").or(passed);
        failed = count(&said, "tests failed").or(failed);
    }
    let status = child.wait()?;
    let (Some(passed), Some(failed)) = (passed, failed) else {
        bail!("the tests of {} did not come to their end: {status}", tests.display());
    };
    ensure!(failed == 0 && status.success(), "{failed} tests of {} failed: {status}", tests.display());
    ensure!(passed > 0, "{} holds no tests", tests.display());
    Ok(passed)
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
