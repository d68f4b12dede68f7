//! Paths of whole runs on losses that behave like those of a small model.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use clap::ValueEnum;

/// A loss that falls with the steps, with the price of the width and the noise of the batch.
fn loss(step: u64, width: Precision, price_of_m3: f64) -> f64 {
    let price = price_of_m3 * [1.0, 0.3, 0.05, 0.01, 0.0, 0.0][width.bit_planes()];
    let noise = (step as f64 * 12.9898).sin() * 0.05;
    2.4 + 3.0 * (-(step as f64) / 100.0).exp() + price + noise
}

/// Steps at every width by `bit_planes`, after `steps` more steps.
fn run(strategy: &mut Strategy, steps: u64, price_of_m3: f64) -> [u64; 6] {
    let mut counts = [0; 6];
    for _ in 0..steps {
        let plan = strategy.plan();
        for width in plan.widths() {
            let Width::At(precision) = width else { continue };
            counts[precision.bit_planes()] += 1;
            strategy.observe(width, loss(strategy.steps(), precision, price_of_m3)).unwrap();
        }
        strategy.update(plan.primary);
    }
    counts
}

fn bps(score: BpsScore, lambda: f64, discount: f64) -> Strategy {
    let bps = BpsSettings { score, lambda, discount };
    Strategy::new(StrategySettings { bps, ..StrategySettings::of(Method::Bps) }).unwrap()
}

#[test]
fn constant_methods_never_move() {
    let mut full = Strategy::new(StrategySettings::of(Method::Full)).unwrap();
    assert_eq!(full.plan(), Plan::at(Width::Full));
    assert_eq!(full.update(Width::Full), Update::Now);
    let mut fixed = Strategy::new(StrategySettings::of(Method::Fixed(Precision::E5M4))).unwrap();
    assert_eq!(run(&mut fixed, 50, 0.3), [0, 50, 0, 0, 0, 0]);
    assert_eq!(fixed.scores(), [None; 6]);
}

#[test]
fn uniform_is_even_and_depends_on_the_seed() {
    let uniform = |seed| StrategySettings { seed, ..StrategySettings::of(Method::Uniform) };
    let counts = run(&mut Strategy::new(uniform(1)).unwrap(), 6000, 0.3);
    assert!(counts.iter().all(|&count| (900..1100).contains(&count)), "{counts:?}");
    let path = |seed| {
        let mut strategy = Strategy::new(uniform(seed)).unwrap();
        (0..50).map(|_| strategy.plan()).collect::<Vec<_>>()
    };
    assert_eq!(path(1), path(1));
    assert_ne!(path(1), path(2));
}

#[test]
fn the_bandit_tries_every_width_from_high_to_low() {
    let mut strategy = Strategy::new(StrategySettings::default()).unwrap();
    for (step, expected) in (1..).zip(Precision::ALL.into_iter().rev()) {
        let plan = strategy.plan();
        assert_eq!(plan.primary, Width::At(expected));
        strategy.observe(plan.primary, loss(step, expected, 0.3)).unwrap();
    }
    assert!(strategy.scores().iter().all(Option::is_some));
}

#[test]
fn raw_low_loss_with_small_lambda_collapses() {
    let counts = run(&mut bps(BpsScore::LowLoss, 0.1, 1.0), 500, 0.3);
    assert!(counts.iter().any(|&count| count > 400), "{counts:?}");
}

#[test]
fn excess_prefers_the_width_with_most_to_gain_and_visits_all() {
    for steps in [500, 5000] {
        let counts = run(&mut Strategy::new(StrategySettings::of(Method::Bps)).unwrap(), steps, 0.3);
        let shares = counts.map(|count| count as f64 / steps as f64);
        assert!((0.25..0.45).contains(&shares[0]), "{shares:?}");
        assert!(shares.iter().all(|&share| share > 0.08), "{shares:?}");
    }
}

#[test]
fn low_normalised_avoids_the_costly_width_but_visits_it() {
    let defaults = BpsSettings::default();
    let counts = run(&mut bps(BpsScore::LowNormalised, defaults.lambda, defaults.discount), 1000, 0.3);
    assert!(counts[0] > 50 && counts.iter().all(|&count| count >= counts[0]), "{counts:?}");
}

#[test]
fn a_falling_loss_alone_prefers_no_width() {
    for score in [BpsScore::LowNormalised, BpsScore::Excess] {
        let counts = run(&mut bps(score, 4.0, 0.99), 600, 0.0);
        assert!(counts.iter().all(|&count| (60..150).contains(&count)), "{score:?}: {counts:?}");
    }
}

#[test]
fn distillation_pairs_a_high_and_a_low_width() {
    for method in [Method::Uniform, Method::Bps, Method::Otaro] {
        let settings = StrategySettings { distill: true, ..StrategySettings::of(method) };
        let mut strategy = Strategy::new(settings).unwrap();
        let counts = run(&mut strategy, 200, 0.3);
        assert_eq!(counts[..2].iter().sum::<u64>(), 200);
        assert!(counts.iter().all(|&count| count > 10), "{method}: {counts:?}");
        let plan = strategy.plan();
        assert!(plan.others.len() == 1 && plan.others[0] <= Precision::E5M4);
        assert_eq!(strategy.update(plan.primary), Update::Now);
    }
}

#[test]
fn a_resumed_run_takes_the_same_path() {
    for method in [Method::Uniform, Method::Bps, Method::Otaro] {
        for distill in [false, true] {
            let settings = StrategySettings { distill, seed: 7, ..StrategySettings::of(method) };
            let mut through = Strategy::new(settings).unwrap();
            run(&mut through, 137, 0.3);
            let stored = serde_json::to_string(&through).unwrap();
            let mut resumed: Strategy = serde_json::from_str(&stored).unwrap();
            assert_eq!(resumed, through);
            assert_eq!(run(&mut resumed, 200, 0.3), run(&mut through, 200, 0.3));
            assert_eq!(resumed, through, "{method}, distill {distill}");
        }
    }
}

#[test]
fn accumulation_is_for_otaro_alone() {
    let low = Width::At(Precision::E5M3);
    let mut otaro = Strategy::new(StrategySettings::of(Method::Otaro)).unwrap();
    assert_eq!((0..9).map(|_| otaro.update(low)).collect::<Vec<_>>(), [Update::Accumulate; 9]);
    assert_eq!(otaro.update(Width::At(Precision::E5M5)), Update::Now);
    assert_eq!(otaro.update(low), Update::AccumulateThenApply { batches: 10 });
    let mut bps = Strategy::new(StrategySettings::of(Method::Bps)).unwrap();
    assert_eq!(bps.update(low), Update::Now);
}

#[test]
fn bad_settings_are_named() {
    let defaults = StrategySettings::default;
    let cases = [
        (StrategySettings::of(Method::None), "trains nothing"),
        (StrategySettings { low_up_to: Precision::E5M8, ..defaults() }, "no high width"),
        (StrategySettings { distill_weight: 1.5, ..defaults() }, "distill weight is 1.5"),
        (StrategySettings { distill: true, ..StrategySettings::of(Method::Full) }, "two widths a step"),
        (
            StrategySettings { teacher: Teacher::Masters, ..defaults() },
            "nothing learns from the teacher 'masters'",
        ),
        (
            StrategySettings {
                distill: true,
                teacher: Teacher::Masters,
                ..StrategySettings::of(Method::Full)
            },
            "cannot learn from themselves",
        ),
        (
            StrategySettings { bps: BpsSettings { lambda: f64::NAN, ..Default::default() }, ..defaults() },
            "lambda",
        ),
        (
            StrategySettings { bps: BpsSettings { discount: 0.0, ..Default::default() }, ..defaults() },
            "discount",
        ),
        (StrategySettings { laa: LaaSettings { period: 0, ..Default::default() }, ..defaults() }, "period"),
    ];
    for (settings, part) in cases {
        let error = Strategy::new(settings).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let unknown = serde_json::from_str::<StrategySettings>(r#"{"method": "otaro", "lamda": 1}"#).unwrap_err();
    assert!(unknown.to_string().contains("lamda"), "{unknown}");
    let mut strategy = Strategy::new(defaults()).unwrap();
    let diverged = strategy.observe(Width::Full, f64::NAN).unwrap_err().to_string();
    assert!(diverged.contains("diverged"), "{diverged}");
}

#[test]
fn settings_read_back_and_scores_have_names() {
    let settings = StrategySettings::of(Method::Fixed(Precision::E5M6));
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<StrategySettings>(&text).unwrap(), settings);
    for &score in BpsScore::value_variants() {
        let name = score.to_possible_value().unwrap();
        assert_eq!(serde_json::to_value(score).unwrap(), name.get_name());
        assert_eq!(BpsScore::from_str(name.get_name(), false).unwrap(), score);
    }
    assert!(BpsScore::from_str("best", false).is_err());
}

#[test]
fn low_widths_wait_for_their_time() {
    for (method, distill) in [(Method::Uniform, false), (Method::Uniform, true), (Method::Bps, false)] {
        let settings = StrategySettings { low_from: 30, distill, ..StrategySettings::of(method) };
        let mut strategy = Strategy::new(settings.clone()).unwrap();
        let mut lows = Vec::new();
        for step in 1..=200 {
            let plan = strategy.plan();
            let Width::At(primary) = plan.primary else { panic!("{method} quantises") };
            if settings.is_low(primary) || !plan.others.is_empty() {
                lows.push(step);
            }
            strategy.observe(plan.primary, loss(step, primary, 1.0)).unwrap();
        }
        assert!(lows[0] > 30, "{method}: {lows:?}");
        assert_eq!(lows.len() == 170, distill, "{method}: {lows:?}");
    }
}

#[test]
fn matryoshka_makes_all_its_passes_in_every_step() {
    let settings = StrategySettings { low_from: 2, ..StrategySettings::of(Method::Matryoshka) };
    let mut strategy = Strategy::new(settings).unwrap();
    let widths = |plan: Plan| plan.widths().map(|width| width.to_string()).collect::<Vec<_>>();
    assert_eq!(widths(strategy.plan()), ["M8"]);
    assert_eq!(widths(strategy.plan()), ["M8"]);
    for _ in 0..3 {
        assert_eq!(widths(strategy.plan()), ["M8", "M4", "M3"]);
        assert_eq!(strategy.update(Width::At(Precision::E5M8)), Update::Now);
    }
}

#[test]
fn passes_learn_from_their_teacher() {
    let settings =
        |method, teacher| StrategySettings { distill: true, teacher, ..StrategySettings::of(method) };
    // Whether the first pass learns, whether the others do, and whether the teacher takes a pass of its own.
    let cases = [
        (Method::Uniform, Teacher::High, [false, true, false]),
        (Method::Uniform, Teacher::Masters, [false, true, true]),
        (Method::Uniform, Teacher::Folder, [true, true, true]),
        (Method::Fixed(Precision::E5M3), Teacher::Masters, [true, true, true]),
        (Method::Matryoshka, Teacher::High, [false, true, false]),
    ];
    for (method, teacher, expected) in cases {
        let settings = settings(method, teacher);
        settings.check().unwrap();
        let found = [settings.learns(true), settings.learns(false), settings.teacher_takes_a_pass(2)];
        assert_eq!(found, expected, "{method} {teacher}");
    }
    // Before low widths are visited there is one pass, of a width that learns from the text alone.
    assert!(!settings(Method::Uniform, Teacher::Masters).teacher_takes_a_pass(1));
    assert!(!StrategySettings::of(Method::Matryoshka).learns(false));
    for teacher in Teacher::ALL {
        assert_eq!(teacher.to_string().parse::<Teacher>().unwrap(), teacher);
    }
    assert!("low".parse::<Teacher>().unwrap_err().to_string().contains("'low' is not a teacher"));
}
