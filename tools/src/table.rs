//! Tables: Markdown for people, CSV for programs.

use std::{
    fmt,
    io::{self, Write},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// The fields of an object, in their order.
pub struct Fields(pub Vec<(String, Value)>);

impl Fields {
    /// Those of a value that serialises to an object.
    pub fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::from_str(&serde_json::to_string(value)?)
    }
}

/// A table whose columns are lined up: names to the left, figures to the right. Every row has as many cells as
/// the header.
pub fn markdown(out: &mut impl Write, header: &[String], rows: &[Vec<String>]) -> io::Result<()> {
    let lines = || [header].into_iter().chain(rows.iter().map(Vec::as_slice));
    let widths: Vec<_> = (0..header.len())
        .map(|column| lines().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    let is_figure = |column: usize| {
        let mut cells = rows.iter().map(|row| &row[column]);
        cells.all(|cell| cell.starts_with(|first: char| first.is_ascii_digit() || first == '-'))
    };
    let figures: Vec<_> = (0..header.len()).map(is_figure).collect();
    for (index, line) in lines().enumerate() {
        for ((cell, &width), &figure) in line.iter().zip(&widths).zip(&figures) {
            match figure {
                true => write!(out, "| {cell:>width$} ")?,
                false => write!(out, "| {cell:<width$} ")?,
            }
        }
        writeln!(out, "|")?;
        if index == 0 {
            for (&width, &figure) in widths.iter().zip(&figures) {
                write!(out, "| {}{} ", "-".repeat(width - 1), if figure { ":" } else { "-" })?;
            }
            writeln!(out, "|")?;
        }
    }
    Ok(())
}

/// The fields that are not lists, those of the first row as the header; what has no value is empty.
pub fn csv(out: &mut impl Write, rows: &[Fields]) -> io::Result<()> {
    for (index, Fields(fields)) in rows.iter().enumerate() {
        let fields = || fields.iter().filter(|(_, value)| !value.is_array());
        if index == 0 {
            let names: Vec<_> = fields().map(|(name, _)| quoted(name)).collect();
            writeln!(out, "{}", names.join(","))?;
        }
        let value = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => quoted(text),
            other => other.to_string(),
        };
        let values: Vec<_> = fields().map(|(_, field)| value(field)).collect();
        writeln!(out, "{}", values.join(","))?;
    }
    Ok(())
}

/// A field of a CSV file (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
