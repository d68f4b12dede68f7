//! Prints rows, in the format that was asked for.

use std::{
    fmt,
    io::{self, Write},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::{arguments::Format, latency::LatencyRow, row::Row};

/// A row of a table for people and of data for programs.
pub trait TableRow: Serialize {
    /// Of the table.
    fn header() -> Vec<&'static str>;

    /// Of the table, as many as the header has.
    fn cells(&self) -> Vec<String>;
}

impl TableRow for Row {
    fn header() -> Vec<&'static str> {
        Self::HEADER.to_vec()
    }

    fn cells(&self) -> Vec<String> {
        self.cells().to_vec()
    }
}

impl TableRow for LatencyRow {
    fn header() -> Vec<&'static str> {
        Self::HEADER.to_vec()
    }

    fn cells(&self) -> Vec<String> {
        self.cells().to_vec()
    }
}

/// Prints all rows. `note` follows a table for people.
pub fn print<R: TableRow>(out: &mut impl Write, format: Format, rows: &[R], note: &str) -> io::Result<()> {
    match format {
        Format::Md => {
            markdown(out, rows)?;
            writeln!(out, "\n{note}")
        }
        Format::Csv => csv(out, rows),
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, rows)?;
            writeln!(out)
        }
        Format::Jsonl => rows.iter().try_for_each(|row| {
            serde_json::to_writer(&mut *out, row)?;
            writeln!(out)
        }),
    }
}

/// A table whose columns are lined up: names to the left, figures to the right.
fn markdown<R: TableRow>(out: &mut impl Write, rows: &[R]) -> io::Result<()> {
    let header: Vec<_> = R::header().into_iter().map(str::to_string).collect();
    let rows: Vec<_> = rows.iter().map(TableRow::cells).collect();
    let lines = || [&header].into_iter().chain(&rows);
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

/// The fields of the data that are not lists; those that have no value are empty.
fn csv<R: TableRow>(out: &mut impl Write, rows: &[R]) -> io::Result<()> {
    for (index, row) in rows.iter().enumerate() {
        let Fields(mut fields) = serde_json::from_str(&serde_json::to_string(row)?)?;
        fields.retain(|(_, value)| !value.is_array());
        if index == 0 {
            let names: Vec<_> = fields.iter().map(|(name, _)| quoted(name)).collect();
            writeln!(out, "{}", names.join(","))?;
        }
        let value = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => quoted(text),
            other => other.to_string(),
        };
        let values: Vec<_> = fields.iter().map(|(_, field)| value(field)).collect();
        writeln!(out, "{}", values.join(","))?;
    }
    Ok(())
}

/// The fields of an object, in their order.
struct Fields(Vec<(String, Value)>);

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

/// A field of a CSV file (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sample {
        name: &'static str,
        speed: f64,
        missing: Option<f64>,
        samples: Vec<f64>,
    }

    impl TableRow for Sample {
        fn header() -> Vec<&'static str> {
            vec!["name", "t/s"]
        }

        fn cells(&self) -> Vec<String> {
            vec![self.name.to_string(), format!("{:.1}", self.speed)]
        }
    }

    fn printed(format: Format) -> String {
        let sample = |name, speed| Sample { name, speed, missing: None, samples: vec![speed] };
        let rows = [sample("a \"b\", c", 1.5), sample("d", 12.25)];
        let mut out = Vec::new();
        print(&mut out, format, &rows, "a note").expect("memory takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_format() {
        assert_eq!(
            printed(Format::Md),
            "| name     |  t/s |\n| -------- | ---: |\n| a \"b\", c |  1.5 |\n| d        | 12.2 |\n\na note\n"
        );
        assert_eq!(printed(Format::Csv), "name,speed,missing\n\"a \"\"b\"\", c\",1.5,\nd,12.25,\n");
        let rows: Value = serde_json::from_str(&printed(Format::Json)).expect("JSON");
        assert_eq!(rows[1]["samples"][0], 12.25);
        let lines: Vec<Value> =
            printed(Format::Jsonl).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(rows, Value::Array(lines));
    }
}
