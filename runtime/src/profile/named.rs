//! Profiles with names, as a model file carries them.

use std::collections::BTreeMap;

use sefp::Precision;
use serde::Serialize;

use super::PrecisionProfile;
use crate::{Architecture, Error, ErrorKind, Result};

/// The most profiles of a file, and the longest name.
const MAX_PROFILES: usize = 64;
const MAX_NAME_BYTES: usize = 64;

/// Profiles by name. A name is made of letters, digits, `-` and `_`, begins with a letter, and is not that of
/// a precision, such as `m4`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NamedProfiles(BTreeMap<String, PrecisionProfile>);

impl NamedProfiles {
    /// Reads a JSON object of names and profiles.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) that says what is wrong with which profile.
    pub fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| {
            let what = "cannot read the profiles: give a JSON object of names and profiles";
            Error::new(ErrorKind::InvalidArgument, what).with_source(error)
        })
    }

    /// Adds a profile.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a name that is taken or is none, or one profile too many.
    pub fn insert(&mut self, name: String, profile: PrecisionProfile) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
        let shape = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.len() <= MAX_NAME_BYTES
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !shape {
            return refuse(format!(
                "'{name}' cannot be the name of a profile: give a letter, then letters, digits, '-' and '_', \
                 at most {MAX_NAME_BYTES} in all"
            ));
        }
        if name.parse::<Precision>().is_ok() {
            return refuse(format!("'{name}' cannot be the name of a profile: it is that of a precision"));
        }
        if self.0.contains_key(&name) {
            return refuse(format!("there are two profiles of the name '{name}'"));
        }
        if self.0.len() == MAX_PROFILES {
            return refuse(format!("more than {MAX_PROFILES} profiles: a file carries no more"));
        }
        self.0.insert(name, profile);
        Ok(())
    }

    /// Checks that a model has every layer that the profiles name.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) that names the profile and the layer.
    pub fn check(&self, architecture: &Architecture) -> Result<()> {
        let check = |(name, profile): (&str, &PrecisionProfile)| match profile.resolve(architecture) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.at(format!("profile '{name}'"))),
        };
        self.iter().try_for_each(check)
    }

    /// The profile of a name.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) that lists the names that there are.
    pub fn find(&self, name: &str) -> Result<&PrecisionProfile> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<_> = self.0.keys().map(String::as_str).collect();
            let known = match known.is_empty() {
                true => "it carries none; give entries such as 4,head=8, or a JSON file".to_owned(),
                false => format!("it carries {}", known.join(", ")),
            };
            Error::new(ErrorKind::InvalidArgument, format!("the model file has no profile '{name}': {known}"))
        })
    }

    /// Names and profiles, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PrecisionProfile)> {
        self.0.iter().map(|(name, profile)| (name.as_str(), profile))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
