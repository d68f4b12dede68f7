//! Recomputes the hashes of a checkpoint's sections.

use sha2::{Digest, Sha256};

use super::{Checkpoint, Section};
use crate::{Result, hex::hex};

/// Bytes hashed between two reports of progress.
const CHUNK: usize = 4 << 20;

/// The verdict on one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionCheck {
    /// The bytes hash to what the header says.
    Intact,
    /// They do not: the file is damaged.
    Damaged,
    /// The file ends before the section does.
    Absent,
}

impl Checkpoint {
    /// Hashes every section that the file holds and compares it with the header.
    ///
    /// `progress` is called with the bytes hashed so far; an error from it ends the work and is returned.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io), or what `progress` returned.
    pub fn verify(
        &self,
        progress: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Vec<(Section, SectionCheck)>> {
        let file_bytes = self.file_bytes()?;
        let mut hashed = 0;
        let mut checks = Vec::new();
        for section in self.sections() {
            if !self.is_complete(section.name, file_bytes) {
                checks.push((section.name, SectionCheck::Absent));
                continue;
            }
            let mut hash = Sha256::new();
            for chunk in self.map(section.name)?.chunks(CHUNK) {
                hash.update(chunk);
                hashed += chunk.len() as u64;
                progress(hashed)?;
            }
            let intact = hex(&hash.finalize()) == section.sha256;
            checks.push((section.name, if intact { SectionCheck::Intact } else { SectionCheck::Damaged }));
        }
        Ok(checks)
    }
}
