use std::num::NonZeroUsize;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::cpu::{attention::attention, kv_cache::KvKind, kv_format::KvFormat};

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).expect("a thread")).expect("a pool")
}

/// Queries, keys and values of a text.
struct Text {
    heads: Heads,
    query: Activations,
    key: Activations,
    value: Activations,
}

impl Text {
    fn random(heads: Heads, tokens: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let mut activations = |heads_of: usize| {
            let mut activations = Activations::new(heads_of * heads.dim);
            activations.grow(tokens);
            activations.rows_mut(tokens).flatten().for_each(|x| *x = rng.random_range(-2.0..2.0));
            activations
        };
        Self {
            heads,
            query: activations(heads.query),
            key: activations(heads.kv),
            value: activations(heads.kv),
        }
    }

    /// The tokens of a range as a batch of their own.
    fn batch(source: &Activations, range: Range<usize>) -> Activations {
        let mut batch = Activations::new(source.width);
        batch.grow(range.len());
        batch.rows_mut(range.len()).zip(range).for_each(|(row, t)| row.copy_from_slice(source.row(t)));
        batch
    }

    /// Attention for every token, in batches of these sizes.
    fn attend(&self, format: KvFormat, batches: &[usize], mut attention: impl FnMut(Batch<'_>)) -> Vec<f32> {
        let rows = |kind| KvRows::new(kind, self.heads.kv, self.heads.dim, format);
        let (mut keys, mut values) = (rows(KvKind::Keys), rows(KvKind::Values));
        let (mut position, mut all) = (0, Vec::new());
        for &size in batches {
            let range = position..position + size;
            keys.grow(range.end);
            values.grow(range.end);
            keys.store(&Self::batch(&self.key, range.clone()), position, size);
            values.store(&Self::batch(&self.value, range.clone()), position, size);
            let query = Self::batch(&self.query, range);
            let mut output = Activations::new(query.width);
            output.grow(size);
            let cache = (&keys, &values);
            attention(Batch { query: &query, cache, position, rows: size, output: &mut output });
            all.extend((0..size).flat_map(|row| output.row(row).to_vec()));
            position += size;
        }
        all
    }

    fn blocked(&self, format: KvFormat, batches: &[usize], threads: usize) -> Vec<f32> {
        let pool = pool(threads);
        self.attend(format, batches, |b| {
            blocked_attention(&pool, self.heads, b.query, b.cache, b.position, b.rows, b.output);
        })
    }

    fn twin(&self, format: KvFormat, batches: &[usize]) -> Vec<f32> {
        let pool = pool(2);
        self.attend(format, batches, |b| {
            attention(&pool, self.heads, b.query, b.cache, b.position, b.rows, b.output);
        })
    }
}

struct Batch<'a> {
    query: &'a Activations,
    cache: (&'a KvRows, &'a KvRows),
    position: usize,
    rows: usize,
    output: &'a mut Activations,
}

fn heads(query: usize, kv: usize, dim: usize) -> Heads {
    Heads { query, kv, dim }
}

/// The largest difference, relative to the largest value.
fn distance(values: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(values.len(), reference.len());
    let largest = reference.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    values.iter().zip(reference).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

#[test]
fn it_computes_what_the_twin_computes() {
    let shapes = [
        heads(4, 2, 10),
        heads(8, 8, 64),
        heads(12, 3, 64),
        heads(6, 2, 128),
        heads(7, 1, 6),
        heads(3, 1, 80),
    ];
    for shape in shapes {
        for (tokens, format) in
            [(1, KvFormat::F16), (63, KvFormat::F32), (130, KvFormat::Int8), (700, KvFormat::F16)]
        {
            let text = Text::random(shape, tokens);
            let error = distance(&text.blocked(format, &[tokens], 3), &text.twin(format, &[tokens]));
            assert!(error < 2e-6, "{shape:?}, {tokens} tokens in {format:?}: {error:e}");
        }
    }
}

#[test]
fn neither_threads_nor_batches_change_a_bit() {
    let tokens = SPAN_POSITIONS * 2 + 70;
    for shape in [heads(4, 1, 32), heads(6, 3, 16)] {
        let text = Text::random(shape, tokens);
        for format in [KvFormat::F16, KvFormat::Int8] {
            let expected = text.blocked(format, &[tokens], 1);
            let mut odd = vec![1, 2, 3, 5, 8, 13, 21, 64, 100, 500, 200, 1, 1, 1];
            odd.push(tokens - odd.iter().sum::<usize>());
            for (batches, threads) in [(odd.clone(), 2), (odd, 5), (vec![1; tokens], 1), (vec![1; tokens], 3)]
            {
                let same = text.blocked(format, &batches, threads) == expected;
                assert!(same, "{shape:?}, {threads} threads");
            }
        }
    }
}

/// Tokens that were rolled back stay in the block; whatever they are, they are not seen.
#[test]
fn what_lies_behind_the_position_does_not_matter() {
    let shape = heads(4, 2, 16);
    let mut text = Text::random(shape, 10);
    let expected = text.blocked(KvFormat::F16, &[4], 1);
    for source in [&mut text.key, &mut text.value] {
        source.rows_mut(10).skip(4).flatten().for_each(|x| *x = f32::INFINITY);
    }
    let pool = pool(2);
    let mut rolled_back = Vec::new();
    text.attend(KvFormat::F16, &[10], |b| {
        let mut output = Activations::new(b.query.width);
        output.grow(4);
        blocked_attention(&pool, shape, b.query, b.cache, 0, 4, &mut output);
        rolled_back.extend((0..4).flat_map(|row| output.row(row).to_vec()));
    });
    assert_eq!(rolled_back, expected);
}

#[test]
fn not_a_number_is_passed_on() {
    let mut text = Text::random(heads(2, 1, 16), 70);
    text.key.rows_mut(70).nth(65).expect("a row")[3] = f32::NAN;
    let values = text.blocked(KvFormat::F16, &[70], 2);
    assert!(values[..65 * 32].iter().all(|value| value.is_finite()));
    assert!(values[65 * 32..].iter().all(|value| value.is_nan()));
}

#[test]
fn eight_bits_are_close_to_sixteen() {
    let text = Text::random(heads(8, 2, 64), 600);
    let exact = text.twin(KvFormat::F32, &[600]);
    let norm = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    for (format, bound) in [(KvFormat::F16, 1e-3), (KvFormat::Int8, 2e-2)] {
        let values = text.blocked(format, &[600], 2);
        let difference: Vec<f32> = values.iter().zip(&exact).map(|(a, b)| a - b).collect();
        let error = norm(&difference) / norm(&exact);
        assert!(error < bound, "{format:?}: {error:e}");
    }
}

/// `cargo test -p otaro --lib --release blocked_attention -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn time_against_the_twin() {
    use std::time::Instant;
    let shape = heads(32, 8, 64);
    for (context, rows) in [(64, 1), (512, 1), (2048, 1), (8192, 1), (512, 64), (2048, 64)] {
        for format in [KvFormat::F16, KvFormat::Int8] {
            let text = Text::random(shape, context);
            let pool = pool(2);
            let mut times = [f64::INFINITY; 2];
            text.attend(format, &[context - rows, rows], |b| {
                if b.rows != rows {
                    return;
                }
                for _ in 0..5 {
                    for (time, attention) in times.iter_mut().zip([attention, blocked_attention]) {
                        let start = Instant::now();
                        attention(&pool, shape, b.query, b.cache, b.position, b.rows, b.output);
                        *time = time.min(start.elapsed().as_secs_f64());
                    }
                }
            });
            println!(
                "{context} positions, {rows} rows, {format:?}: twin {:.0} us, blocked {:.0} us",
                times[0] * 1e6,
                times[1] * 1e6
            );
        }
    }
}
