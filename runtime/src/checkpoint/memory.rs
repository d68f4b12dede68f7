//! What the system is told about the memory of the map: what will be needed, and what no longer is.
//!
//! Planes above the precisions at hand are never mentioned, so nothing reads them.

use std::ops::Range;

use super::{Checkpoint, Section, layout::plane_name};
use crate::{Error, MatrixPrecisions, Result, WeightMatrix};

impl Checkpoint {
    /// Asks the system to read the planes of these precisions from the disk, in the background, so that a
    /// pass finds them there. They do not become memory of this process before a pass uses them.
    /// Does nothing where the system knows no such request.
    ///
    /// # Errors
    /// [`MissingPlanes`](crate::ErrorKind::MissingPlanes) when the file does not hold them,
    /// [`Io`](crate::ErrorKind::Io).
    pub fn read_ahead(&self, precisions: &MatrixPrecisions) -> Result<()> {
        let for_all = Section::Norms..=Section::Base;
        for section in Section::ALL.into_iter().filter(|section| for_all.contains(section)) {
            let map = self.mapped(section)?;
            self.will_need(map, 0..map.len())?;
        }
        for (plane, section) in Section::BIT_PLANES.into_iter().enumerate() {
            let runs = self.runs(section, |matrix| precisions.planes(matrix).bit_planes() > plane);
            for run in runs {
                self.will_need(self.mapped(section)?, run)?;
            }
        }
        Ok(())
    }

    fn will_need(&self, map: &memmap2::Mmap, run: Range<usize>) -> Result<()> {
        #[cfg(unix)]
        map.advise_range(memmap2::Advice::WillNeed, run.start, run.len())
            .map_err(|error| Error::io("cannot read ahead in", self.path(), error))?;
        #[cfg(not(unix))]
        let _ = (map, run, Error::io);
        Ok(())
    }

    /// Takes the planes above these precisions out of the memory of this process. They are in the file,
    /// from which they are read again when they are needed. Does nothing where the system knows no
    /// such request.
    pub fn trim(&self, precisions: &MatrixPrecisions) {
        #[cfg(unix)]
        for (plane, section) in Section::BIT_PLANES.into_iter().enumerate() {
            let Some(map) = self.mapped_already(section) else { continue };
            for run in self.runs(section, |matrix| precisions.planes(matrix).bit_planes() <= plane) {
                // A refusal costs memory and nothing else.
                // SAFETY: the map is read-only and has a file behind it, so its pages come back with
                // the same bytes when they are next read; borrowed planes stay valid.
                let _ = unsafe {
                    map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, run.start, run.len())
                };
            }
        }
        #[cfg(not(unix))]
        let _ = precisions;
    }

    /// Where the planes of some matrices lie in the map of a section: neighbours are one range.
    fn runs(&self, section: Section, chosen: impl Fn(WeightMatrix) -> bool) -> Vec<Range<usize>> {
        let start = self.section(section).begin as usize;
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut joins = false;
        for matrix in WeightMatrix::all(self.architecture()) {
            let entry = self.header.entry(&plane_name(matrix, section)).filter(|_| chosen(matrix));
            let Some((begin, end)) = entry.map(|entry| entry.data_offsets) else {
                joins = false;
                continue;
            };
            // The reader has checked that entries lie inside of their sections.
            let (begin, end) = (begin.saturating_sub(start), end.saturating_sub(start));
            match runs.last_mut().filter(|_| joins) {
                Some(run) => run.end = end,
                None => runs.push(begin..end),
            }
            joins = true;
        }
        runs
    }
}
