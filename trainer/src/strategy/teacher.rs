//! Whose logits a low width learns from, beside the text.

use std::{fmt, str::FromStr};

use anyhow::{Result, bail};

use super::text;

/// The teacher of a run with distillation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Teacher {
    /// The same weights at the high width of the same step, as they are in its first pass.
    #[default]
    High,
    /// The same weights unquantised: one more pass a step, forward only.
    Masters,
    /// Another model of the same vocabulary, which stays as it is: one pass of it a step, forward only.
    Folder,
}

impl Teacher {
    /// Every teacher.
    pub const ALL: [Self; 3] = [Self::High, Self::Masters, Self::Folder];

    /// Whether it takes a forward pass of its own in every step in which anything learns from it.
    pub const fn takes_a_pass(self) -> bool {
        !matches!(self, Self::High)
    }
}

impl fmt::Display for Teacher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::High => "high",
            Self::Masters => "masters",
            Self::Folder => "folder",
        })
    }
}

impl FromStr for Teacher {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|teacher| teacher.to_string() == name) {
            Some(teacher) => Ok(teacher),
            None => bail!("'{name}' is not a teacher: there are high, masters and folder"),
        }
    }
}

text::serde_as_text!(Teacher);
