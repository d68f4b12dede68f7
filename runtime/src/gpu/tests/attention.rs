//! `store_kv` and `attention`, with the cache growing underneath, against sums in f64.

use half::f16;

use super::*;
use crate::gpu::kv_cache::BLOCK_POSITIONS;

/// A cache in f64, of what f16 makes of keys and values.
#[derive(Default)]
struct Cache {
    keys: Vec<f64>,
    values: Vec<f64>,
}

fn halves(values: &[f32]) -> impl Iterator<Item = f64> + '_ {
    values.iter().map(|&value| f16::from_f32(value).to_f64())
}

/// Attention of one batch at `position`, over a cache that holds it already.
fn reference(architecture: &Architecture, cache: &Cache, query: &[f32], position: usize) -> Vec<f32> {
    let a = architecture;
    let (dim, width) = (a.head_dim, a.kv_width());
    let mut out = Vec::new();
    for (t, row) in query.chunks(a.query_width()).enumerate() {
        for (head, query) in row.chunks(dim).enumerate() {
            let first = head / (a.heads / a.kv_heads) * dim;
            let part = |of: &'_ [f64], at: usize| of[at * width + first..][..dim].to_vec();
            let scores: Vec<f64> = (0..=position + t)
                .map(|at| {
                    let dot: f64 =
                        query.iter().zip(part(&cache.keys, at)).map(|(&q, k)| f64::from(q) * k).sum();
                    dot / (dim as f64).sqrt()
                })
                .collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|score| (score - max).exp()).sum();
            let mut sums = vec![0.0; dim];
            for (at, score) in scores.iter().enumerate() {
                for (sum, value) in sums.iter_mut().zip(part(&cache.values, at)) {
                    *sum += (score - max).exp() / total * value;
                }
            }
            out.extend(sums.iter().map(|&sum| sum as f32));
        }
    }
    out
}

#[test]
fn attention_matches_sums_in_f64_while_the_cache_grows() {
    let shapes = [(6, 2, 10), (8, 1, 8), (4, 2, 64), (3, 3, 128), (2, 1, 256), (2, 2, 2), (5, 5, 90)];
    for (heads, kv_heads, head_dim) in shapes {
        let architecture = Architecture { heads, kv_heads, head_dim, layers: 2, ..ragged() };
        let model = TestModel::write(&architecture, &mut Made(architecture.clone(), |_, _, _| 1.0));
        let mut device = model.device();
        let mut caches = [Cache::default(), Cache::default()];
        let mut position = 0;
        // Across the borders of tiles and of blocks of the cache, with odd batches and single tokens.
        for (seed, rows) in [1, 62, 1, 1, 67, 123, 2, 1, 200, 56, 1].into_iter().enumerate() {
            for (layer, cache) in caches.iter_mut().enumerate() {
                let seed = (seed * 6 + layer * 3) as u64;
                // Large enough for some positions to matter much more than others.
                let values = |seed, width| {
                    random_values(seed, rows * width).iter().map(|x| x * 4.0).collect::<Vec<f32>>()
                };
                let query = values(seed, architecture.query_width());
                let key = values(seed + 1, architecture.kv_width());
                let value = values(seed + 2, architecture.kv_width());
                cache.keys.extend(halves(&key));
                cache.values.extend(halves(&value));
                device
                    .begin(batch(&vec![0; rows], position, &precisions(&architecture, Precision::E5M3)))
                    .expect("a pass");
                device.write_slot(Slot::Query, &query);
                device.write_slot(Slot::Key, &key);
                device.write_slot(Slot::Value, &value);
                device.store_kv(layer).expect("store_kv");
                device.attention(layer).expect("attention");
                let actual = read(&mut device, Slot::Attended, rows);
                let expected = reference(&architecture, cache, &query, position);
                let what = format!(
                    "{heads} / {kv_heads} heads of {head_dim}, {rows} rows at {position}, layer {layer}"
                );
                // exp may be off by some ulp, sums are in f32, a conversion to f16 may round another way.
                assert_close(&what, &actual, &expected, 2e-5);
            }
            position += rows;
        }
        assert!(position > 2 * BLOCK_POSITIONS, "the cache grew twice");
    }
}

#[test]
fn positions_can_be_written_again() {
    let architecture = Architecture { layers: 1, ..ragged() };
    let model = TestModel::write(&architecture, &mut Made(architecture.clone(), |_, _, _| 1.0));
    let mut device = model.device();
    let mut attended = |seed: u64, position: usize| {
        device.begin(batch(&[0], position, &precisions(&architecture, Precision::E5M3))).expect("a pass");
        device.write_slot(Slot::Query, &random_values(9, architecture.query_width()));
        device.write_slot(Slot::Key, &random_values(seed, architecture.kv_width()));
        device.write_slot(Slot::Value, &random_values(seed + 1, architecture.kv_width()));
        device.store_kv(0).expect("store_kv");
        device.attention(0).expect("attention");
        read(&mut device, Slot::Attended, 1)
    };
    attended(1, 0);
    let first = attended(3, 1);
    let other = attended(5, 1);
    attended(7, 2);
    assert_ne!(first, other);
    assert_eq!(attended(3, 1), first, "position 2 is not seen from position 1");
}

#[test]
fn values_beyond_f16_are_clamped() {
    let architecture = Architecture { layers: 1, heads: 1, kv_heads: 1, head_dim: 2, ..ragged() };
    let model = TestModel::write(&architecture, &mut Made(architecture.clone(), |_, _, _| 1.0));
    let mut device = model.device();
    device.begin(batch(&[0], 0, &precisions(&architecture, Precision::E5M3))).expect("a pass");
    device.write_slot(Slot::Query, &[0.0, 0.0]);
    device.write_slot(Slot::Key, &[0.0, 0.0]);
    device.write_slot(Slot::Value, &[1e9, -1e9]);
    device.store_kv(0).expect("store_kv");
    device.attention(0).expect("attention");
    assert_eq!(read(&mut device, Slot::Attended, 1), [65504.0, -65504.0]);
}
