//! A Swift compiler: that of this machine, or Debian's in a folder of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::process::{on_path, root, run, target};

/// The release of Debian that first has Swift 6.
const RELEASE: &str = "trixie";

/// The compiler, and what it needs to link and to run tests.
const PACKAGES: &str = "--include=swiftlang,libc6-dev,libstdc++-14-dev,bash,coreutils";

/// Where Debian keeps the programs of Swift, of which it puts only a few on the path.
const PROGRAMS: &str = "/usr/libexec/swift/bin";

/// Where a Swift compiler is.
pub(crate) enum Toolchain {
    /// On the path.
    Here,
    /// In a root folder of Debian's packages.
    Root(PathBuf),
}

impl Toolchain {
    /// What this machine has; where its tools can make a root folder, they do so the first time.
    pub(crate) fn find() -> Result<Option<Self>> {
        if on_path("swiftc") {
            return Ok(Some(Self::Here));
        }
        if !cfg!(target_os = "linux") || !on_path("mmdebstrap") || !on_path("bwrap") {
            return Ok(None);
        }
        let folder = target().join("tools").join(format!("swift-{RELEASE}"));
        if !folder.is_dir() {
            // Once more, as it is a long way.
            bootstrap(&folder).or_else(|_| bootstrap(&folder))?;
        }
        Ok(Some(Self::Root(folder)))
    }

    /// A program of the toolchain, to be run at the root of the repository.
    pub(crate) fn command(&self, program: &str) -> Command {
        match self {
            Self::Here => {
                let mut command = Command::new(program);
                command.current_dir(root());
                command
            }
            Self::Root(folder) => inside(folder, program),
        }
    }
}

/// Runs in the folder as if it were the root, and sees of this machine the repository and the target folder.
fn inside(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("bwrap");
    command.arg("--bind").arg(folder).args(["/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]);
    for shared in [root().to_owned(), target()] {
        command.arg("--bind").arg(&shared).arg(&shared);
    }
    command.arg("--chdir").arg(root()).args(["--unshare-net", "--die-with-parent"]);
    command.args(["--setenv", "HOME", "/tmp", "--setenv", "PATH"]).arg(format!("{PROGRAMS}:/usr/bin"));
    command.arg(format!("{PROGRAMS}/{program}"));
    command
}

/// Unpacks the packages: 0.6 GB to fetch, 2.5 GB on the disk.
fn bootstrap(folder: &Path) -> Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Renamed at the end: a folder of the final name is complete.
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    let mut command = Command::new("mmdebstrap");
    run(command.args(["--variant=extract", PACKAGES, RELEASE]).arg(&partial))?;
    fs::rename(&partial, folder).with_context(|| format!("cannot rename {}", partial.display()))
}
