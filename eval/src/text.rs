//! Text on its way into an evaluation.

use std::{fmt, path::Path, str::FromStr};

use otaro::{Error, Result, Tokenizer};

use crate::error::{invalid, io};

/// The text of a file, without a byte-order mark.
///
/// # Errors
/// [`Io`](otaro::ErrorKind::Io) when it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|error| io("cannot read", path, error))?;
    Ok(without_bom(&text).to_string())
}

/// Text without the byte-order mark that some editors put before it: it is no text, and a model that is given
/// it has seen nothing like it.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Whether every window and every question begins with the token that begins a sequence (BOS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BosPolicy {
    /// If the tokenizer puts one before raw text by itself.
    #[default]
    Auto,
    /// Yes; an error for a tokenizer that has none.
    Always,
    /// No.
    Never,
}

impl BosPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Always, Self::Never];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// The token to begin with, if any.
    ///
    /// # Errors
    /// [`InvalidArgument`](otaro::ErrorKind::InvalidArgument) when one must be there and the tokenizer has none,
    /// [`Tokenizer`](otaro::ErrorKind::Tokenizer).
    pub fn token(self, tokenizer: &Tokenizer) -> Result<Option<u32>> {
        match self {
            Self::Never => Ok(None),
            Self::Auto => tokenizer.added_bos(),
            Self::Always => match tokenizer.bos() {
                Some(bos) => Ok(Some(bos)),
                None => Err(invalid("the tokenizer names no token that begins a sequence: use --bos never")),
            },
        }
    }
}

impl fmt::Display for BosPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BosPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let policy = Self::ALL.into_iter().find(|policy| policy.name() == text);
        policy.ok_or_else(|| invalid(format!("'{text}' is no policy: give auto, always or never")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(without_bom("\u{feff}text\u{feff}"), "text\u{feff}");
        assert_eq!(without_bom("text"), "text");
    }

    #[test]
    fn policies_are_read_by_name() {
        for policy in BosPolicy::ALL {
            assert_eq!(policy.name().parse::<BosPolicy>().ok(), Some(policy));
        }
        assert!("sometimes".parse::<BosPolicy>().is_err_and(|error| error.to_string().contains("sometimes")));
    }
}
