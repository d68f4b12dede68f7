//! The runs of a study, grouped by method.

use otaro_trainer::{
    strategy::{Method, Width},
    summary::RunSummary,
};
use sefp::{Precision, Reconstruction};

use super::{collect::Study, statistics::Sample};

/// The seeds of one method.
pub(super) struct Seeds<'a> {
    pub label: &'a str,
    pub runs: Vec<&'a RunSummary>,
}

/// The methods trained with a reconstruction, or without any: references first, then in the order of
/// [`Method::all`], then variants by name.
pub(super) fn methods(study: &Study, trained: Reconstruction) -> Vec<Seeds<'_>> {
    let order: Vec<_> = Method::all().map(Method::label).collect();
    let place = |label: &str| order.iter().position(|known| known == label).unwrap_or(order.len());
    let mut methods: Vec<Seeds> = Vec::new();
    for run in study.runs.iter().filter(|run| run.trained_reconstruction.is_none_or(|it| it == trained)) {
        match methods.iter_mut().find(|method| method.label == run.method) {
            Some(method) => method.runs.push(run),
            None => methods.push(Seeds { label: &run.method, runs: vec![run] }),
        }
    }
    methods.sort_by_key(|method| (place(method.label), method.label));
    methods
}

/// The reconstructions that anything was trained with.
pub(super) fn trained(study: &Study) -> impl Iterator<Item = Reconstruction> {
    let used =
        |wanted: &Reconstruction| study.runs.iter().any(|run| run.trained_reconstruction == Some(*wanted));
    Reconstruction::ALL.into_iter().filter(used)
}

impl Seeds<'_> {
    /// The name in tables.
    pub fn title(&self) -> String {
        match self.label {
            "none" => "no tuning".to_string(),
            "full" => "full precision".to_string(),
            label => {
                label.strip_prefix("fixed-M").map_or(label.to_string(), |width| format!("fixed M{width}"))
            }
        }
    }

    /// Whether it trains for every width, and is not a reference.
    pub fn is_for_all_widths(&self) -> bool {
        !matches!(self.label, "none" | "full") && !self.label.starts_with("fixed-")
    }

    /// Updates of every run.
    pub fn steps(&self) -> u64 {
        self.runs.first().map_or(0, |run| run.steps)
    }

    /// Passes of a run, [`RunSummary::cost`], on average.
    pub fn cost(&self) -> f64 {
        let costs: Vec<_> = self.runs.iter().map(|run| run.cost()).collect();
        Sample::of(&costs).map_or(0.0, |sample| sample.mean)
    }

    pub fn perplexity(&self, read: Reconstruction, width: Width) -> Option<Sample> {
        let values: Vec<_> = self.runs.iter().filter_map(|run| run.perplexity(read, width)).collect();
        Sample::of(&values)
    }

    /// The perplexity at a width in relation to the model tuned for it alone with the same seed.
    pub fn ratio(&self, fixed: &Seeds, read: Reconstruction, width: Width) -> Option<Sample> {
        let ratio = |run: &&RunSummary| {
            let other = fixed.runs.iter().find(|other| other.seed == run.seed)?;
            Some(run.perplexity(read, width)? / other.perplexity(read, width)?)
        };
        Sample::of(&self.runs.iter().filter_map(ratio).collect::<Vec<_>>())
    }
}

/// The method tuned for this width alone.
pub(super) fn fixed<'a, 'b>(methods: &'b [Seeds<'a>], precision: Precision) -> Option<&'b Seeds<'a>> {
    let label = Method::Fixed(precision).label();
    methods.iter().find(|method| method.label == label)
}
