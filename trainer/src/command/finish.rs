//! What a finished run leaves: its figures, its plots, the packed model and its card.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use otaro::{
    Reconstruction,
    pack::{PackOptions, pack_folder},
};

use super::{
    arguments::RunArguments,
    card::card,
    evaluate::evaluate,
    start::{Start, copy_text_files},
};
use crate::{
    REVISION,
    atomic::{self, replace},
    log,
    log::StepRow,
    model::save_weights,
    plot,
    report::{Evaluation, RunSummary},
    strategy::Width,
    train::{Progress, Trainer},
};

/// Evaluates at every width, then writes everything into the folder of the run. Returns the summary.
///
/// # Errors
/// Those of the file system; weights that SEFP cannot hold.
pub fn finish(arguments: &RunArguments, trainer: &Trainer<'_>, start: &Start) -> Result<RunSummary> {
    let evaluations = match &start.evaluation {
        Some(data) => evaluate(trainer, data, &[Reconstruction::Midpoint, Reconstruction::Truncate])?,
        None => Vec::new(),
    };
    let steps: Vec<StepRow> = log::read(&steps_path(&arguments.out))?;
    let summary = summary(arguments, trainer.progress(), &steps, evaluations)?;
    plots(&arguments.out, &steps)?;
    let folder = tempfile::tempdir_in(&arguments.out)?;
    save_weights(folder.path(), &trainer.progress().settings.architecture, &trainer.weights().to_host()?)?;
    copy_text_files(&start.tokenizer, folder.path())?;
    let packed = arguments.out.join("model.sefp.safetensors");
    let options = PackOptions {
        reconstruction: arguments.reconstruction,
        scale: arguments.scale,
        ..PackOptions::default()
    };
    pack_folder(folder.path(), &packed, &options, &mut |_| Ok(()))?;
    if arguments.huggingface {
        copy_folder(folder.path(), &arguments.out.join("huggingface"))?;
    }
    atomic::write(&arguments.out.join("README.md"), &card(&trainer.progress().settings, &summary))?;
    atomic::write(&arguments.out.join("summary.json"), &(serde_json::to_string_pretty(&summary)? + "\n"))?;
    Ok(summary)
}

/// The run in figures.
fn summary(
    arguments: &RunArguments,
    progress: &Progress,
    steps: &[StepRow],
    evaluations: Vec<Evaluation>,
) -> Result<RunSummary> {
    let settings = &progress.settings;
    let method = arguments.strategy.method;
    let mut path_counts = BTreeMap::new();
    for width in steps.iter().flat_map(|row| [Some(row.width), row.distilled]).flatten() {
        *path_counts.entry(width).or_insert(0) += 1;
    }
    Ok(RunSummary {
        model: name(arguments.model.as_deref().or(arguments.from_scratch.as_deref())),
        dataset: name(arguments.data.first().map(|source| source.path.as_path())),
        method: if arguments.strategy.distill {
            format!("{}-distill", method.label())
        } else {
            method.label()
        },
        seed: arguments.seed,
        trained_reconstruction: method.quantizes().then_some(settings.reconstruction),
        settings: flatten(&serde_json::to_value(settings)?),
        steps: progress.step,
        tokens: progress.tokens,
        seconds: progress.seconds,
        evaluations,
        path_counts,
        revision: REVISION.to_string(),
    })
}

/// Where the log of the steps lies in the folder of a run.
pub fn steps_path(out: &Path) -> PathBuf {
    out.join("steps.csv")
}

/// The name of a folder or file, without its ending.
fn name(path: Option<&Path>) -> String {
    let stem = path.and_then(Path::file_stem);
    stem.map_or_else(String::new, |stem| {
        stem.to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    })
}

/// Settings as `name.of.field: text`.
fn flatten(settings: &serde_json::Value) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let mut open = vec![(String::new(), settings)];
    while let Some((prefix, value)) = open.pop() {
        match value {
            serde_json::Value::Object(fields) => {
                let dot = if prefix.is_empty() { "" } else { "." };
                open.extend(fields.iter().map(|(name, value)| (format!("{prefix}{dot}{name}"), value)));
            }
            serde_json::Value::String(text) => _ = flat.insert(prefix, text.clone()),
            other => _ = flat.insert(prefix, other.to_string()),
        }
    }
    flat
}

/// Draws the log, where there is something to draw.
fn plots(out: &Path, rows: &[StepRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let plots = out.join("plots");
    atomic::write(&plots.join("loss.svg"), &plot::loss_per_width(rows)?)?;
    atomic::write(&plots.join("gradient-norm.svg"), &plot::gradient_norms(rows)?)?;
    let widths: BTreeSet<Width> = rows.iter().map(|row| row.width).collect();
    if widths.len() > 1 {
        atomic::write(&plots.join("widths.svg"), &plot::width_path(rows)?)?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make the folder {}", to.display()))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        replace(&to.join(entry.file_name()), |temporary| {
            fs::copy(entry.path(), temporary)?;
            Ok(())
        })?;
    }
    Ok(())
}
