//! Plots as SVG text, on white so that they read on any page.

mod perplexity;
mod steps;
mod style;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use otaro_trainer::{atomic, command::steps_path, log};

pub use perplexity::{Series, perplexity};
pub use steps::{gradient_norms, loss_per_width, width_path};

use crate::results::Step;

/// Draws the log in the folder of a run into its `plots/`. Returns the paths of the plots.
///
/// # Errors
/// There is no log, or it has no steps; a full disk. Names the path.
pub fn run(folder: &Path) -> Result<Vec<PathBuf>> {
    let log = steps_path(folder);
    let steps: Vec<Step> = log::read(&log)?.iter().map(Step::from).collect();
    ensure!(!steps.is_empty(), "{} has no steps yet: there is nothing to draw", log.display());
    let mut plots = vec![("loss", loss_per_width(&steps)?), ("gradient-norm", gradient_norms(&steps)?)];
    let widths: BTreeSet<_> = steps.iter().flat_map(Step::widths).collect();
    if widths.len() > 1 {
        plots.push(("widths", width_path(&steps)?));
    }
    let mut paths = Vec::new();
    for (name, svg) in plots {
        let path = folder.join("plots").join(format!("{name}.svg"));
        atomic::write(&path, &svg)?;
        paths.push(path);
    }
    Ok(paths)
}
