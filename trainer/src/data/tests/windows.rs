use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::data::{Dataset, Example, Window};

const PAD: u32 = u32::MAX;

/// Examples of these lengths; all tokens differ, and those that count are told by `scored`.
fn examples(lengths: &[usize], scored: impl Fn(u32) -> bool) -> Vec<Example> {
    let mut ids = 0..;
    let example = |length: &usize| {
        let tokens: Vec<u32> = ids.by_ref().take(*length).collect();
        let mut flags: Vec<bool> = tokens.iter().map(|id| scored(*id)).collect();
        if let Some(first) = flags.first_mut() {
            *first = false;
        }
        Example { tokens, scored: flags }
    };
    lengths.iter().map(example).collect()
}

/// The tokens that count, each with the token before it, over all windows.
fn counted<'a>(windows: impl IntoIterator<Item = &'a Window>) -> Vec<(u32, u32)> {
    let pairs = |window: &Window| {
        let pairs = window.tokens.windows(2).zip(window.scored.clone()).filter(|(_, scored)| *scored);
        pairs.map(|(pair, _)| (pair[0], pair[1])).collect::<Vec<_>>()
    };
    let mut counted: Vec<_> = windows.into_iter().flat_map(pairs).collect();
    counted.sort_unstable();
    counted
}

fn counted_in_examples(examples: &[Example]) -> Vec<(u32, u32)> {
    let mut counted = Vec::new();
    for example in examples {
        let pairs = example.tokens.windows(2).zip(example.scored.iter().skip(1));
        counted.extend(pairs.filter(|(_, scored)| **scored).map(|(pair, _)| (pair[0], pair[1])));
    }
    counted.sort_unstable();
    counted
}

fn check_shape(dataset: &Dataset, length: usize) {
    for window in dataset {
        assert_eq!((window.tokens.len(), window.scored.len()), (length + 1, length));
    }
}

#[test]
fn a_stream_has_no_padding_and_loses_nothing() {
    let examples = examples(&[4, 3, 5], |_| true);
    let stream = Dataset::in_order(&examples, 5, usize::MAX).unwrap();
    let tokens: Vec<_> = stream.iter().map(|window| window.tokens.clone()).collect();
    assert_eq!(tokens, [vec![0, 1, 2, 3, 4, 5], vec![5, 6, 7, 8, 9, 10], vec![6, 7, 8, 9, 10, 11]]);
    let last = &stream.iter().last().unwrap().scored;
    assert_eq!(last, &[false, false, false, false, true]);
    assert_eq!((stream.windows(), stream.tokens_per_epoch(), stream.length()), (3, 12, 5));
    assert_eq!(stream.scored_fraction(), 9.0 / 15.0);
    let limited = Dataset::in_order(&examples, 5, 2).unwrap();
    assert_eq!(limited.iter().collect::<Vec<_>>(), stream.iter().take(2).collect::<Vec<_>>());
    assert_eq!(limited.tokens_per_epoch(), 11);
}

#[test]
fn packing_fills_windows_with_whole_examples() {
    let examples = examples(&[3, 3, 3, 2, 2], |_| true);
    let packed = Dataset::packed(&examples, 5, PAD, 7).unwrap();
    assert_eq!((packed.windows(), packed.tokens_per_epoch()), (3, 13));
    let padding = packed.iter().flat_map(|window| &window.tokens).filter(|token| **token == PAD).count();
    assert_eq!(padding, 18 - 13);
}

#[test]
fn nothing_to_learn_is_an_error() {
    let silent = examples(&[10, 10], |_| false);
    let short = examples(&[3, 2], |_| true);
    let cases = [
        (Dataset::packed(&silent, 4, PAD, 0), "no token"),
        (Dataset::packed(&[], 4, PAD, 0), "no token"),
        (Dataset::stream(&silent, 4, 0), "no token"),
        (Dataset::stream(&short, 5, 0), "5 tokens, too few for one window of 5"),
        (Dataset::stream(&[], 5, 0), "0 tokens"),
        (Dataset::stream(&short, 0, 0), "at least one"),
        (Dataset::packed(&short, 0, PAD, 0), "at least one"),
        (Dataset::in_order(&short, 2, 0), "there must be one"),
    ];
    for (dataset, words) in cases {
        let error = dataset.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn fingerprints_tell_data_apart() {
    let all = examples(&[9, 9, 9], |_| true);
    let some = examples(&[9, 9, 9], |id| id % 2 == 0);
    let prints: BTreeSet<String> = [
        Dataset::packed(&all, 12, PAD, 0),
        Dataset::packed(&some, 12, PAD, 0),
        Dataset::packed(&all, 11, PAD, 0),
        Dataset::stream(&all, 12, 0),
        Dataset::stream(&all[1..], 12, 0),
    ]
    .map(|dataset| dataset.unwrap().fingerprint().to_owned())
    .into();
    assert_eq!(prints.len(), 5);
    let again = Dataset::packed(&all, 12, PAD, 0).unwrap();
    assert!(prints.contains(again.fingerprint()));
    assert_eq!(again.fingerprint().len(), 64);
}

#[test]
fn every_epoch_has_every_window_once_in_an_order_of_its_own() {
    let dataset = Dataset::in_order(&examples(&[71], |_| true), 5, usize::MAX).unwrap();
    let (count, batch) = (dataset.windows(), 4);
    assert_eq!(count, 14);
    let seen: Vec<&Window> = (0..14).flat_map(|step| dataset.batch(step, batch, 3)).collect();
    let epochs: Vec<&[&Window]> = seen.chunks(count).collect();
    assert_eq!(epochs.len(), 4);
    for epoch in &epochs {
        let different: BTreeSet<_> = epoch.iter().map(|window| &window.tokens).collect();
        assert_eq!(different.len(), count);
    }
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(dataset.batch(0, count, 3), dataset.batch(0, count, 4));
}

#[test]
fn a_batch_depends_on_its_step_alone() {
    let dataset = Dataset::in_order(&examples(&[71], |_| true), 5, usize::MAX).unwrap();
    let forwards: Vec<_> = (0..40).map(|step| dataset.batch(step, 6, 9)).collect();
    let fresh = Dataset::in_order(&examples(&[71], |_| true), 5, usize::MAX).unwrap();
    for step in (0..40).rev() {
        assert_eq!(fresh.batch(step as u64, 6, 9), forwards[step]);
    }
    // Larger than the data, and far beyond anything that will be trained.
    assert_eq!(dataset.batch(0, 100, 9).len(), 100);
    assert_eq!(dataset.batch(u64::MAX, 3, 9), fresh.batch(u64::MAX, 3, 9));
    assert!(dataset.batch(5, 0, 9).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn packing_counts_every_token_once_after_its_own_context(
        lengths in prop::collection::vec(0_usize..40, 1..200),
        length in 1_usize..24,
        every in 1_u32..4,
        seed in any::<u64>(),
    ) {
        let examples = examples(&lengths, |id| id % every == 0);
        let expected = counted_in_examples(&examples);
        let Ok(packed) = Dataset::packed(&examples, length, PAD, seed) else {
            prop_assert!(expected.is_empty());
            return Ok(());
        };
        check_shape(&packed, length);
        prop_assert_eq!(counted(&packed), expected);
        let mut owner = BTreeMap::new();
        for (number, example) in examples.iter().enumerate() {
            owner.extend(example.tokens.iter().map(|token| (*token, number)));
        }
        let mut places: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (place, window) in packed.iter().enumerate() {
            let text = window.tokens.iter().take_while(|token| **token != PAD).count();
            prop_assert!(window.tokens[text..].iter().all(|token| *token == PAD));
            for (token, number) in window.tokens[..text].iter().map(|token| (token, owner[token])) {
                places.entry(number).or_default().insert(place);
                prop_assert!(examples[number].tokens.contains(token));
            }
        }
        for (number, places) in places {
            prop_assert!(examples[number].tokens.len() > length + 1 || places.len() == 1);
        }
        let again = Dataset::packed(&examples, length, PAD, seed).unwrap();
        prop_assert_eq!(again.fingerprint(), packed.fingerprint());
    }

    #[test]
    fn a_stream_counts_every_token_once(
        lengths in prop::collection::vec(0_usize..40, 1..40),
        length in 1_usize..24,
        seed in any::<u64>(),
    ) {
        let examples = examples(&lengths, |_| true);
        let expected = counted_in_examples(&examples);
        let Ok(stream) = Dataset::stream(&examples, length, seed) else {
            prop_assert!(expected.is_empty() || lengths.iter().sum::<usize>() <= length);
            return Ok(());
        };
        check_shape(&stream, length);
        prop_assert_eq!(counted(&stream), expected);
        let total = lengths.iter().sum::<usize>() - 1;
        prop_assert_eq!(stream.windows(), total.div_ceil(length));
    }
}
