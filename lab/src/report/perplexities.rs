//! Tables of perplexities and what follows from them.

use std::collections::BTreeSet;

use otaro_trainer::{strategy::Width, summary::RunSummary};
use sefp::{Precision, Reconstruction};

use super::{
    collect::comparable,
    costs::cost_of_six,
    methods::{Seeds, fixed},
    statistics::{Sample, geometric_mean},
    table::{MISSING, Table},
};

/// Perplexity of every method at every width; the best of a column is bold.
pub(super) fn perplexities(methods: &[Seeds], read: Reconstruction) -> Table {
    let mut table = Table::new(header(["method", "seeds"], Width::ALL));
    let best = Width::ALL.map(|width| {
        let means = methods.iter().filter_map(|method| method.perplexity(read, width));
        means.map(|sample| sample.mean).fold(f64::INFINITY, f64::min)
    });
    for method in methods {
        let cells = Width::ALL.map(|width| match method.perplexity(read, width) {
            Some(sample) if sample.mean == best[width.index()] => format!("**{}**", perplexity(sample)),
            Some(sample) => perplexity(sample),
            None => MISSING.to_string(),
        });
        table.row([method.title(), method.runs.len().to_string()].into_iter().chain(cells));
    }
    table
}

/// Every method in relation to the one tuned for the width alone; then the worst of a row, and what the six
/// models tuned for one width cost together, as a multiple of its own cost.
pub(super) fn ratios(methods: &[Seeds], read: Reconstruction) -> Table {
    let widths = quantised();
    let last = ["worst", "cost of six"].map(str::to_string);
    let mut table = Table::new(header(["method"], widths.map(Width::At)).into_iter().chain(last));
    for method in methods {
        let ratios =
            widths.map(|precision| method.ratio(fixed(methods, precision)?, read, Width::At(precision)));
        let worst = ratios.iter().flatten().map(|sample| sample.mean).reduce(f64::max);
        let Some(worst) = worst else { continue };
        let cells = ratios.map(|ratio| ratio.map_or(MISSING.to_string(), |sample| sample.format(3)));
        let six = cost_of_six(methods, method).map_or(MISSING.to_string(), |six| format!("{six:.1} x"));
        table.row([method.title()].into_iter().chain(cells).chain([format!("{worst:.3}"), six]));
    }
    table
}

/// Share of the passes at every width, for the methods that choose.
pub(super) fn shares(methods: &[Seeds]) -> Table {
    let mut table = Table::new(header(["method"], quantised().map(Width::At)));
    for method in methods.iter().filter(|method| method.is_for_all_widths()) {
        let share = |precision| {
            let of_run = |run: &&RunSummary| {
                let passes = run.path_counts.values().sum::<u64>().max(1) as f64;
                run.path_counts.get(&Width::At(precision)).map_or(0.0, |&count| 100.0 * count as f64 / passes)
            };
            Sample::of(&method.runs.iter().map(of_run).collect::<Vec<_>>())
        };
        let cells =
            quantised().map(|precision| share(precision).map_or(MISSING.to_string(), |it| it.format(1)));
        table.row([method.title()].into_iter().chain(cells));
    }
    table
}

/// The settings in which the methods for all widths differ, their cost, and the geometric mean of their
/// perplexities at M8 to M3.
pub(super) fn variants(methods: &[Seeds], read: Reconstruction) -> Table {
    let methods: Vec<_> = methods.iter().filter(|method| method.is_for_all_widths()).collect();
    let keys = differing(&methods);
    let costs = ["steps", "tokens", "minutes", "mean perplexity"];
    let names = ["method"].into_iter().chain(keys.iter().copied()).chain(costs);
    let mut table = Table::new(names);
    for method in methods {
        let Some(first) = method.runs.first() else { continue };
        let setting =
            |key: &&str| first.settings.get(*key).map_or(MISSING.to_string(), |value| format!("`{value}`"));
        let minutes = method.runs.iter().map(|run| run.seconds / 60.0).collect::<Vec<_>>();
        let cells = [
            first.steps.to_string(),
            first.tokens.to_string(),
            Sample::of(&minutes).map_or(MISSING.to_string(), |sample| format!("{:.1}", sample.mean)),
            mean_perplexity(method, read).map_or(MISSING.to_string(), perplexity),
        ];
        table.row([method.title()].into_iter().chain(keys.iter().map(setting)).chain(cells));
    }
    table
}

/// Over the runs that were evaluated at all six widths.
pub(super) fn mean_perplexity(method: &Seeds, read: Reconstruction) -> Option<Sample> {
    let of_run = |run: &&RunSummary| {
        let values: Option<Vec<_>> =
            quantised().iter().map(|&precision| run.perplexity(read, Width::At(precision))).collect();
        geometric_mean(&values?)
    };
    Sample::of(&method.runs.iter().filter_map(of_run).collect::<Vec<_>>())
}

/// The settings that have not the same value everywhere, in alphabetical order.
fn differing<'a>(methods: &[&Seeds<'a>]) -> BTreeSet<&'a str> {
    let first = |method: &&Seeds<'a>| method.runs.first().copied();
    let keys = methods.iter().filter_map(first).flat_map(comparable).map(|(key, _)| key.as_str());
    let differs = |key: &&str| {
        let values: BTreeSet<_> =
            methods.iter().filter_map(first).map(|run| run.settings.get(*key)).collect();
        // The method is the name of the row already.
        values.len() > 1 && *key != "method"
    };
    keys.filter(differs).collect()
}

/// M8 to M3.
pub(super) fn quantised() -> [Precision; 6] {
    let mut widths = Precision::ALL;
    widths.reverse();
    widths
}

pub(super) fn header<const N: usize>(
    first: [&str; N],
    widths: impl IntoIterator<Item = Width>,
) -> Vec<String> {
    let widths = widths.into_iter().map(|width| width.to_string());
    first.into_iter().map(str::to_string).chain(widths).collect()
}

/// Four significant digits for what perplexities usually are.
pub(super) fn perplexity(sample: Sample) -> String {
    sample.format(match sample.mean {
        mean if mean < 10.0 => 3,
        mean if mean < 100.0 => 2,
        _ => 1,
    })
}
