//! What a strategy is made from.

use anyhow::{Result, ensure};
use sefp::Precision;
use serde::{Deserialize, Serialize};

use super::{BpsSettings, LaaSettings, Method, Teacher, text};

/// Every setting of a strategy. Settings that the method does not use are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StrategySettings {
    /// How widths are chosen. Default: [`Method::Otaro`].
    pub method: Method,
    /// The bandit of [`Method::Bps`] and [`Method::Otaro`].
    pub bps: BpsSettings,
    /// The accumulation of [`Method::Otaro`].
    pub laa: LaaSettings,
    /// The highest width that counts as low, for accumulation and distillation; below E5M8. Default: E5M4.
    #[serde(with = "text")]
    pub low_up_to: Precision,
    /// Steps at the beginning in which low widths are not visited, and nothing is distilled: the weights
    /// come near their place on clean gradients first. Default: 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub low_from: u64,
    /// Passes learn from the logits of a teacher too: [`Self::learns`]. Methods that draw widths make two
    /// passes a step then, at a high and at a low width. Default: no.
    pub distill: bool,
    /// Whose logits. Default: [`Teacher::High`].
    pub teacher: Teacher,
    /// Share of the divergence from the teacher in the loss of a pass that learns from it, 0 to 1; the rest is
    /// the cross-entropy. Default: 0.5.
    pub distill_weight: f64,
    /// Seed of the draws. Default: 0.
    pub seed: u64,
}

impl Default for StrategySettings {
    fn default() -> Self {
        Self {
            method: Method::Otaro,
            bps: BpsSettings::default(),
            laa: LaaSettings::default(),
            low_up_to: Precision::E5M4,
            low_from: 0,
            distill: false,
            teacher: Teacher::default(),
            distill_weight: 0.5,
            seed: 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(steps: &u64) -> bool {
    *steps == 0
}

impl StrategySettings {
    /// The defaults of a method.
    pub fn of(method: Method) -> Self {
        Self { method, ..Self::default() }
    }

    /// Whether this is one of the low widths.
    pub fn is_low(&self, precision: Precision) -> bool {
        precision <= self.low_up_to
    }

    /// Whether a pass learns from the teacher: the first one of a step from another model alone; from the
    /// masters also where it is the only one there is.
    pub fn learns(&self, first: bool) -> bool {
        let alone = self.method.constant_width().is_some();
        self.distill
            && match self.teacher {
                Teacher::High => !first,
                Teacher::Masters => !first || alone,
                Teacher::Folder => true,
            }
    }

    /// Whether a step of so many passes has one more, forward only, of the teacher.
    pub fn teacher_takes_a_pass(&self, passes: usize) -> bool {
        self.teacher.takes_a_pass() && (0..passes).any(|pass| self.learns(pass == 0))
    }

    /// # Errors
    /// Names the first setting that is out of range or contradicts another.
    pub fn check(&self) -> Result<()> {
        let Self { method, low_up_to, distill, teacher, distill_weight, .. } = self;
        ensure!(*method != Method::None, "the method 'none' trains nothing");
        ensure!(*low_up_to < Precision::MAX, "the low widths end at {low_up_to}: that leaves no high width");
        ensure!((0.0..=1.0).contains(distill_weight), "the distill weight is {distill_weight}, not 0 to 1");
        ensure!(
            *distill || *teacher == Teacher::High,
            "nothing learns from the teacher '{teacher}' without distillation"
        );
        ensure!(
            !distill || *teacher != Teacher::High || method.constant_width().is_none(),
            "distillation from a high width takes two widths a step, and the method '{method}' knows one: give \
             uniform, bps, otaro or matryoshka, or the teacher masters"
        );
        ensure!(
            *teacher != Teacher::Masters || *method != Method::Full,
            "the method 'full' trains the unquantised masters, which cannot learn from themselves"
        );
        self.bps.check()?;
        self.laa.check()
    }
}
