#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

/// No filter at all, and the random numbers of a seed.
fn plain(seed: u64) -> SamplerSettings {
    SamplerSettings { temperature: 1.0, top_p: 1.0, seed, ..SamplerSettings::default() }
}

fn sampler(settings: SamplerSettings) -> Sampler {
    Sampler::new(settings).unwrap()
}

/// The probabilities that the settings leave, the way Hugging Face's warpers write it: every filter a
/// pass of its own over the whole vocabulary.
fn oracle(logits: &[f32], settings: &SamplerSettings, context: &[u32]) -> Vec<f64> {
    let mut scores: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
    let penalty = f64::from(settings.repetition_penalty);
    let recent = &context[context.len().saturating_sub(settings.repetition_window)..];
    for (token, score) in scores.iter_mut().enumerate() {
        if recent.contains(&(token as u32)) {
            *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
        }
    }
    scores.iter_mut().for_each(|score| *score /= f64::from(settings.temperature));
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].partial_cmp(&scores[*a]).unwrap().then(a.cmp(b)));
    if settings.top_k > 0 {
        order.iter().skip(settings.top_k).for_each(|token| scores[*token] = f64::NEG_INFINITY);
    }
    let mut probabilities = softmax(&scores);
    // Removed: the least probable tokens whose sum, with all below them, stays within 1 - top_p.
    let mut below = 0.0;
    for token in order.iter().skip(1).rev() {
        below += probabilities[*token];
        if settings.top_p < 1.0 && below <= 1.0 - f64::from(settings.top_p) {
            scores[*token] = f64::NEG_INFINITY;
        }
    }
    probabilities = softmax(&scores);
    let threshold = probabilities[order[0]] * f64::from(settings.min_p);
    for (score, probability) in scores.iter_mut().zip(&probabilities) {
        if *probability < threshold {
            *score = f64::NEG_INFINITY;
        }
    }
    softmax(&scores)
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - best).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// How often each token is drawn, out of `draws`, relative.
fn frequencies(logits: &[f32], settings: &SamplerSettings, context: &[u32], draws: usize) -> Vec<f64> {
    let mut sampler = sampler(settings.clone());
    let mut counts = vec![0.0; logits.len()];
    for _ in 0..draws {
        sampler.observe(context);
        counts[sampler.sample(&mut logits.to_vec()).unwrap() as usize] += 1.0 / draws as f64;
    }
    counts
}

#[test]
fn draws_follow_the_distribution_that_each_filter_leaves() {
    let logits = [2.0, 1.0, 0.5, 0.5, -1.0, 3.0, -4.0, 2.5];
    let cases = [
        plain(1),
        SamplerSettings { temperature: 0.5, ..plain(2) },
        SamplerSettings { temperature: 5.0, ..plain(3) },
        SamplerSettings { top_k: 3, ..plain(4) },
        SamplerSettings { top_p: 0.8, ..plain(5) },
        SamplerSettings { min_p: 0.2, ..plain(6) },
        SamplerSettings { repetition_penalty: 1.8, ..plain(7) },
        SamplerSettings { repetition_penalty: 0.5, repetition_window: 2, ..plain(8) },
        SamplerSettings {
            temperature: 1.5,
            top_k: 6,
            top_p: 0.9,
            min_p: 0.1,
            repetition_penalty: 1.3,
            ..plain(9)
        },
    ];
    let context = [5, 6, 0, 4];
    let draws = 40_000;
    for settings in cases {
        let expected = oracle(&logits, &settings, &context);
        let seen = frequencies(&logits, &settings, &context, draws);
        for (token, (expected, seen)) in expected.iter().zip(&seen).enumerate() {
            // Five standard deviations: the seeds are fixed, so this passes always or never.
            let tolerance = 5.0 * (expected * (1.0 - expected) / draws as f64).sqrt();
            assert!((expected - seen).abs() <= tolerance, "{settings:?}, token {token}: {seen} v {expected}");
        }
    }
}

proptest! {
    #[test]
    fn only_what_the_filters_leave_is_drawn(
        logits in prop::collection::vec(-6.0_f32..6.0, 1..40),
        temperature in 0.2_f32..3.0,
        top_k in 0_usize..12,
        top_p in 0.05_f32..=1.0,
        min_p in 0.0_f32..0.5,
        seed: u64,
    ) {
        let settings = SamplerSettings { temperature, top_k, top_p, min_p, ..plain(seed) };
        let expected = oracle(&logits, &settings, &[]);
        let mut sampler = sampler(settings);
        for _ in 0..20 {
            let token = sampler.sample(&mut logits.clone()).unwrap();
            prop_assert!(expected[token as usize] > 0.0);
        }
    }

    #[test]
    fn candidates_of_a_device_give_the_same_tokens(
        // Few different values, so that ties are common.
        logits in prop::collection::vec((-8_i8..8).prop_map(|logit| f32::from(logit) / 2.0), 1..200),
        top_k in 1_usize..=64,
        top_p in 0.05_f32..=1.0,
        min_p in 0.0_f32..0.5,
        greedy: bool,
        seed: u64,
    ) {
        let temperature = if greedy { 0.0 } else { 0.8 };
        let settings = SamplerSettings { temperature, top_k, top_p, min_p, ..plain(seed) };
        let mut of_logits = sampler(settings.clone());
        let mut of_candidates = sampler(settings);
        let needed = of_candidates.candidates_needed().unwrap();
        prop_assert_eq!(needed, if greedy { 1 } else { top_k });
        let mut candidates: Vec<Candidate> =
            (0..).zip(&logits).map(|(token, logit)| Candidate { token, logit: *logit }).collect();
        candidates.sort_by(best_first);
        candidates.truncate(needed);
        for _ in 0..10 {
            let token = of_logits.sample(&mut logits.clone()).unwrap();
            prop_assert_eq!(of_candidates.choose(&candidates).unwrap(), token);
        }
    }

    #[test]
    fn the_nucleus_of_a_large_vocabulary_is_that_of_the_oracle(seed: u64, top_p in 0.1_f32..0.999, spread in 1_u32..40) {
        let mut random = StdRng::seed_from_u64(seed);
        let logits: Vec<f32> = (0..5000).map(|_| (random.next_u32() % (1000 * spread)) as f32 / 2000.0).collect();
        let settings = SamplerSettings { top_p, ..plain(seed) };
        let expected = oracle(&logits, &settings, &[]);
        let best = best_of(&logits).unwrap();
        let kept = sampler(settings).filter(&logits, best.logit);
        // One token may differ: sums of thousands of numbers depend on their order.
        let expected_count = expected.iter().filter(|probability| **probability > 0.0).count();
        prop_assert!(kept.len().abs_diff(expected_count) <= 1, "{} v {expected_count}", kept.len());
        prop_assert!(kept.is_sorted_by(|left, right| best_first(left, right) == Ordering::Less));
        prop_assert_eq!(kept[0], best);
        let common = kept.len().min(expected_count);
        prop_assert!(kept[..common - usize::from(common > 1)].iter().all(|kept| expected[kept.token as usize] > 0.0));
    }
}

#[test]
fn greedy_takes_the_lower_token_of_equals() {
    let mut greedy = sampler(SamplerSettings::greedy());
    assert_eq!(greedy.sample(&mut [0.0, 2.0, -1.0, 2.0]).unwrap(), 1);
    assert_eq!(greedy.sample(&mut [-0.0, 0.0]).unwrap(), 0);
}

#[test]
fn the_penalty_sees_chosen_tokens_within_its_window() {
    let settings =
        SamplerSettings { repetition_penalty: 10.0, repetition_window: 2, ..SamplerSettings::greedy() };
    let mut greedy = sampler(settings);
    greedy.observe(&[0, 3]);
    let logits = [9.0, 8.0, 7.0, 10.0];
    let chosen: Vec<u32> = (0..5).map(|_| greedy.sample(&mut logits.to_vec()).unwrap()).collect();
    // 0 and 3 are recent, so 1; then 3 and 1 are, so 0; then 1 and 0, so 3; and so on.
    assert_eq!(chosen, [1, 0, 3, 1, 0]);
}

#[test]
fn which_settings_need_all_logits() {
    let needed = |settings: SamplerSettings| sampler(settings).candidates_needed();
    assert_eq!(needed(SamplerSettings::greedy()), Some(1));
    assert_eq!(needed(SamplerSettings { top_k: 40, ..plain(0) }), Some(40));
    assert_eq!(needed(SamplerSettings { top_k: 65, ..plain(0) }), None);
    assert_eq!(needed(plain(0)), None);
    assert_eq!(needed(SamplerSettings { repetition_penalty: 1.1, ..SamplerSettings::greedy() }), None);
    let no_window =
        SamplerSettings { repetition_penalty: 1.1, repetition_window: 0, ..SamplerSettings::greedy() };
    assert_eq!(needed(no_window), Some(1));
}

#[test]
fn the_same_seed_gives_the_same_tokens() {
    // Written down so that another random generator, or another order of the filters, is noticed.
    let logits: Vec<f32> = (0..100).map(|token| ((token * 37) % 100) as f32 / 25.0).collect();
    let tokens = |seed| {
        let mut sampler = sampler(plain(seed));
        (0..8).map(|_| sampler.sample(&mut logits.clone()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(tokens(0), [72, 78, 5, 56, 27, 78, 24, 80]);
    assert_eq!(tokens(0), tokens(0));
    assert_ne!(tokens(0), tokens(1));
}

#[test]
fn logits_that_are_not_finite_are_an_error() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for settings in [SamplerSettings::greedy(), SamplerSettings { top_k: 2, ..plain(0) }] {
            let mut sampler = sampler(settings);
            assert_eq!(sampler.sample(&mut [0.0, bad]).unwrap_err().kind(), ErrorKind::NotFinite);
            let candidates = [Candidate { token: 3, logit: bad }];
            assert_eq!(sampler.choose(&candidates).unwrap_err().kind(), ErrorKind::NotFinite);
            assert_eq!(sampler.sample(&mut []).unwrap_err().kind(), ErrorKind::InvalidArgument);
            assert_eq!(sampler.choose(&[]).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}

#[test]
fn extreme_but_finite_values_are_fine() {
    let settings = SamplerSettings { temperature: 1e-40, repetition_penalty: 0.1, min_p: 1.0, ..plain(0) };
    let mut sampler = sampler(settings);
    sampler.observe(&[0, 1]);
    assert_eq!(sampler.sample(&mut [f32::MAX, f32::MIN, 0.0]).unwrap(), 0);
}

#[test]
fn settings_out_of_range_name_the_field() {
    let cases = [
        (SamplerSettings { temperature: -0.1, ..plain(0) }, "temperature"),
        (SamplerSettings { temperature: f32::NAN, ..plain(0) }, "temperature"),
        (SamplerSettings { temperature: f32::INFINITY, ..plain(0) }, "temperature"),
        (SamplerSettings { top_p: 0.0, ..plain(0) }, "top_p"),
        (SamplerSettings { top_p: 1.1, ..plain(0) }, "top_p"),
        (SamplerSettings { min_p: -0.1, ..plain(0) }, "min_p"),
        (SamplerSettings { repetition_penalty: 0.0, ..plain(0) }, "repetition_penalty"),
    ];
    for (settings, field) in cases {
        let error = Sampler::new(settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().starts_with(field), "{error}");
    }
}
