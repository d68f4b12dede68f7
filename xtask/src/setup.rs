//! What the tests need from the system beyond Rust: a Vulkan loader and driver for the GPU device, a
//! C++ compiler for the fuzzer's library, Clang and a Swift compiler for the Swift package, a JDK and
//! Maven for the Kotlin package, Python for fetching a real model, and for the trainer an MPI library with its command and libclang, by
//! which its headers are read. Debian and its relatives get the packages installed; elsewhere the
//! message says what is missing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::process::{on_path, run};

/// The compiler of Debian's packages, for what the workspace's own may have no standard library for.
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Something that the tests need.
struct Need {
    what: &'static str,
    /// The Debian packages that bring it.
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: [Need; 10] = [
    Need {
        what: "a Vulkan loader (libvulkan.so.1)",
        packages: &["libvulkan1"],
        present: || !linux() || loader().is_some(),
    },
    Need {
        what: "a Vulkan driver",
        packages: &["mesa-vulkan-drivers"],
        present: || !linux() || manifest_folders().iter().any(|folder| has_driver(folder)),
    },
    Need {
        what: "a C++ compiler",
        packages: &["g++"],
        present: || cfg!(windows) || env::var_os("CXX").is_some() || on_path("c++"),
    },
    Need {
        what: "an MPI library (mpicc, mpirun)",
        packages: &["libopenmpi-dev", "openmpi-bin"],
        present: || !linux() || (on_path("mpirun") && has_mpi_headers()),
    },
    Need {
        what: "a Java compiler (javac)",
        packages: &["default-jdk-headless"],
        present: || !linux() || on_path("javac"),
    },
    Need { what: "Maven (mvn)", packages: &["maven"], present: || !linux() || on_path("mvn") },
    Need {
        what: "Python with virtual environments",
        packages: &["python3-venv"],
        present: || !linux() || has_venv(),
    },
    Need { what: "libclang", packages: &["libclang-dev"], present: || !linux() || has_libclang() },
    Need { what: "Clang", packages: &["clang"], present: || !linux() || on_path("clang") },
    Need {
        what: "a Swift compiler, or what fetches one (mmdebstrap, bwrap)",
        packages: &["mmdebstrap", "bubblewrap"],
        present: || !linux() || on_path("swiftc") || (on_path("mmdebstrap") && on_path("bwrap")),
    },
];

/// Installs what is missing; says what that was.
pub(crate) fn prepare() -> Result<String> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok("nothing to install".to_owned());
    }
    let what = missing.iter().map(|need| need.what).collect::<Vec<_>>().join(", ");
    let packages: Vec<_> = missing.iter().flat_map(|need| need.packages).copied().collect();
    eprintln!("missing: {what}");
    if !on_path("apt-get") {
        bail!(
            "this machine lacks {what}, and only apt-get is known here: install what Debian calls {}",
            packages.join(", ")
        );
    }
    install(&packages)?;
    if let Some(need) = missing.iter().find(|need| !(need.present)()) {
        bail!("{} is still missing after installing {}", need.what, packages.join(", "));
    }
    Ok(format!("installed {}", packages.join(", ")))
}

/// Installs Debian packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    // Whoever installs packages at the same time is waited for.
    let wait = ["--option", "DPkg::Lock::Timeout=600"];
    run(as_root("apt-get", &["update"])?.args(wait))?;
    run(as_root("apt-get", &["install", "--yes", "--no-install-recommends"])?.args(wait).args(packages))
}

/// A program that manages packages, through sudo where this user is not root.
pub(crate) fn as_root(program: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = if is_root() {
        Command::new(program)
    } else if on_path("sudo") {
        let mut sudo = Command::new("sudo");
        sudo.arg(program);
        sudo
    } else {
        bail!("only root may install packages and there is no sudo: run `cargo xtask setup` as root");
    };
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Other systems bring an API that wgpu speaks: Metal or Direct3D 12.
fn linux() -> bool {
    cfg!(target_os = "linux")
}

/// The Vulkan loader.
fn loader() -> Option<PathBuf> {
    library(Path::new("libvulkan.so.1"))
}

/// Where a library of this name lies, in the folders that Linux distributions use.
fn library(name: &Path) -> Option<PathBuf> {
    let triple = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let usual = [triple.as_str(), "/usr/lib64", "/usr/lib", "/usr/local/lib", "/lib64", "/lib"];
    let extra = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = usual.into_iter().map(PathBuf::from).chain(env::split_paths(&extra));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Whether MPI's compiler finds its header, which is another package's.
fn has_mpi_headers() -> bool {
    let preprocess = ["-E", "-include", "mpi.h", "-x", "c", "/dev/null"];
    Command::new("mpicc").args(preprocess).output().is_ok_and(|output| output.status.success())
}

/// Whether Python can make a virtual environment with pip in it, which Debian has in a package of its own.
fn has_venv() -> bool {
    let import = ["-c", "import venv, ensurepip"];
    Command::new("python3").args(import).output().is_ok_and(|output| output.status.success())
}

/// Whether the library is there under its bare name, which development packages give it: with them
/// come the compiler's own headers, which it needs as well.
fn has_libclang() -> bool {
    let name = Path::new("libclang.so");
    let versions = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut versions = versions.filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"));
    env::var_os("LIBCLANG_PATH").is_some()
        || library(name).is_some()
        || versions.any(|entry| entry.path().join("lib").join(name).is_file())
}

/// The folders in which the loader looks for the manifests of drivers.
fn manifest_folders() -> Vec<PathBuf> {
    // Drivers named by hand replace all others.
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        if let Some(files) = env::var_os(name) {
            return env::split_paths(&files).collect();
        }
    }
    let mut folders: Vec<_> =
        ["/usr/share", "/usr/local/share", "/etc"].into_iter().map(PathBuf::from).collect();
    folders.extend(env::split_paths(&env::var_os("XDG_DATA_DIRS").unwrap_or_default()));
    folders.extend(env::home_dir().map(|home| home.join(".local/share")));
    folders.into_iter().map(|folder| folder.join("vulkan/icd.d")).collect()
}

/// Whether a manifest, or a manifest in a folder, names a driver library that exists.
fn has_driver(place: &Path) -> bool {
    let is_manifest = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
    if is_manifest(place) {
        return driver(place).is_some();
    }
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| is_manifest(&path) && driver(&path).is_some())
}

/// The library that a manifest names: a path, relative to the manifest, or a bare name to look up.
fn driver(manifest: &Path) -> Option<PathBuf> {
    let json: serde_json::Value = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
    let path = Path::new(json["ICD"]["library_path"].as_str()?);
    if path.components().count() == 1 {
        return library(path);
    }
    let path = manifest.parent()?.join(path);
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_a_manifest_whose_library_exists() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let manifest = folder.path().join("driver.json");
        let write = |library: &str| {
            let json = serde_json::json!({"ICD": {"library_path": library}}).to_string();
            fs::write(&manifest, json).expect("the manifest is written");
        };
        assert!(!has_driver(folder.path()), "an empty folder");
        write("./lib/driver.so");
        assert!(!has_driver(folder.path()), "the library does not exist");
        fs::create_dir(folder.path().join("lib")).expect("the folder is made");
        fs::write(folder.path().join("lib/driver.so"), "").expect("the library is written");
        assert!(has_driver(folder.path()), "a relative path");
        assert!(has_driver(&manifest), "the manifest itself");
        write("/nowhere/driver.so");
        assert!(!has_driver(folder.path()), "an absolute path to nothing");
        write("libno-such-driver.so");
        assert!(!has_driver(folder.path()), "a bare name of nothing");
        fs::write(&manifest, "not json").expect("the manifest is written");
        assert!(!has_driver(folder.path()), "a damaged manifest");
    }
}
