//! Arbitrary precision profiles, as text and as JSON. Input: the bytes of one, or of an object of named ones.

use otaro::{NamedProfiles, PartialProfile, Precision, PrecisionProfile, ProfileSource};

use crate::seed;

/// Reads the bytes in every form; what is read must hold together and read back as it was written.
pub fn run(data: &[u8]) {
    if let Ok(profiles) = serde_json::from_slice::<NamedProfiles>(data) {
        let json = serde_json::to_string(&profiles).expect("profiles are JSON");
        assert_eq!(NamedProfiles::from_json(&json).expect("what was written"), profiles);
        let fits = profiles.check(&seed::architecture()).is_ok();
        assert_eq!(fits, profiles.iter().all(|(_, profile)| check(profile)));
        for (name, profile) in profiles.iter() {
            assert_eq!(profiles.find(name).expect("a name that is there"), profile);
            let source = name.parse::<ProfileSource>().expect("a name");
            assert_eq!(source, ProfileSource::Name(name.to_owned()), "a command line finds it");
        }
    }
    let text = std::str::from_utf8(data).ok();
    let read = [text.and_then(|text| text.parse().ok()), serde_json::from_slice::<PartialProfile>(data).ok()];
    for part in read.into_iter().flatten() {
        for base in [Precision::MIN, Precision::MAX] {
            check(&part.over(base));
        }
        if let Ok(whole) = part.complete() {
            assert_eq!(whole, part.over(Precision::MIN));
            assert_eq!(whole, part.over(Precision::MAX));
        }
    }
}

/// Whether the profile fits the model of one layer. Checks what holds of any profile.
fn check(profile: &PrecisionProfile) -> bool {
    let json = serde_json::to_string(profile).expect("a profile is JSON");
    for again in [profile.to_string().parse().ok(), serde_json::from_str(&json).ok()] {
        assert_eq!(again.as_ref(), Some(profile), "{json}");
    }
    for limit in Precision::ALL {
        let capped = profile.capped(limit);
        assert!(capped.max() <= limit && capped.min() == profile.min().min(limit));
    }
    let architecture = seed::architecture();
    match profile.resolve(&architecture) {
        Ok(precisions) => {
            assert!(profile.min() <= precisions.max() && precisions.max() <= profile.max());
            let bits = precisions.bits_per_weight(&architecture);
            let [low, high] = [profile.min(), profile.max()].map(Precision::bits_per_weight);
            assert!((low - 1e-9..=high + 1e-9).contains(&bits), "{bits}");
            true
        }
        Err(_) => false,
    }
}
