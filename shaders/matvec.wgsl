// `output[t] = weight * input[t]` for one or a few tokens, where reading the weights is the work.
//
// An invocation holds the sums of four rows (a quad) and walks the tiles of its row of tiles, four
// columns at a time: one vector of the base plane brings 8 columns of 4 rows, one vector of the
// input 4 columns. Nothing is summed across rows.
//
// `split` invocations share a quad, every `split`-th tile each, and are summed at the end: a GPU
// needs more invocations than a matrix has quads. On a software device 1 is faster.
//
//     input [tokens, input_stride] of vec4<f32>, output [tokens, output_stride] of f32
//     dispatch (quads * split / 64, tokens)

#include "shared/tiles.wgsl"

struct Params {
    chunk: Chunk,
    // Row of `input` that belongs to row 0 of `output`.
    input_row: u32,
    // Vectors of a row of `input`.
    input_stride: u32,
    // Values of a row of `output`.
    output_stride: u32,
    tokens: u32,
}

override split: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> output: array<f32>;

var<workgroup> partial: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let chunk = params.chunk;
    let quads_of_group = 64u / split;
    let slice = local / quads_of_group;
    let quad_of_chunk = group.x * quads_of_group + local % quads_of_group;
    // Quads past the end repeat the last row of tiles and write nothing.
    let tile_row = min(quad_of_chunk / 4u, (chunk.rows - 1u) / 16u);
    let quad = quad_of_chunk & 3u;
    let input_start = (params.input_row + group.y) * params.input_stride;

    var sums = vec4<f32>(0.0);
    for (var tile_col = slice; tile_col < chunk.tile_cols; tile_col += split) {
        let tile = tile_row * chunk.tile_cols + tile_col;
        let steps = load_steps(chunk, tile, quad);
        for (var half = 0u; half < 2u; half++) {
            let planes = load_bit_planes(tile, half, quad, chunk.mantissa_bits);
            let x = input_start + tile_col * 16u + half * 8u;
            for (var pair = 0u; pair < 4u; pair++) {
                let base = load_base(tile, half, pair, quad);
                let block = 2u * pair;
                sums += block_weights(chunk, base, planes, block, steps) * input[x + block];
                sums += block_weights(chunk, base, planes, block + 1u, steps) * input[x + block + 1u];
            }
        }
    }
    if (split > 1u) {
        partial[local] = sums;
        workgroupBarrier();
        if (slice == 0u) {
            for (var other = 1u; other < split; other++) {
                sums += partial[other * quads_of_group + local];
            }
        }
    }
    if (slice != 0u) {
        return;
    }
    let row = quad_of_chunk * 4u;
    let out = group.y * params.output_stride + chunk.first_row + row;
    for (var i = 0u; i < 4u; i++) {
        if (row + i < chunk.rows) {
            output[out + i] = sums[i];
        }
    }
}
