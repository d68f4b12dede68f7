//! How products are divided among threads.

use std::ops::Range;

use sefp::TileGrid;

use super::driver::PANEL;

/// Nanoseconds that a tile takes, about, and that it takes for each token.
const TILE_TIME: usize = 20;
const TOKEN_TIME: usize = 5;
/// Nanoseconds of a task that is worth handing to another thread.
const LEAST_TIME: usize = 5_000;
/// Tasks of a thread: several, so that a thread that was held up does not hold up the others.
const TASKS_OF_A_THREAD: usize = 8;

/// Divides the rows of tiles of some matrices: tasks of one matrix each, by its number.
///
/// All begin at a whole panel, so that none of it is left empty but at the end of a matrix.
pub(super) fn divide(
    grids: impl Iterator<Item = TileGrid> + Clone,
    tokens: usize,
    threads: usize,
) -> Vec<(usize, Range<usize>)> {
    let tiles: usize = grids.clone().map(TileGrid::tiles).sum();
    let rows: usize = grids.clone().map(TileGrid::tile_rows).sum();
    let time = tiles * (TILE_TIME + TOKEN_TIME * tokens);
    let tasks = (time / LEAST_TIME).clamp(1, threads * TASKS_OF_A_THREAD);
    let chunk = rows.div_ceil(tasks).next_multiple_of(PANEL);
    let of_a_matrix = |(matrix, grid): (usize, TileGrid)| {
        let rows = grid.tile_rows();
        (0..rows).step_by(chunk.max(1)).map(move |first| (matrix, first..rows.min(first + chunk)))
    };
    grids.enumerate().flat_map(of_a_matrix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_tiles_is_in_one_task() {
        let cases = [
            (vec![(2048, 2048), (512, 2048), (512, 2048)], 1, 2),
            (vec![(288, 288)], 1, 8),
            (vec![(5, 1)], 64, 4),
            (vec![(32_000, 4096)], 64, 16),
            (vec![(1000, 64), (1, 64)], 300, 3),
        ];
        for (shapes, tokens, threads) in cases {
            let grids = shapes.iter().map(|&(rows, cols)| TileGrid::new(rows, cols));
            let tasks = divide(grids.clone(), tokens, threads);
            for (matrix, grid) in grids.enumerate() {
                let ranges = tasks.iter().filter(|(of, _)| *of == matrix).map(|(_, range)| range.clone());
                let rows: Vec<_> = ranges.flatten().collect();
                assert!(rows.iter().copied().eq(0..grid.tile_rows()), "{shapes:?} {rows:?}");
            }
            assert!(tasks.len() <= threads * TASKS_OF_A_THREAD + shapes.len(), "{shapes:?}");
        }
    }
}
