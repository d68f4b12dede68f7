//! The canary: a file that is there while a GPU is tried for the first time. A driver that kills the process
//! cannot be caught, but the next start finds the file and leaves the GPU alone.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The file in the app's folder.
const NAME: &str = "otaro-gpu-canary.txt";

/// The file of one opening.
#[derive(Debug)]
pub(super) struct Canary {
    path: PathBuf,
    set: AtomicBool,
}

impl Canary {
    /// The canary of a folder. `version` is of this build: what killed another build is tried again.
    ///
    /// # Errors
    /// What the file says about the start that the GPU did not survive.
    pub(super) fn look(folder: &Path, version: &str) -> Result<Self, String> {
        let path = folder.join(NAME);
        match fs::read_to_string(&path) {
            Ok(text) if text.lines().next() == Some(version) => {
                let what = text.lines().nth(1).unwrap_or_default();
                Err(format!(
                    "an earlier start with the GPU ended before its first token ({what}), so the CPU computes; \
                     delete {} to try the GPU again",
                    path.display()
                ))
            }
            // None, or of another build. One that cannot be read warns nobody, but it must not end an app.
            _ => Ok(Self { path, set: AtomicBool::new(false) }),
        }
    }

    /// Writes the file: the GPU is about to be tried. Without it there is no warning, and nothing else is lost.
    pub(super) fn set(&self, version: &str, what: &str) {
        let text = format!("{version}\n{}\n", what.replace('\n', " "));
        if fs::write(&self.path, text).is_ok() {
            self.set.store(true, Ordering::SeqCst);
        }
    }

    /// Removes the file: the GPU has computed a token, or is not used after all.
    pub(super) fn clear(&self) {
        if self.set.swap(false, Ordering::SeqCst) {
            // If it stays, the next start is on the CPU.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Canary {
    /// Whoever closes a model has survived it.
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_did_not_come_to_its_end_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(NAME);
        let canary = Canary::look(folder.path(), "1.0").expect("nothing was there");
        canary.set("1.0", "model x\non y");
        // The process dies here, so nothing is dropped.
        std::mem::forget(canary);
        let reason = Canary::look(folder.path(), "1.0").expect_err("the file is there");
        assert!(reason.contains("(model x on y)") && reason.contains(NAME), "{reason}");
        assert!(file.exists(), "it stays until somebody removes it");
        assert!(Canary::look(folder.path(), "1.1").is_ok(), "another build tries again");
    }

    #[test]
    fn the_first_token_and_an_orderly_end_remove_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(NAME);
        for end in [Canary::clear as fn(&Canary), |_| {}] {
            let canary = Canary::look(folder.path(), "1.0").expect("nothing was there");
            canary.set("1.0", "model");
            assert!(file.exists());
            end(&canary);
            drop(canary);
            assert!(!file.exists());
        }
        let nowhere = Canary::look(Path::new("/no such folder"), "1.0").expect("nothing was there");
        nowhere.set("1.0", "model");
        nowhere.clear();
    }
}
