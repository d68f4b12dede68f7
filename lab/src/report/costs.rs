//! What methods reach for what they cost: at equal steps, at equal passes, and one checkpoint beside six
//! specialists that cost as much together.

use otaro_trainer::strategy::{Method, Width};
use sefp::Reconstruction;

use super::{
    methods::Seeds,
    perplexities::{header, mean_perplexity, perplexity, quantised},
    statistics::Sample,
    table::{MISSING, Table},
};

/// Costs that differ by less count as equal: steps are whole numbers, and steps of two passes too.
const TOLERANCE: f64 = 0.02;

/// What methods have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Equal {
    /// As many updates of the weights.
    Steps,
    /// As many passes, forward and backward; one that is forward only counts as a third.
    Passes,
}

impl Equal {
    fn of(self, method: &Seeds) -> f64 {
        match self {
            Self::Steps => method.steps() as f64,
            Self::Passes => method.cost(),
        }
    }
}

/// The methods for all widths that have something in common with another one, by what that is; the best of
/// each group first.
pub(super) fn compared(methods: &[Seeds], read: Reconstruction, equal: Equal) -> Table {
    let mut compared: Vec<_> = methods
        .iter()
        .filter(|method| method.is_for_all_widths())
        .filter_map(|method| Some((equal.of(method), mean_perplexity(method, read)?, method)))
        .collect();
    compared.sort_by(|left, right| left.0.total_cmp(&right.0));
    let names = match equal {
        Equal::Steps => ["steps", "method", "passes"],
        Equal::Passes => ["passes", "method", "steps"],
    };
    let mut table = Table::new(names.into_iter().chain(["mean perplexity", "beside the best"]));
    for group in compared.chunk_by_mut(|left, right| same(left.0, right.0)).filter(|group| group.len() > 1) {
        group.sort_by(|left, right| left.1.mean.total_cmp(&right.1.mean));
        let best = group[0].1.mean;
        for (_, mean, method) in group {
            let [steps, passes] = [method.steps().to_string(), count(method.cost())];
            let [first, last] = if equal == Equal::Steps { [steps, passes] } else { [passes, steps] };
            let beside = format!("{:.3}", mean.mean / best);
            table.row([first, method.title(), last, perplexity(*mean), beside]);
        }
    }
    table
}

/// Six models tuned for one width each, in the same way.
struct Specialists<'a, 'b> {
    /// By width, M8 first.
    methods: [&'b Seeds<'a>; 6],
}

impl Specialists<'_, '_> {
    fn cost(&self) -> f64 {
        self.methods.iter().map(|method| method.cost()).sum()
    }
}

/// Those of which all six are there: `fixed-M3` to `fixed-M8` with the same ending.
fn specialists<'a, 'b>(methods: &'b [Seeds<'a>]) -> Vec<Specialists<'a, 'b>> {
    let widths = quantised().map(|precision| Method::Fixed(precision).label());
    let endings = methods.iter().filter_map(|method| method.label.strip_prefix(widths[0].as_str()));
    let set = |ending: &str| {
        let find = |width: &String| methods.iter().find(|it| it.label == format!("{width}{ending}"));
        let found: Option<Vec<_>> = widths.iter().map(find).collect();
        Some(Specialists { methods: found?.try_into().ok()? })
    };
    endings.filter_map(set).collect()
}

/// The passes of the six specialists that a method is measured by, as a multiple of its own.
pub(super) fn cost_of_six(methods: &[Seeds], method: &Seeds) -> Option<f64> {
    let plain = |set: &Specialists| set.methods[0].label == Method::Fixed(quantised()[0]).label();
    let six = specialists(methods).into_iter().find(plain)?;
    (method.cost() > 0.0).then(|| six.cost() / method.cost())
}

/// Every method for all widths beside six specialists that cost as much together: the perplexities at the
/// widths in relation to theirs.
pub(super) fn one_beside_six(methods: &[Seeds], read: Reconstruction) -> Table {
    let names =
        header(["method", "steps", "passes", "steps of each", "passes of six"], quantised().map(Width::At));
    let mut table = Table::new(names.into_iter().chain(["mean".to_string(), "worst".to_string()]));
    for method in methods.iter().filter(|method| method.is_for_all_widths()) {
        for six in specialists(methods).iter().filter(|six| same(six.cost(), method.cost())) {
            let mut ratios = Vec::new();
            for (precision, specialist) in quantised().into_iter().zip(six.methods) {
                ratios.push(method.ratio(specialist, read, Width::At(precision)));
            }
            let means: Vec<_> = ratios.iter().flatten().map(|sample| sample.mean).collect();
            let (Some(mean), Some(worst)) = (Sample::of(&means), means.iter().copied().reduce(f64::max))
            else {
                continue;
            };
            let costs = [
                method.title(),
                method.steps().to_string(),
                count(method.cost()),
                six.methods[0].steps().to_string(),
                count(six.cost()),
            ];
            let cells = ratios.iter().map(|ratio| ratio.map_or(MISSING.to_string(), |it| it.format(3)));
            let ends = [format!("{:.3}", mean.mean), format!("{worst:.3}")];
            table.row(costs.into_iter().chain(cells).chain(ends));
        }
    }
    table
}

fn same(left: f64, right: f64) -> bool {
    (left - right).abs() <= TOLERANCE * left.max(right)
}

fn count(passes: f64) -> String {
    format!("{passes:.0}")
}
