//! From the lowest precision everywhere upwards: each step raises the part that brings most for its bits.
//!
//! What a part loses at a precision is measured with everything else at the highest one, and the losses of parts are
//! added up. That is a model of the truth, which the points that are reported are measured against.

use otaro::{Architecture, Precision, PrecisionProfile, TensorClass};
use serde::Serialize;

use super::units::{self, Unit};

/// More bits than this is not the rounding of a sum.
const EPSILON: f64 = 1e-9;

/// What a part loses at each precision.
#[derive(Clone, Debug, Serialize)]
pub struct Sensitivity {
    #[serde(serialize_with = "as_text")]
    pub unit: Unit,
    /// KL divergence above that of the highest precision everywhere, in the order of [`Precision::ALL`].
    pub losses: [f64; Precision::ALL.len()],
}

fn as_text<S: serde::Serializer>(unit: &Unit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(unit)
}

impl Sensitivity {
    /// From the losses at every precision but the highest, lowest first. More bits never lose more: where they
    /// seem to, the difference is noise, and the loss of the higher precision counts for both.
    pub fn new(unit: Unit, measured: &[f64]) -> Self {
        let mut losses = [0.0; Precision::ALL.len()];
        losses[..measured.len()].copy_from_slice(measured);
        for index in (0..measured.len()).rev() {
            losses[index] = losses[index].max(losses[index + 1]);
        }
        Self { unit, losses }
    }
}

/// A point of the way up.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub profile: PrecisionProfile,
    pub bits_per_weight: f64,
}

/// The way from the lowest precision everywhere to the budget, in bits per weight.
pub fn climb(
    sensitivities: &[Sensitivity],
    architecture: &Architecture,
    budget: f64,
) -> anyhow::Result<Vec<Point>> {
    let costs = Costs::new(sensitivities, architecture)?;
    let mut levels = vec![0; sensitivities.len()];
    let mut path = vec![point(sensitivities, &levels, architecture)?];
    while let Some(bits) = path.last().map(|point| point.bits_per_weight) {
        let Some((part, level)) = best_step(sensitivities, &costs, &levels, budget - bits) else { break };
        levels[part] = level;
        path.push(point(sensitivities, &levels, architecture)?);
    }
    Ok(path)
}

/// The part to raise, and to which level: most loss undone per bit, among what still fits.
fn best_step(parts: &[Sensitivity], costs: &Costs, levels: &[usize], spare: f64) -> Option<(usize, usize)> {
    let mut best = None;
    let mut best_rate = 0.0;
    for (part, sensitivity) in parts.iter().enumerate() {
        for level in levels[part] + 1..Precision::ALL.len() {
            let gain = sensitivity.losses[levels[part]] - sensitivity.losses[level];
            let cost = costs.of(part, level, levels);
            let rate = if cost < EPSILON { f64::INFINITY } else { gain / cost };
            if gain > 0.0 && cost <= spare + EPSILON && rate > best_rate {
                (best, best_rate) = (Some((part, level)), rate);
            }
        }
    }
    best
}

fn point(parts: &[Sensitivity], levels: &[usize], architecture: &Architecture) -> anyhow::Result<Point> {
    let parts: Vec<_> =
        parts.iter().zip(levels).map(|(part, &level)| (part.unit, Precision::ALL[level])).collect();
    let profile = units::profile(&parts)?;
    let bits_per_weight = profile.resolve(architecture)?.bits_per_weight(architecture);
    Ok(Point { profile, bits_per_weight })
}

/// What raising a part costs, in bits per weight of the whole model.
struct Costs {
    /// Of one more bit of each part.
    of_a_bit: Vec<f64>,
    /// The two ways to read a tied matrix: the higher one pays.
    tied: Option<[usize; 2]>,
}

impl Costs {
    fn new(parts: &[Sensitivity], architecture: &Architecture) -> anyhow::Result<Self> {
        let [low, next] = [Precision::ALL[0], Precision::ALL[1]];
        let bits = |profile: PrecisionProfile| -> anyhow::Result<f64> {
            Ok(profile.resolve(architecture)?.bits_per_weight(architecture))
        };
        let base = bits(low.into())?;
        let of_a_bit = parts.iter().map(|part| Ok(bits(part.unit.alone(next, low)?)? - base));
        let of_a_bit = of_a_bit.collect::<anyhow::Result<_>>()?;
        let find = |class| parts.iter().position(|part| part.unit.class == class);
        let both = find(TensorClass::Embedding).zip(find(TensorClass::Head));
        let tied = both.filter(|_| architecture.tied_head).map(|(embedding, head)| [embedding, head]);
        Ok(Self { of_a_bit, tied })
    }

    /// The cost of raising a part to a level.
    fn of(&self, part: usize, level: usize, levels: &[usize]) -> f64 {
        let floor = match self.tied {
            Some([one, other]) if part == one || part == other => levels[one].max(levels[other]),
            _ => levels[part],
        };
        level.saturating_sub(floor) as f64 * self.of_a_bit[part]
    }
}

/// At most `count` points at even distances of bits, the last one included; none that is the start.
pub fn spread(path: &[Point], count: usize) -> Vec<&Point> {
    let (Some(first), Some(last)) = (path.first(), path.last()) else { return Vec::new() };
    let range = last.bits_per_weight - first.bits_per_weight;
    let target = |index: usize| first.bits_per_weight + range * index as f64 / count as f64 + EPSILON;
    let below = |index| path.iter().skip(1).rfind(|point| point.bits_per_weight <= target(index));
    let mut points: Vec<_> = (1..=count).filter_map(below).collect();
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use otaro::pack::Shape;

    use super::*;

    fn climbed(
        tied_head: bool,
        budget: f64,
        loss: impl Fn(&Unit, usize) -> f64,
    ) -> (Vec<Point>, Architecture) {
        let known = &Shape::find("stories15m").expect("a known shape").architecture;
        let architecture = Architecture { tied_head, ..known.clone() };
        let parts: Vec<_> = units::all(&architecture, 1)
            .into_iter()
            .map(|unit| Sensitivity::new(unit, &[0, 1, 2, 3, 4].map(|level| loss(&unit, level))))
            .collect();
        (climb(&parts, &architecture, budget).expect("profiles of the model"), architecture)
    }

    #[test]
    fn what_loses_most_is_raised_first_and_the_budget_is_kept() {
        let mlp = |unit: &Unit, level: usize| match unit.to_string().as_str() {
            "layers.2.mlp" => 8.0 / f64::from(4_u32.pow(level as u32)),
            _ => 0.01 / f64::from(4_u32.pow(level as u32)),
        };
        for budget in [4.125, 4.2, 4.5, 5.7, 9.2] {
            let (path, _) = climbed(false, budget, mlp);
            assert_eq!(path[0].profile, Precision::MIN.into());
            assert!(path.is_sorted_by_key(|point| point.bits_per_weight));
            assert!(path.iter().all(|point| point.bits_per_weight <= budget + EPSILON), "{budget}");
            if budget > 4.2 {
                assert_eq!(path[1].profile.layer(2, TensorClass::Mlp), Precision::E5M4);
                assert_eq!(path[1].profile.layer(1, TensorClass::Mlp), Precision::E5M3);
            }
            if budget > 9.0 {
                assert_eq!(path[path.len() - 1].profile, Precision::MAX.into(), "all the way up");
            }
        }
    }

    #[test]
    fn a_tied_matrix_is_paid_once() {
        let loss = |unit: &Unit, level: usize| match unit.class {
            TensorClass::Head => 9.0 - level as f64,
            TensorClass::Embedding => 1.0 - 0.1 * level as f64,
            _ => 0.0,
        };
        let (path, architecture) = climbed(true, 9.0, loss);
        let last = &path[path.len() - 1];
        assert_eq!(last.profile.to_string(), "3,embedding=8,head=8");
        let head = "3,head=8".parse::<PrecisionProfile>().expect("a profile");
        let head = head.resolve(&architecture).expect("of the model").bits_per_weight(&architecture);
        assert!((last.bits_per_weight - head).abs() < EPSILON);
    }

    #[test]
    fn noise_is_no_reason_to_raise() {
        let unit = units::all(&Shape::find("stories15m").expect("a known shape").architecture, 1)[0];
        let sensitivity = Sensitivity::new(unit, &[0.5, 0.6, 0.1, -0.1, 0.05]);
        assert_eq!(sensitivity.losses, [0.6, 0.6, 0.1, 0.05, 0.05, 0.0]);
        let (path, _) = climbed(false, 9.0, |_, _| 0.0);
        assert_eq!(path.len(), 1, "nothing is to be gained");
        assert!(spread(&path, 8).is_empty());
    }

    #[test]
    fn points_are_spread_over_the_way() {
        let (path, _) = climbed(false, 6.0, |_, level| 1.0 / (level + 1) as f64);
        let points = spread(&path, 4);
        assert_eq!(points.len(), 4);
        assert_eq!(points[3], &path[path.len() - 1]);
        assert_eq!(spread(&path, 1), [&path[path.len() - 1]]);
        let all = spread(&path, 10_000);
        assert!(all.len() < path.len() && all.is_sorted_by_key(|point| point.bits_per_weight));
    }
}
