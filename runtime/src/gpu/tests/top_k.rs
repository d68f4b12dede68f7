//! `top_k` is exact: the same candidates in the same order as a stable sort.

use super::*;
use crate::Candidate;

fn sorted(logits: &[f32], k: usize) -> Vec<Candidate> {
    let mut all: Vec<_> = (0..).zip(logits).map(|(token, &logit)| Candidate { token, logit }).collect();
    all.sort_by(|a, b| b.logit.partial_cmp(&a.logit).expect("no NaN"));
    all.truncate(k);
    all
}

fn check(vocab_size: usize, rows: &[(&str, Vec<f32>)]) {
    let architecture =
        Architecture { vocab_size, hidden_size: 64, intermediate_size: 64, layers: 1, ..ragged() };
    let model = TestModel::write(&architecture, &mut Made(architecture.clone(), |_, _, _| 1.0));
    let mut device = model.device();
    for (what, logits) in rows {
        for k in [1, 2, 7, 40, 64, 65, 1000, 5, 1] {
            device.begin(batch(&[0], 0, &precisions(&architecture, Precision::E5M3))).expect("a pass");
            device.write_slot(Slot::Logits, logits);
            let Output::TopK(actual) = device.finish(Readback::TopK(k)).expect("candidates") else {
                panic!("candidates were asked for");
            };
            assert_eq!(actual, sorted(logits, k), "{what}, {vocab_size} tokens, k = {k}");
        }
    }
}

#[test]
fn the_best_come_back_in_order() {
    // One candidate, less than k, one workgroup, a few, and enough for three stages.
    for vocab_size in [1, 5, 64, 2048, 2049, 5000, 128_256] {
        let count = vocab_size as u64;
        let coarse = random_values(count, vocab_size).iter().map(|x| (x * 6.0).round()).collect();
        let rising = (0..vocab_size).map(|i| i as f32).collect();
        let falling = (0..vocab_size).map(|i| -(i as f32)).collect();
        check(
            vocab_size,
            &[
                ("random", random_values(count, vocab_size)),
                ("many ties", coarse),
                ("all equal", vec![-2.5; vocab_size]),
                ("rising", rising),
                ("falling", falling),
                ("minus infinity", vec![f32::NEG_INFINITY; vocab_size]),
            ],
        );
    }
}

#[test]
fn extremes_are_ordered_and_nan_comes_last() {
    let logits = [f32::MIN, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 0.0, 1e-40, -1e-40];
    check(logits.len(), &[("extremes", logits.to_vec())]);
    let architecture = Architecture { vocab_size: 3, ..ragged() };
    let model = TestModel::write(&architecture, &mut Made(architecture.clone(), |_, _, _| 1.0));
    let mut device = model.device();
    for nan in [f32::NAN, -f32::NAN] {
        device.begin(batch(&[0], 0, &precisions(&architecture, Precision::E5M3))).expect("a pass");
        device.write_slot(Slot::Logits, &[nan, 1.0, f32::MIN]);
        let Output::TopK(best) = device.finish(Readback::TopK(3)).expect("candidates") else {
            panic!("candidates were asked for");
        };
        assert_eq!(best.iter().map(|candidate| candidate.token).collect::<Vec<_>>(), [1, 2, 0]);
        assert!(best[2].logit.is_nan());
    }
}
