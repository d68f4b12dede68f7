//! Whether the ranks of a job really run the same.

use anyhow::{Result, ensure};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{GradientReducer, Progress};

/// Checks that every rank is where rank 0 is: as many steps, the same settings, the same path of widths.
///
/// # Errors
/// On every rank alike: names the first thing that differs and a rank where it does.
pub fn agree(reducer: &dyn GradientReducer, progress: &Progress) -> Result<()> {
    let Progress { settings, step, updates, tokens, seconds: _, strategy } = progress;
    let things = [
        ("has other settings than", fingerprint(settings)?),
        ("is at another step than", fingerprint(&(step, updates, tokens))?),
        ("took another path of widths than", fingerprint(strategy)?),
    ];
    for (differs, fingerprint) in things {
        let all = reducer.gather(fingerprint)?;
        let other = all.iter().position(|&one| one != all[0]);
        ensure!(
            other.is_none(),
            "rank {} {differs} rank 0: all processes must be given the same flags and read the same files",
            other.unwrap_or_default()
        );
    }
    Ok(())
}

/// A few bytes that tell two values apart. Numbers are compared by all their bits.
fn fingerprint(value: &impl Serialize) -> Result<u64> {
    let hash = Sha256::digest(serde_json::to_vec(value)?);
    Ok(hash.iter().take(8).fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Alone;

    #[test]
    fn numbers_that_differ_in_the_last_bit_differ() {
        let value = 0.1_f64;
        assert_eq!(fingerprint(&value).ok(), fingerprint(&value).ok());
        assert_ne!(fingerprint(&value).ok(), fingerprint(&value.next_up()).ok());
    }

    #[test]
    fn one_process_agrees_with_itself() {
        assert_eq!(Alone.gather(7).ok(), Some(vec![7]));
    }
}
