//! Runs the steps one after the other, times them and says how each of them ended.
//!
//! Whatever this program says goes to standard error, and the tests come last: standard output ends
//! with the results of `cargo test`.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::step::Step;

/// What to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Run this step only (may be repeated)
    #[arg(long, value_name = "STEP", conflicts_with = "skip")]
    only: Vec<Step>,
    /// Leave this step out (may be repeated)
    #[arg(long, value_name = "STEP")]
    skip: Vec<Step>,
    /// Stop at the first step that fails, instead of running the others
    #[arg(long)]
    fail_fast: bool,
    /// Say which steps there are, and run none
    #[arg(long)]
    list: bool,
}

impl Options {
    fn steps(&self) -> Vec<Step> {
        let wanted =
            |step: &Step| !self.skip.contains(step) && (self.only.is_empty() || self.only.contains(step));
        Step::value_variants().iter().copied().filter(wanted).collect()
    }
}

/// How a step ended, after how long.
struct Ended {
    step: Step,
    result: Result<String>,
    took: Duration,
}

/// Runs the steps that were asked for; an error names those that failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let steps = options.steps();
    if options.list {
        for step in steps {
            println!("{:<8}  {}", step.name(), step.about());
        }
        return Ok(());
    }
    let mut ended = Vec::new();
    for (index, &step) in steps.iter().enumerate() {
        eprintln!("\n[{}/{}] {}: {}", index + 1, steps.len(), step.name(), step.about());
        let start = Instant::now();
        let result = step.run();
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        let stop = result.is_err() && (options.fail_fast || step == Step::Setup);
        ended.push(Ended { step, result, took: start.elapsed() });
        if stop {
            break;
        }
    }
    eprint!("\n{}", summary(&ended, &steps[ended.len()..]));
    let failed: Vec<_> = ended.iter().filter(|e| e.result.is_err()).map(|e| e.step.name()).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// A table of what ran and of what was left.
fn summary(ended: &[Ended], left: &[Step]) -> String {
    let mut table = format!("{:<8}  {:<7}  {:>8}\n", "step", "result", "seconds");
    for Ended { step, result, took } in ended {
        let (word, note) = match result {
            Ok(note) => ("passed", note.clone()),
            Err(error) => ("FAILED", format!("{error}")),
        };
        let row = format!("{:<8}  {word:<7}  {:>8.1}  {note}", step.name(), took.as_secs_f64());
        table += row.trim_end();
        table.push('\n');
    }
    for step in left {
        table += &format!("{:<8}  not run\n", step.name());
    }
    table
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn options(only: &[Step], skip: &[Step]) -> Options {
        Options { only: only.to_vec(), skip: skip.to_vec(), fail_fast: false, list: false }
    }

    #[test]
    fn steps_keep_their_order() {
        assert_eq!(options(&[Step::Test, Step::Setup], &[]).steps(), [Step::Setup, Step::Test]);
        let without = options(&[], &[Step::Fuzz]).steps();
        assert_eq!(without.len(), Step::value_variants().len() - 1);
        assert!(!without.contains(&Step::Fuzz));
        assert_eq!(without.last(), Some(&Step::Test), "the results of the tests come last");
    }

    #[test]
    fn the_summary_says_how_each_step_ended() {
        let took = Duration::from_millis(1500);
        let ended = [
            Ended { step: Step::Setup, result: Ok("installed g++".into()), took },
            Ended { step: Step::Format, result: Ok(String::new()), took },
            Ended { step: Step::Deny, result: Err(anyhow!("two crates are banned")), took },
        ];
        let expected = "\
step      result    seconds
setup     passed        1.5  installed g++
format    passed        1.5
deny      FAILED        1.5  two crates are banned
test      not run
";
        assert_eq!(summary(&ended, &[Step::Test]), expected);
    }
}
