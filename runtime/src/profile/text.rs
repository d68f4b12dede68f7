//! The text form: `4,head=8,layers.0-3.mlp=5`.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, str::FromStr};

use sefp::Precision;

use super::{LayerKey, PrecisionProfile, TensorClass};
use crate::{Error, ErrorKind, Result, architecture::MAX_LAYERS};

/// The key of what nothing else names.
const ALL: &str = "all";
/// What a key may be, for messages.
const KEYS: &str = "all, embedding, attention, mlp, head, layers.N, layers.N.attention or layers.N.mlp \
                    (N is a layer, or a range such as 0-3)";

/// The entries of a profile, which need not say something of every matrix: add a precision for the rest by
/// [`over`](Self::over), or insist that there is none by [`complete`](Self::complete).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialProfile {
    all: Option<Precision>,
    classes: [Option<Precision>; TensorClass::ALL.len()],
    layers: BTreeMap<LayerKey, Precision>,
}

impl PartialProfile {
    /// The profile that has `precision` where nothing is named.
    pub fn over(&self, precision: Precision) -> PrecisionProfile {
        let base = self.all.unwrap_or(precision);
        PrecisionProfile {
            classes: self.classes.map(|class| class.unwrap_or(base)),
            layers: self.layers.clone(),
        }
    }

    /// The profile, if it names `all` or every class.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) that says what is open.
    pub fn complete(&self) -> Result<PrecisionProfile> {
        let open = |class: &TensorClass| self.all.is_none() && self.classes[*class as usize].is_none();
        let open: Vec<_> = TensorClass::ALL.into_iter().filter(open).map(TensorClass::name).collect();
        if open.is_empty() {
            return Ok(self.over(Precision::MAX));
        }
        Err(invalid(format!(
            "the profile leaves open at which precision {} is read: name it, or give one precision for all \
             that is not named, as in all=4",
            open.join(", ")
        )))
    }

    /// Adds an entry; of a range of layers, one for each of them.
    pub(super) fn add(&mut self, key: &str, precision: Precision) -> Result<()> {
        if key == ALL {
            return set(&mut self.all, key, precision);
        }
        if let Some(class) = TensorClass::ALL.into_iter().find(|class| class.name() == key) {
            return set(&mut self.classes[class as usize], key, precision);
        }
        let (layers, class) = layer_key(key)?;
        for layer in layers {
            if self.layers.insert(LayerKey { class, layer }, precision).is_some() {
                let key = LayerKey { class, layer };
                return Err(invalid(format!("the profile names {key} twice")));
            }
        }
        Ok(())
    }
}

fn set(place: &mut Option<Precision>, key: &str, precision: Precision) -> Result<()> {
    match place.replace(precision) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("the profile names {key} twice"))),
    }
}

/// Reads `layers.N` or `layers.N-M`, followed by nothing or by a class of every layer.
fn layer_key(key: &str) -> Result<(RangeInclusive<u16>, Option<TensorClass>)> {
    let unknown = || invalid(format!("'{key}' is nothing that a profile can name: give {KEYS}"));
    let mut parts = key.split('.');
    let (Some("layers"), Some(range), class, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(unknown());
    };
    let class = match class {
        None => None,
        Some(name) => {
            let mut classes = TensorClass::OF_LAYERS.into_iter();
            Some(classes.find(|class| class.name() == name).ok_or_else(unknown)?)
        }
    };
    let number = |text: &str| -> Result<u16> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unknown());
        }
        let layer = text.parse().ok().filter(|&layer| usize::from(layer) < MAX_LAYERS);
        layer.ok_or_else(|| invalid(format!("'{key}': no model has more than {MAX_LAYERS} layers")))
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(invalid(format!("'{key}': the range of layers ends before it begins")));
    }
    Ok((first..=last, class))
}

impl FromStr for PartialProfile {
    type Err = Error;

    /// Entries with commas between them: `KEY=M`, or `M` alone for `all=M`.
    fn from_str(text: &str) -> Result<Self> {
        let mut profile = Self::default();
        for entry in text.split(',').map(str::trim) {
            if entry.is_empty() {
                let what =
                    if text.trim().is_empty() { "the profile is" } else { "an entry of the profile is" };
                return Err(invalid(format!("{what} empty: give entries such as 4,head=8,layers.0=6")));
            }
            let (key, value) = entry.split_once('=').map_or((ALL, entry), |(key, value)| (key.trim(), value));
            let precision = value
                .parse::<Precision>()
                .map_err(|error| invalid(format!("profile entry '{entry}': {error}, as in 4 or head=8")))?;
            profile.add(key, precision)?;
        }
        Ok(profile)
    }
}

impl FromStr for PrecisionProfile {
    type Err = Error;

    /// As [`PartialProfile`], and complete.
    fn from_str(text: &str) -> Result<Self> {
        text.parse::<PartialProfile>()?.complete()
    }
}

impl PrecisionProfile {
    /// Its entries as they are written, `all` first: the precision that most classes have, of equally many the
    /// lowest.
    pub(super) fn entries(&self) -> Vec<(String, Precision)> {
        let votes = |precision| self.classes.iter().filter(|&&other| other == precision).count();
        // Of equal ones `max_by_key` takes the last.
        let base = Precision::ALL.into_iter().rev().max_by_key(|&precision| votes(precision));
        let base = base.unwrap_or(Precision::MAX);
        let mut entries = vec![(ALL.to_owned(), base)];
        let classes = TensorClass::ALL.into_iter().map(|class| (class.name().to_owned(), self.class(class)));
        entries.extend(classes.filter(|&(_, precision)| precision != base));
        let mut runs: Vec<(LayerKey, u16, Precision)> = Vec::new();
        for (&key, &precision) in &self.layers {
            match runs.last_mut() {
                Some((first, last, of))
                    if first.class == key.class && *last + 1 == key.layer && *of == precision =>
                {
                    *last = key.layer;
                }
                _ => runs.push((key, key.layer, precision)),
            }
        }
        entries.extend(runs.into_iter().map(|(key, last, precision)| (key.until(last), precision)));
        entries
    }
}

impl LayerKey {
    /// The key of this layer and those after it, up to `last`.
    fn until(self, last: u16) -> String {
        let range = if self.layer == last { String::new() } else { format!("-{last}") };
        let class = self.class.map_or(String::new(), |class| format!(".{class}"));
        format!("layers.{}{range}{class}", self.layer)
    }
}

impl fmt::Display for LayerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.until(self.layer))
    }
}

impl fmt::Display for PrecisionProfile {
    /// `4,head=8`, or `E5M4` where nothing else is named: text that reads back as the same profile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(precision), true) = (self.uniform(), self.layers.is_empty()) {
            return precision.fmt(f);
        }
        for (index, (key, precision)) in self.entries().into_iter().enumerate() {
            match index {
                0 => write!(f, "{}", precision.mantissa_bits())?,
                _ => write!(f, ",{key}={}", precision.mantissa_bits())?,
            }
        }
        Ok(())
    }
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, what)
}
