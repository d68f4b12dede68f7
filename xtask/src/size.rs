//! How large the library is that an app carries: built as it ships, stripped, and held against a budget.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    bindings,
    process::{cargo, root, run},
};

/// The page with the budget and what was measured, newest first.
const PAGE: &str = "docs/results/library-size.md";
/// The head of its table.
const HEAD: &str = "| revision | target | bytes |\n|---|---|---|\n";

/// Builds the library for this machine with the profile for phones and compares it with the budget.
pub(crate) fn check(record: bool) -> Result<String> {
    run(cargo().args(["build", "--quiet", "--package", "otaro-ffi", "--lib", "--profile", "mobile"]))?;
    let bytes = fs::metadata(bindings::library("mobile")?)?.len();
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let budget = budget(&page)?;
    if record {
        let row = format!("| {} | {} | {bytes} |\n", revision()?, host());
        fs::write(&path, with_row(&page, &row)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure!(bytes <= budget, "the library has {bytes} bytes, and its budget is {budget}: {PAGE}");
    Ok(format!("{bytes} bytes of {budget}"))
}

/// The number in the line `Budget: 12345 bytes`.
fn budget(page: &str) -> Result<u64> {
    let line = page.lines().find_map(|line| line.strip_prefix("Budget: ")?.strip_suffix(" bytes"));
    line.and_then(|number| number.parse().ok()).with_context(|| format!("{PAGE} names no budget"))
}

fn with_row(page: &str, row: &str) -> Result<String> {
    let Some(at) = page.find(HEAD) else { bail!("{PAGE} has no table") };
    let (before, after) = page.split_at(at + HEAD.len());
    Ok(format!("{before}{row}{after}"))
}

/// What was built: the commit, and whether files were changed since.
fn revision() -> Result<String> {
    let output =
        Command::new("git").current_dir(root()).args(["describe", "--always", "--dirty"]).output()?;
    ensure!(output.status.success(), "git does not say which revision this is");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn host() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_budget_and_a_table() {
        let page = fs::read_to_string(root().join(PAGE)).expect("the page");
        let limit = budget(&page).expect("a budget");
        let rows: Vec<u64> = page.lines().filter_map(bytes_of).collect();
        assert!(!rows.is_empty(), "nothing was measured");
        assert!(rows[0] <= limit, "the newest library is over the budget");
    }

    #[test]
    fn a_row_becomes_the_first() {
        let page = format!("Budget: 10 bytes\n\n{HEAD}| a | b | 5 |\n");
        let page = with_row(&page, "| c | b | 6 |\n").expect("a table");
        assert_eq!(page.lines().filter_map(bytes_of).collect::<Vec<_>>(), [6, 5]);
        assert!(with_row("no table", "row").is_err());
        assert!(budget("no budget").is_err());
    }

    fn bytes_of(line: &str) -> Option<u64> {
        line.strip_suffix(" |")?.rsplit("| ").next()?.parse().ok()
    }
}
