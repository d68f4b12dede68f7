//! A profile as a command line gives it: entries, a JSON file, or a name that the model file knows.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use sefp::Precision;

use super::{NamedProfiles, PartialProfile, PrecisionProfile};
use crate::{Error, ErrorKind, Result};

/// A profile has an entry for each block of a layer at most: no file of one is longer.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a profile comes from. As text: `NAME.json` is a file; a word that is no precision and has neither `=`
/// nor `,` is the name of a profile in the model file; anything else is the profile itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileSource {
    /// The profile itself.
    Entries(PartialProfile),
    /// A JSON file with one profile.
    File(PathBuf),
    /// A profile that the model file carries.
    Name(String),
}

impl FromStr for ProfileSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let path = Path::new(text);
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            return Ok(Self::File(path.to_owned()));
        }
        let is_word =
            text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains(['=', ',']);
        if is_word && text.parse::<Precision>().is_err() {
            return Ok(Self::Name(text.to_owned()));
        }
        text.parse().map(Self::Entries)
    }
}

impl ProfileSource {
    /// The profile, with `base` where entries or the file name nothing. `named` are the profiles of the model
    /// file.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io); [`InvalidArgument`](ErrorKind::InvalidArgument) for a file that holds no profile and a
    /// name that the model file does not know.
    pub fn profile(&self, named: &NamedProfiles, base: Precision) -> Result<PrecisionProfile> {
        match self {
            Self::Entries(profile) => Ok(profile.over(base)),
            Self::File(path) => Ok(read(path)?.over(base)),
            Self::Name(name) => named.find(name).cloned(),
        }
    }
}

fn read(path: &Path) -> Result<PartialProfile> {
    let failed = |error| Error::io("cannot read the profile", path, error);
    let mut json = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE_BYTES).read_to_end(&mut json).map_err(failed)?;
    serde_json::from_slice(&json).map_err(|error| {
        let what = "not a profile: give a JSON object such as {\"all\": 4, \"head\": 8}";
        Error::new(ErrorKind::InvalidArgument, what).with_source(error).at(path.display())
    })
}
