//! The JSON form: an object of keys and mantissa bits, or a number or a text alone.

use std::fmt;

use sefp::Precision;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};

use super::{NamedProfiles, PartialProfile, PrecisionProfile};

impl Serialize for PrecisionProfile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = self.entries();
        let mut map = serializer.serialize_map(Some(entries.len()))?;
        for (key, precision) in entries {
            map.serialize_entry(&key, &precision.mantissa_bits())?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PrecisionProfile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PartialProfile::deserialize(deserializer)?.complete().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for PartialProfile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ProfileVisitor)
    }
}

struct ProfileVisitor;

impl<'de> Visitor<'de> for ProfileVisitor {
    type Value = PartialProfile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a profile such as {\"all\": 4, \"head\": 8}, a number of mantissa bits or a text")
    }

    fn visit_u64<E: de::Error>(self, mantissa_bits: u64) -> Result<PartialProfile, E> {
        let mut profile = PartialProfile::default();
        add(&mut profile, "all", mantissa_bits)?;
        Ok(profile)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PartialProfile, E> {
        text.parse().map_err(E::custom)
    }

    /// Unlike a map of the standard library, this sees a key that is there twice.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PartialProfile, A::Error> {
        let mut profile = PartialProfile::default();
        while let Some(key) = map.next_key::<String>()? {
            add(&mut profile, &key, map.next_value()?)?;
        }
        Ok(profile)
    }
}

fn add<E: de::Error>(profile: &mut PartialProfile, key: &str, mantissa_bits: u64) -> Result<(), E> {
    let precision = u32::try_from(mantissa_bits).ok().and_then(|m| Precision::from_mantissa_bits(m).ok());
    let precision = precision.ok_or_else(|| {
        E::custom(format!("'{key}' has {mantissa_bits} mantissa bits: give 3 to 8 (E5M3 to E5M8)"))
    })?;
    profile.add(key, precision).map_err(E::custom)
}

impl<'de> Deserialize<'de> for NamedProfiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Profiles;

        impl<'de> Visitor<'de> for Profiles {
            type Value = NamedProfiles;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names and profiles")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedProfiles, A::Error> {
                let mut profiles = NamedProfiles::default();
                while let Some(name) = map.next_key::<String>()? {
                    profiles.insert(name, map.next_value()?).map_err(de::Error::custom)?;
                }
                Ok(profiles)
            }
        }

        deserializer.deserialize_map(Profiles)
    }
}
