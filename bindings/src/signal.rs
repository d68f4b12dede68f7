//! What the system says about the device.

/// A signal of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Signal {
    /// How scarce memory is.
    Memory {
        /// The level.
        level: MemoryPressure,
    },
    /// How hot the device is.
    Thermal {
        /// The state.
        state: ThermalState,
    },
    /// Whether the person asked to save the battery.
    BatterySaver {
        /// Whether they did.
        on: bool,
    },
}

/// How scarce memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum MemoryPressure {
    /// There is enough.
    Normal,
    /// It becomes scarce.
    Moderate,
    /// The app may be ended soon.
    Critical,
}

/// How hot the device is, in the words of iOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ThermalState {
    /// Not at all.
    Nominal,
    /// Slightly.
    Fair,
    /// The system slows down.
    Serious,
    /// It must cool down.
    Critical,
}

/// What a signal led to.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Decision {
    /// The precision of the next token.
    pub mantissa_bits: u32,
    /// Whether it is another one than before.
    pub changed: bool,
    /// Whether planes above it were given back.
    pub trimmed: bool,
    /// Why, in a sentence for a log.
    pub reason: String,
}

impl From<Signal> for otaro::governor::Signal {
    fn from(signal: Signal) -> Self {
        use otaro::governor::{MemoryPressure as M, Thermal as T};
        match signal {
            Signal::Memory { level } => Self::Memory(match level {
                MemoryPressure::Normal => M::Normal,
                MemoryPressure::Moderate => M::Moderate,
                MemoryPressure::Critical => M::Critical,
            }),
            Signal::Thermal { state } => Self::Thermal(match state {
                ThermalState::Nominal => T::Nominal,
                ThermalState::Fair => T::Fair,
                ThermalState::Serious => T::Serious,
                ThermalState::Critical => T::Critical,
            }),
            Signal::BatterySaver { on } => Self::BatterySaver(on),
        }
    }
}

impl From<otaro::governor::Decision> for Decision {
    fn from(decision: otaro::governor::Decision) -> Self {
        Self {
            mantissa_bits: decision.precision.mantissa_bits(),
            changed: decision.changed,
            trimmed: decision.trim,
            reason: decision.reason,
        }
    }
}
