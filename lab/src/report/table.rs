//! A table as Markdown.

use std::fmt::Write;

/// What stands where nothing was measured.
pub(super) const MISSING: &str = "–";

/// Rows of cells below a header.
pub(super) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: impl IntoIterator<Item = impl ToString>) -> Self {
        Self { header: header.into_iter().map(|name| name.to_string()).collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first column to the left, numbers to the right.
    pub fn markdown(&self) -> String {
        let mut text =
            format!("| {} |\n|---|{}\n", self.header.join(" | "), "---:|".repeat(self.header.len() - 1));
        for row in &self.rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }
}

/// A heading and a table, or nothing if the table is empty.
pub(super) fn section(heading: &str, note: &str, table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    let note = if note.is_empty() { String::new() } else { format!("{note}\n\n") };
    format!("### {heading}\n\n{note}{}\n", table.markdown())
}
