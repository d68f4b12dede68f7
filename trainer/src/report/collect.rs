//! Reads the folder of the results.

use std::{
    collections::BTreeMap,
    fs::read_dir,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{GradientAnalysis, RunSummary, summary::read};
use crate::{log, log::StepRow};

/// Everything about one model on one dataset.
#[derive(Default)]
pub(super) struct Study {
    /// Sorted by path.
    pub runs: Vec<RunSummary>,
    /// Sorted by path.
    pub gradients: Vec<GradientAnalysis>,
    /// The name of a run (`otaro-seed-1`) and its steps, where they were kept.
    pub steps: BTreeMap<String, Vec<StepRow>>,
}

/// Model and dataset.
pub(super) type Subject = (String, String);

/// Every study in `<model>/<dataset>/<method>/`. Files directly in one of the outer folders are left alone,
/// and so is the folder of the plots.
pub(super) fn collect(folder: &Path) -> Result<BTreeMap<Subject, Study>> {
    let mut studies = BTreeMap::new();
    for model in folders(folder)?.into_iter().filter(|model| name(model) != "plots") {
        for dataset in folders(&model)? {
            let mut study = Study::default();
            for method in folders(&dataset)? {
                for path in entries(&method)? {
                    study.add(folder, &path).with_context(|| format!("{}", path.display()))?;
                }
            }
            check_settings(&study.runs)?;
            studies.insert((name(&model), name(&dataset)), study);
        }
    }
    Ok(studies)
}

impl Study {
    fn add(&mut self, folder: &Path, path: &Path) -> Result<()> {
        let method = path.parent().map_or(String::new(), name);
        let file = name(path);
        if let Some(run) = file.strip_suffix(".steps.csv") {
            self.steps.insert(format!("{method}-{run}"), log::read(path)?);
        } else if !file.ends_with(".json") {
            // Whatever else is kept beside the summaries.
        } else if method == "gradients" {
            let analysis: GradientAnalysis = read(path)?;
            analysis.check()?;
            check_place(folder, path, &analysis.relative_path())?;
            self.gradients.push(analysis);
        } else {
            let run: RunSummary = read(path)?;
            run.check()?;
            check_place(folder, path, &run.relative_path())?;
            self.runs.push(run);
        }
        Ok(())
    }
}

/// A file copied to the wrong place would count for the wrong method.
fn check_place(folder: &Path, path: &Path, expected: &Path) -> Result<()> {
    ensure!(path == folder.join(expected), "by what it says it belongs to {}", expected.display());
    Ok(())
}

/// Runs that differ by more than their seed have no mean.
fn check_settings(runs: &[RunSummary]) -> Result<()> {
    let mut first = BTreeMap::new();
    for run in runs {
        let key = (&run.method, run.trained_reconstruction.map(|it| it.name()));
        let first: &&RunSummary = first.entry(key).or_insert(run);
        let place = run.relative_path();
        ensure!(
            comparable(run).eq(comparable(first)) && run.steps == first.steps,
            "{} and {} have different settings or steps, so they are not seeds of one method",
            place.display(),
            first.relative_path().display()
        );
    }
    Ok(())
}

/// The settings that must not differ between the seeds of a method; its draws have the same seed as the data.
pub(super) fn comparable(run: &RunSummary) -> impl Iterator<Item = (&String, &String)> {
    run.settings.iter().filter(|(key, _)| !matches!(key.as_str(), "seed" | "strategy.seed"))
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// What is in a folder, sorted by name; hidden files are not.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list =
        || -> std::io::Result<Vec<PathBuf>> { read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = list().with_context(|| format!("cannot read the folder {}", folder.display()))?;
    paths.retain(|path| !name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
