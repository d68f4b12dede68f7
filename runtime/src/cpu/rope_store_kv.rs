//! Rotation and the write to the KV cache as one operation, each head by itself.

use std::sync::{Mutex, PoisonError};

use super::{attention::Heads, kv_cache::KvRows, pool::Pool, rope::rotate, slots::Activations};

/// What [`rope`](super::rope::rope) does to queries and keys, then what [`KvRows::store`] does with
/// keys and values: a task for every key and value head and the query heads that share it.
///
/// `table` holds `[cos, sin]` per row and pair, `[rows, head_dim / 2]`; `position` is that of the first row.
pub(crate) fn rope_store_kv(
    pool: &Pool,
    heads: Heads,
    table: &[[f32; 2]],
    (query, key, value): (&mut Activations, &mut Activations, &Activations),
    (keys, values): (&mut KvRows, &mut KvRows),
    position: usize,
) {
    let rows = table.len() / (heads.dim / 2);
    let (query, key) = (query.columns_mut(rows), key.columns_mut(rows));
    let group = heads.query / heads.kv;
    let cache: Vec<_> = keys.heads_mut().iter_mut().zip(values.heads_mut()).map(Mutex::new).collect();
    let task = |kv_head: usize| {
        // No two tasks share a head: the lock is there for the compiler.
        let (keys, values) = &mut *cache[kv_head].lock().unwrap_or_else(PoisonError::into_inner);
        let columns = |head: usize| head * heads.dim..(head + 1) * heads.dim;
        for (row, table) in table.chunks(heads.dim / 2).enumerate() {
            for head in kv_head * group..(kv_head + 1) * group {
                // SAFETY: no other task has this query head.
                rotate(unsafe { query.get(row, columns(head)) }, table);
            }
            // SAFETY: no other task has this head of the keys.
            let key = unsafe { key.get(row, columns(kv_head)) };
            rotate(key, table);
            keys.store(position + row, key);
            values.store(position + row, &value.row(row)[columns(kv_head)]);
        }
    };
    match rows {
        1 => (0..heads.kv).for_each(task),
        _ => pool.run(heads.kv, task),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::cpu::{KvFormat, kv_cache::KvKind, rope::rope};

    const HEADS: Heads = Heads { query: 6, kv: 3, dim: 66 };

    fn activations(heads: usize, rows: usize, seed: usize) -> Activations {
        let mut activations = Activations::new(heads * HEADS.dim);
        activations.grow(rows);
        for (i, value) in activations.rows_mut(rows).flatten().enumerate() {
            *value = ((i * 37 + seed) % 1009) as f32 / 100.0 - 5.0;
        }
        activations
    }

    #[test]
    fn together_they_do_what_each_does_by_itself() {
        let pool = Pool::new(NonZeroUsize::MIN.saturating_add(1)).expect("a pool");
        let position = 62; // the second row begins a block
        for format in KvFormat::ALL {
            for rows in [1, 5] {
                let angle = |i: usize| (i as f32 * 0.1).sin_cos();
                let table: Vec<_> = (0..rows * HEADS.dim / 2).map(|i| [angle(i).1, angle(i).0]).collect();
                let new = |kind| {
                    let mut cache = KvRows::new(kind, HEADS.kv, HEADS.dim, format);
                    cache.grow(position + rows);
                    cache
                };
                let [mut query, mut key, value] = [(HEADS.query, 1), (HEADS.kv, 2), (HEADS.kv, 3)]
                    .map(|(n, seed)| activations(n, rows, seed));
                let (mut keys, mut values) = (new(KvKind::Keys), new(KvKind::Values));
                let (mut twin_query, mut twin_key) = (query.clone(), key.clone());
                rope(&table, HEADS.dim, rows, &mut twin_query);
                rope(&table, HEADS.dim, rows, &mut twin_key);
                let (mut twin_keys, mut twin_values) = (new(KvKind::Keys), new(KvKind::Values));
                twin_keys.store(&twin_key, position, rows);
                twin_values.store(&value, position, rows);

                let slots = (&mut query, &mut key, &value);
                rope_store_kv(&pool, HEADS, &table, slots, (&mut keys, &mut values), position);

                assert_eq!(query.values, twin_query.values);
                for (cache, twin) in [(&keys, &twin_keys), (&values, &twin_values)] {
                    for (head, at) in (0..HEADS.kv).flat_map(|head| (0..rows).map(move |row| (head, row))) {
                        let (mut got, mut wanted) = (vec![0.0; HEADS.dim], vec![1.0; HEADS.dim]);
                        cache.head(head).load(position + at, &mut got);
                        twin.head(head).load(position + at, &mut wanted);
                        assert_eq!(got, wanted, "{format}, head {head}, row {at} of {rows}");
                    }
                }
            }
        }
    }
}
