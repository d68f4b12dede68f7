//! Multiple-choice questions, asked and scored as lm-evaluation-harness does: the model never answers in words;
//! the choice whose text it finds most likely is its answer.

mod ask;
mod encode;
mod prompt;
mod questions;

use std::{fmt, str::FromStr};

use otaro::{Error, Result};

pub use self::{
    ask::{Answers, ask},
    encode::{EncodedChoice, EncodedQuestion, Encoder},
    prompt::Prompt,
    questions::{Question, find, parse, read},
};
use crate::error::invalid;

/// A set of questions with a prompt of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// AI2's science questions, the easy ones (Clark et al., arXiv 1803.05457).
    ArcEasy,
    /// The others.
    ArcChallenge,
    /// Elementary science facts (Mihaylov et al., arXiv 1809.02789).
    OpenBookQa,
    /// Yes or no, about a passage (Clark et al., arXiv 1905.10044).
    BoolQ,
    /// How things are done (Bisk et al., arXiv 1911.11641).
    Piqa,
    /// Which of two a sentence means (Sakaguchi et al., arXiv 1907.10641).
    WinoGrande,
    /// How a story goes on (Zellers et al., arXiv 1905.07830).
    HellaSwag,
    /// Science exams, with a passage (Welbl et al., arXiv 1707.06209).
    SciQ,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 8] = [
        Self::ArcEasy,
        Self::ArcChallenge,
        Self::OpenBookQa,
        Self::BoolQ,
        Self::Piqa,
        Self::WinoGrande,
        Self::HellaSwag,
        Self::SciQ,
    ];

    /// The name that lm-evaluation-harness has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ArcEasy => "arc_easy",
            Self::ArcChallenge => "arc_challenge",
            Self::OpenBookQa => "openbookqa",
            Self::BoolQ => "boolq",
            Self::Piqa => "piqa",
            Self::WinoGrande => "winogrande",
            Self::HellaSwag => "hellaswag",
            Self::SciQ => "sciq",
        }
    }

    /// Whether the accuracy by length-normalised likelihood says something: not where choices are of the same
    /// kind (yes and no), nor where they are scored by the same text that follows them.
    pub const fn is_normalised(self) -> bool {
        !matches!(self, Self::BoolQ | Self::WinoGrande)
    }

    /// The names that its file of questions may have.
    const fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::ArcEasy => &["arc_easy.validation.jsonl"],
            Self::ArcChallenge => &["arc_challenge.validation.jsonl"],
            Self::OpenBookQa => &["openbookqa.validation.jsonl"],
            Self::BoolQ => &["boolq.validation.jsonl"],
            Self::Piqa => &["piqa.validation.jsonl"],
            Self::WinoGrande => &["winogrande.validation.jsonl", "winogrande_xl.validation.jsonl"],
            Self::HellaSwag => &["hellaswag.validation.jsonl", "hellaswag.validation_1000.jsonl"],
            Self::SciQ => &["sciq.validation.jsonl"],
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|task| task.name()).collect();
            invalid(format!("'{text}' is not a task: give one of {}", names.join(", ")))
        })
    }
}
