//! One precision out of what the app wants and what the system says.

use std::time::Duration;

use sefp::Precision;

use super::{MemoryPressure, Signal, Thermal, signal::battery_saver_steps};
use crate::{Error, ErrorKind, PrecisionProfile, Result};

/// How long nothing may have asked for as much before the precision rises, and how long memory pressure
/// counts after it was last heard of.
pub const CALM: Duration = Duration::from_secs(30);
/// The time between two steps up.
pub const RAISE_INTERVAL: Duration = Duration::from_secs(10);

/// The precisions that an app can live with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    min: Precision,
    max: Precision,
}

impl Bounds {
    /// From `min` to `max`, both included.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) when `min` is above `max`.
    pub fn new(min: Precision, max: Precision) -> Result<Self> {
        if min > max {
            let reason = format!("the lowest precision, {min}, is above the highest, {max}");
            return Err(Error::new(ErrorKind::InvalidArgument, reason));
        }
        Ok(Self { min, max })
    }

    /// The lowest precision.
    pub fn min(self) -> Precision {
        self.min
    }

    /// The highest precision.
    pub fn max(self) -> Precision {
        self.max
    }

    fn check(self, profile: &PrecisionProfile) -> Result<()> {
        if self.min <= profile.min() && profile.max() <= self.max {
            return Ok(());
        }
        let reason =
            format!("{profile} is outside of {} to {}, the bounds of this session", self.min, self.max);
        Err(Error::new(ErrorKind::InvalidArgument, reason))
    }
}

/// What a signal led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The highest precision of the next token: a profile is read with nothing above it.
    pub precision: Precision,
    /// Whether it is another one than before.
    pub changed: bool,
    /// Whether the planes above it are to be given back.
    pub trim: bool,
    /// Why, in a sentence for a log.
    pub reason: String,
}

/// The state behind the policy of this module. Times count from any fixed moment and never go back.
#[derive(Clone, Debug)]
pub struct Governor {
    bounds: Bounds,
    wanted: PrecisionProfile,
    /// Nothing is read above it.
    current: Precision,
    memory: MemoryPressure,
    /// When memory pressure was last heard of.
    memory_at: Duration,
    thermal: Thermal,
    battery_saver: bool,
    /// The precision does not rise before this.
    raise_at: Duration,
}

impl Governor {
    /// A governor of an app that wants `wanted`, before any signal.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) when that is outside of the bounds.
    pub fn new(bounds: Bounds, wanted: impl Into<PrecisionProfile>) -> Result<Self> {
        let wanted = wanted.into();
        bounds.check(&wanted)?;
        Ok(Self {
            bounds,
            current: wanted.max(),
            wanted,
            memory: MemoryPressure::Normal,
            memory_at: Duration::ZERO,
            thermal: Thermal::Nominal,
            battery_saver: false,
            raise_at: Duration::ZERO,
        })
    }

    /// The profile that the app wants.
    pub fn wanted(&self) -> &PrecisionProfile {
        &self.wanted
    }

    /// The highest precision of the next token, as of the last call.
    pub fn current(&self) -> Precision {
        self.current
    }

    /// The profile of the next token, as of the last call: what is wanted, with nothing above
    /// [`current`](Self::current).
    pub fn profile(&self) -> PrecisionProfile {
        self.wanted.capped(self.current)
    }

    /// Takes the wish of the app. It is fulfilled at once, as far as the signals in force allow it.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) when it is outside of the bounds; nothing changes then.
    pub fn want(&mut self, profile: impl Into<PrecisionProfile>, now: Duration) -> Result<Precision> {
        let profile = profile.into();
        self.bounds.check(&profile)?;
        self.forget_memory_pressure(now);
        self.wanted = profile;
        self.current = self.target();
        Ok(self.current)
    }

    /// Takes a signal.
    pub fn signal(&mut self, signal: Signal, now: Duration) -> Decision {
        let before = self.current;
        match signal {
            Signal::Memory(level) => (self.memory, self.memory_at) = (level, now),
            Signal::Thermal(level) => self.thermal = level,
            Signal::BatterySaver(on) => self.battery_saver = on,
        }
        self.forget_memory_pressure(now);
        let target = self.target();
        if target <= self.current && target < self.wanted.max() {
            self.current = target;
            self.raise_at = now + CALM;
        }
        self.settle(now);
        let reason = match (self.current == before, self.current == self.wanted.max()) {
            (true, true) => format!("{signal}: stays at {}", self.current),
            (true, false) => format!("{signal}: stays at {} of {} wanted", self.current, self.wanted),
            (false, _) => format!("{signal}: from {before} to {} of {} wanted", self.current, self.wanted),
        };
        let trim = matches!(signal, Signal::Memory(level) if level > MemoryPressure::Normal);
        Decision { precision: self.current, changed: self.current != before, trim, reason }
    }

    /// The highest precision of the next token: the way back up, when it is time.
    pub fn settle(&mut self, now: Duration) -> Precision {
        self.forget_memory_pressure(now);
        let target = self.target();
        while self.current < target && now >= self.raise_at {
            self.current = up(self.current);
            self.raise_at = now + RAISE_INTERVAL;
        }
        self.current
    }

    fn forget_memory_pressure(&mut self, now: Duration) {
        if now >= self.memory_at + CALM {
            self.memory = MemoryPressure::Normal;
        }
    }

    /// What the signals in force allow of what is wanted.
    fn target(&self) -> Precision {
        let steps =
            self.memory.steps().max(self.thermal.steps()).max(battery_saver_steps(self.battery_saver));
        let bits = self.wanted.max().mantissa_bits().saturating_sub(steps);
        Precision::from_mantissa_bits(bits).unwrap_or(Precision::MIN).max(self.bounds.min)
    }
}

fn up(precision: Precision) -> Precision {
    Precision::from_mantissa_bits(precision.mantissa_bits() + 1).unwrap_or(Precision::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: [Precision; 9] = {
        let [m3, m4, m5, m6, m7, m8] = Precision::ALL;
        [m3, m3, m3, m3, m4, m5, m6, m7, m8]
    };

    fn governor(min: usize, max: usize, wanted: usize) -> Governor {
        Governor::new(Bounds::new(M[min], M[max]).expect("bounds"), M[wanted]).expect("a precision inside")
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_table() {
        use MemoryPressure as Mem;
        use Thermal as Heat;
        let cases = [
            (Signal::Memory(Mem::Normal), 8),
            (Signal::Memory(Mem::Moderate), 6),
            (Signal::Memory(Mem::Critical), 4),
            (Signal::Thermal(Heat::Nominal), 8),
            (Signal::Thermal(Heat::Fair), 7),
            (Signal::Thermal(Heat::Serious), 6),
            (Signal::Thermal(Heat::Critical), 4),
            (Signal::BatterySaver(false), 8),
            (Signal::BatterySaver(true), 6),
        ];
        for (signal, bits) in cases {
            let decision = governor(4, 8, 8).signal(signal, seconds(1));
            assert_eq!(decision.precision, M[bits], "{signal}");
            assert_eq!(decision.changed, bits != 8, "{signal}");
            let scarce = matches!(signal, Signal::Memory(Mem::Moderate | Mem::Critical));
            assert_eq!(decision.trim, scarce, "{signal}");
            assert!(decision.reason.starts_with(&signal.to_string()), "{}", decision.reason);
        }
    }

    #[test]
    fn bounds_hold_and_steps_do_not_add_up() {
        let mut governor = governor(5, 8, 6);
        assert_eq!(governor.signal(Signal::BatterySaver(true), seconds(0)).precision, M[5]);
        let mut governor = self::governor(3, 8, 8);
        governor.signal(Signal::BatterySaver(true), seconds(0));
        governor.signal(Signal::Thermal(Thermal::Serious), seconds(0));
        assert_eq!(governor.signal(Signal::Memory(MemoryPressure::Moderate), seconds(0)).precision, M[6]);
        for outside in [M[3], M[8]] {
            let bounds = Bounds::new(M[4], M[7]).expect("bounds");
            let error = Governor::new(bounds, outside).expect_err("outside");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        assert!(Bounds::new(M[6], M[5]).is_err());
    }

    #[test]
    fn the_way_up_is_slow_and_one_bit_at_a_time() {
        let mut governor = governor(3, 8, 8);
        governor.signal(Signal::Thermal(Thermal::Critical), seconds(100));
        let calm = governor.signal(Signal::Thermal(Thermal::Nominal), seconds(110));
        assert_eq!((calm.precision, calm.changed), (M[3], false), "not at once");
        let at = |governor: &mut Governor, time| governor.settle(seconds(time)).mantissa_bits();
        assert_eq!(at(&mut governor, 129), 3);
        assert_eq!(at(&mut governor, 130), 4);
        assert_eq!(at(&mut governor, 139), 4);
        assert_eq!(at(&mut governor, 140), 5);
        // However long nobody asked: it was not measured meanwhile whether more would do.
        assert_eq!(at(&mut governor, 1000), 6);
        assert_eq!(at(&mut governor, 1010), 7);
        assert_eq!(at(&mut governor, 1020), 8);
        assert_eq!(at(&mut governor, 2000), 8);
    }

    #[test]
    fn a_signal_that_comes_and_goes_does_not_swing() {
        let mut governor = governor(3, 8, 8);
        for time in 0..20 {
            let level = if time % 2 == 0 { Thermal::Serious } else { Thermal::Nominal };
            assert_eq!(governor.signal(Signal::Thermal(level), seconds(time)).precision, M[6], "{time}");
        }
        assert_eq!(governor.settle(seconds(18) + CALM), M[7]);
    }

    #[test]
    fn memory_pressure_is_forgotten_and_heat_is_not() {
        let mut governor = governor(3, 8, 8);
        governor.signal(Signal::Memory(MemoryPressure::Moderate), seconds(10));
        assert_eq!(governor.settle(seconds(39)), M[6]);
        assert_eq!(governor.settle(seconds(40)), M[7]);
        governor.signal(Signal::Thermal(Thermal::Serious), seconds(41));
        assert_eq!(governor.settle(seconds(10_000)), M[6]);
    }

    #[test]
    fn a_profile_is_capped_by_what_signals_allow() {
        let profile = |text: &str| text.parse::<PrecisionProfile>().expect("a profile");
        let bounds = Bounds::new(M[4], M[8]).expect("bounds");
        let mixed = profile("5,head=8,layers.0=7");
        let mut governor = Governor::new(bounds, &mixed).expect("a profile inside");
        assert_eq!((governor.current(), governor.profile()), (M[8], mixed));
        for (level, bits, capped) in
            [(Thermal::Serious, 6, "5,head=6,layers.0=6"), (Thermal::Critical, 4, "4")]
        {
            let decision = governor.signal(Signal::Thermal(level), seconds(1));
            assert_eq!(decision.precision, M[bits], "{}", decision.reason);
            assert_eq!(governor.profile(), profile(capped));
            assert!(decision.reason.contains("of 5,head=8,layers.0=7 wanted"), "{}", decision.reason);
        }
        for outside in ["5,head=8,mlp=3", "3"] {
            let error = governor.want(profile(outside), seconds(2)).expect_err("below the bounds");
            assert!(error.to_string().contains("outside of E5M4 to E5M8"), "{error}");
        }
        governor.signal(Signal::Thermal(Thermal::Nominal), seconds(3));
        assert_eq!(governor.want(profile("4,mlp=5"), seconds(4)).expect("inside"), M[5]);
    }

    #[test]
    fn a_wish_counts_at_once_under_what_signals_allow() {
        let mut governor = governor(3, 8, 5);
        assert_eq!(governor.want(M[8], seconds(0)).expect("inside"), M[8]);
        governor.signal(Signal::Thermal(Thermal::Serious), seconds(1));
        assert_eq!(governor.want(M[7], seconds(2)).expect("inside"), M[5]);
        assert_eq!(governor.want(M[3], seconds(3)).expect("inside"), M[3]);
        assert_eq!(governor.wanted(), &M[3].into());
        governor.signal(Signal::Thermal(Thermal::Nominal), seconds(4));
        assert_eq!(
            governor.want(M[8], seconds(5)).expect("inside"),
            M[8],
            "an app that asks is not made to wait"
        );
    }
}
