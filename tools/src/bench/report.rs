//! Prints rows, in the format that was asked for.

use std::io::{self, Write};

use serde::Serialize;

use super::{arguments::Format, latency::LatencyRow, row::Row};
use crate::table::{self, Fields};

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
            let header: Vec<_> = R::header().into_iter().map(str::to_string).collect();
            table::markdown(out, &header, &rows.iter().map(TableRow::cells).collect::<Vec<_>>())?;
            writeln!(out, "\n{note}")
        }
        Format::Csv => table::csv(out, &rows.iter().map(Fields::of).collect::<Result<Vec<_>, _>>()?),
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
