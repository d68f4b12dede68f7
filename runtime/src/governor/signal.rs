//! What the system says, and how much of the precision each level costs.

use std::fmt;

/// More steps than there are between any two precisions: down to the lower bound.
pub(super) const ALL_STEPS: u32 = u32::MAX;

/// Something that the system says about the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// How scarce memory is.
    Memory(MemoryPressure),
    /// How hot the device is.
    Thermal(Thermal),
    /// Whether the person asked to save the battery.
    BatterySaver(bool),
}

/// How scarce memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemoryPressure {
    /// There is enough.
    #[default]
    Normal,
    /// It becomes scarce.
    Moderate,
    /// The app may be ended soon.
    Critical,
}

/// How hot the device is, in the words of iOS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thermal {
    /// Not at all.
    #[default]
    Nominal,
    /// Slightly; fans may be heard.
    Fair,
    /// The system slows down.
    Serious,
    /// It must cool down.
    Critical,
}

impl MemoryPressure {
    /// Bits of mantissa to go down by.
    pub const fn steps(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::Moderate => 2,
            Self::Critical => ALL_STEPS,
        }
    }
}

impl Thermal {
    /// Bits of mantissa to go down by.
    pub const fn steps(self) -> u32 {
        match self {
            Self::Nominal => 0,
            Self::Fair => 1,
            Self::Serious => 2,
            Self::Critical => ALL_STEPS,
        }
    }
}

/// Bits of mantissa to go down by when the battery is to be saved.
pub(super) const fn battery_saver_steps(on: bool) -> u32 {
    if on { 2 } else { 0 }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(level) => write!(f, "memory pressure {}", format!("{level:?}").to_lowercase()),
            Self::Thermal(level) => write!(f, "thermal state {}", format!("{level:?}").to_lowercase()),
            Self::BatterySaver(on) => write!(f, "battery saver {}", if *on { "on" } else { "off" }),
        }
    }
}
