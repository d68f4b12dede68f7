//! The ways to choose a width for every batch.

use std::{fmt, str::FromStr};

use anyhow::{Result, bail};
use sefp::Precision;

use super::{Width, text};

/// How the width of every batch is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// No tuning: the model as it came. Only evaluated.
    None,
    /// Fine-tuning of the unquantised weights, quantised afterwards.
    Full,
    /// Always the same width.
    Fixed(Precision),
    /// Every width equally likely, drawn anew for each batch.
    Uniform,
    /// The bandit of [`super::bandit`], every gradient applied at once.
    Bps,
    /// The bandit, and low widths collected by [`super::laa`]: the paper's method.
    Otaro,
    /// Drawn as `Uniform`, high widths alone at first; then every step also distils a low width from a
    /// high one. The one that came out best.
    Distilled,
    /// Every width of [`MATRYOSHKA`] in every step: the sum of their losses, as MatQuant has it
    /// (arXiv 2502.06786).
    Matryoshka,
}

/// The widths of [`Method::Matryoshka`], the first one being the teacher where the others learn from it.
pub const MATRYOSHKA: [Precision; 3] = [Precision::E5M8, Precision::E5M4, Precision::E5M3];

impl Method {
    /// Every method, in the order of the tables: references first.
    pub fn all() -> impl Iterator<Item = Self> {
        let fixed = Precision::ALL.into_iter().rev().map(Self::Fixed);
        [Self::None, Self::Full].into_iter().chain(fixed).chain([
            Self::Uniform,
            Self::Bps,
            Self::Otaro,
            Self::Distilled,
            Self::Matryoshka,
        ])
    }

    /// The width that every batch of this method has, if it is always the same.
    pub const fn constant_width(self) -> Option<Width> {
        match self {
            Self::Full => Some(Width::Full),
            Self::Fixed(precision) => Some(Width::At(precision)),
            Self::None | Self::Uniform | Self::Bps | Self::Otaro | Self::Distilled | Self::Matryoshka => None,
        }
    }

    /// Whether weights are quantised while it trains.
    pub const fn quantizes(self) -> bool {
        !matches!(self, Self::None | Self::Full)
    }

    /// Whether a bandit chooses.
    pub const fn uses_bandit(self) -> bool {
        matches!(self, Self::Bps | Self::Otaro)
    }

    /// The name as a folder: `fixed:M4` becomes `fixed-M4`, as some file systems know no colon.
    pub fn label(self) -> String {
        self.to_string().replace(':', "-")
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Full => f.write_str("full"),
            Self::Fixed(precision) => write!(f, "fixed:{}", Width::At(*precision)),
            Self::Uniform => f.write_str("uniform"),
            Self::Bps => f.write_str("bps"),
            Self::Otaro => f.write_str("otaro"),
            Self::Distilled => f.write_str("distilled"),
            Self::Matryoshka => f.write_str("matryoshka"),
        }
    }
}

impl FromStr for Method {
    type Err = anyhow::Error;

    /// Reads `none`, `full`, `fixed:4` (or `fixed:M4`), `uniform`, `bps`, `otaro`, `distilled` and
    /// `matryoshka`.
    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "none" => Self::None,
            "full" => Self::Full,
            "uniform" => Self::Uniform,
            "bps" => Self::Bps,
            "otaro" => Self::Otaro,
            "distilled" => Self::Distilled,
            "matryoshka" => Self::Matryoshka,
            _ => match name.strip_prefix("fixed:") {
                Some(precision) => Self::Fixed(precision.parse()?),
                None => bail!(
                    "'{name}' is not a method: give none, full, fixed:M (M from 3 to 8), uniform, bps, otaro, \
                     distilled or matryoshka"
                ),
            },
        })
    }
}

text::serde_as_text!(Method);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn every_method_reads_back() {
        assert_eq!(Method::all().count(), 13);
        for method in Method::all() {
            assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
            assert!(!method.label().contains(':'));
        }
        assert_eq!("fixed:4".parse::<Method>().unwrap(), Method::Fixed(Precision::E5M4));
    }

    #[test]
    fn others_are_refused_by_name() {
        for (name, part) in [("random", "'random' is not a method"), ("fixed:9", "'9' is not a precision")] {
            let error = name.parse::<Method>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
