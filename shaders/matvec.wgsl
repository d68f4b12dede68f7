// `output[t] = weight * input[t]` for one or a few tokens, where reading the weights is the work.
//
// An invocation holds the sums of four rows (a quad) and walks the tiles of its row of tiles: one
// vector of the base plane brings 8 columns of 4 rows, one vector of the input 4 columns. Nothing is
// summed across rows. What the decode of sefp.wgsl adds to a weight or multiplies it with is done
// once per tile:
//
//     sum of weight * x = S / 2^7 * (sum of byte * x + unit * sum of extra * x + half_unit * sum of x)
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
        let x = input_start + tile_col * 16u;
        // Of the tile: bytes times inputs, extras times inputs, and inputs.
        var products = vec4<f32>(0.0);
        var extras = vec4<f32>(0.0);
        var inputs = vec4<f32>(0.0);
        for (var half = 0u; half < 2u; half++) {
            let low = load_low_halves(chunk.mantissa_bits, tile, half, quad);
            let x0 = input[x + half * 8u];
            let x1 = input[x + half * 8u + 1u];
            let x2 = input[x + half * 8u + 2u];
            let x3 = input[x + half * 8u + 3u];
            let x4 = input[x + half * 8u + 4u];
            let x5 = input[x + half * 8u + 5u];
            let x6 = input[x + half * 8u + 6u];
            let x7 = input[x + half * 8u + 7u];
            let base01 = load_base(tile, half, 0u, quad);
            let base23 = load_base(tile, half, 1u, quad);
            let base45 = load_base(tile, half, 2u, quad);
            let base67 = load_base(tile, half, 3u, quad);
            products += even_early(base01, low.block04) * x0;
            products += odd_early(base01, low.block15) * x1;
            products += even_early(base23, low.block26) * x2;
            products += odd_early(base23, low.block37) * x3;
            products += even_late(base45, low.block04) * x4;
            products += odd_late(base45, low.block15) * x5;
            products += even_late(base67, low.block26) * x6;
            products += odd_late(base67, low.block37) * x7;
            inputs += ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7));
            if (with_extra) {
                let ninth = load_ninth(chunk, tile, half, quad);
                extras += block_extra(chunk, base01, ninth, 0u) * x0;
                extras += block_extra(chunk, base01, ninth, 1u) * x1;
                extras += block_extra(chunk, base23, ninth, 2u) * x2;
                extras += block_extra(chunk, base23, ninth, 3u) * x3;
                extras += block_extra(chunk, base45, ninth, 4u) * x4;
                extras += block_extra(chunk, base45, ninth, 5u) * x5;
                extras += block_extra(chunk, base67, ninth, 6u) * x6;
                extras += block_extra(chunk, base67, ninth, 7u) * x7;
            }
        }
        let sum = (inputs.x + inputs.y) + (inputs.z + inputs.w);
        sums += load_scales(chunk, tile, quad)
            * (products + chunk.unit * extras + vec4<f32>(chunk.half_unit * sum));
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
