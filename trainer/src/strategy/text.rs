//! Serialises a value as the text that its `Display` writes and its `FromStr` reads.
//!
//! Used as `#[serde(with = "text")]` for types of other crates, and for `f64` where a resumed run must
//! continue bit by bit: Rust's own text of an `f64` reads back exactly, `serde_json`'s numbers may be
//! off by the last bit.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}
