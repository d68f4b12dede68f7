//! What the system is told about the memory of the map: what will be needed, and what no longer is.
//!
//! Planes above the precision at hand are never mentioned, so nothing reads them.

use sefp::Precision;

use super::{Checkpoint, Section};
use crate::{Error, Result};

impl Checkpoint {
    /// Asks the system to read the planes of a precision from the disk, in the background, so that a
    /// pass finds them there. They do not become memory of this process before a pass uses them.
    /// Does nothing where the system knows no such request.
    ///
    /// # Errors
    /// [`MissingPlanes`](crate::ErrorKind::MissingPlanes) when the file does not hold them,
    /// [`Io`](crate::ErrorKind::Io).
    pub fn read_ahead(&self, precision: Precision) -> Result<()> {
        let sections = Section::Norms..=Section::completing(precision);
        for section in Section::ALL.into_iter().filter(|section| sections.contains(section)) {
            let map = self.mapped(section)?;
            #[cfg(unix)]
            map.advise(memmap2::Advice::WillNeed)
                .map_err(|error| Error::io("cannot read ahead in", self.path(), error))?;
            #[cfg(not(unix))]
            let _ = (map, Error::io);
        }
        Ok(())
    }

    /// Takes the planes above a precision out of the memory of this process. They are in the file,
    /// from which they are read again when they are needed. Does nothing where the system knows no
    /// such request.
    pub fn trim(&self, precision: Precision) {
        #[cfg(unix)]
        for section in Section::ALL.into_iter().filter(|&section| section > Section::completing(precision)) {
            if let Some(map) = self.mapped_already(section) {
                // A refusal costs memory and nothing else.
                // SAFETY: the map is read-only and has a file behind it, so its pages come back with
                // the same bytes when they are next read; borrowed planes stay valid.
                let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            }
        }
        #[cfg(not(unix))]
        let _ = precision;
    }
}
