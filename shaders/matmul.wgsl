// `output[t] = weight * input[t]` for many tokens, where decoding and multiplying are the work.
//
// An invocation holds the sums of four rows (a quad) for eight tokens: every decoded weight is used
// eight times and every vector of the input four times. The 64 invocations of a workgroup take
// neighbouring quads and the same tokens. Tokens past the end repeat the last one and write nothing.
//
//     input [tokens, input_stride] of vec4<f32>, output [tokens, output_stride] of f32
//     dispatch (quads / 64, tokens / 8)

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

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> output: array<f32>;

// Where the input row of a token starts.
fn input_start(token: u32) -> u32 {
    return (params.input_row + min(token, params.tokens - 1u)) * params.input_stride;
}

// Writes the sums of four rows for one token.
fn write(token: u32, row: u32, sums: vec4<f32>) {
    if (token >= params.tokens) {
        return;
    }
    let out = token * params.output_stride + params.chunk.first_row + row;
    for (var i = 0u; i < 4u; i++) {
        if (row + i < params.chunk.rows) {
            output[out + i] = sums[i];
        }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let chunk = params.chunk;
    let row = id.x * 4u;
    if (row >= chunk.rows) {
        return;
    }
    let quad = id.x & 3u;
    let token = id.y * 8u;
    // Eight tokens by name: arrays indexed in a loop end up in memory with some compilers.
    let start0 = input_start(token);
    let start1 = input_start(token + 1u);
    let start2 = input_start(token + 2u);
    let start3 = input_start(token + 3u);
    let start4 = input_start(token + 4u);
    let start5 = input_start(token + 5u);
    let start6 = input_start(token + 6u);
    let start7 = input_start(token + 7u);
    var sums0 = vec4<f32>(0.0);
    var sums1 = vec4<f32>(0.0);
    var sums2 = vec4<f32>(0.0);
    var sums3 = vec4<f32>(0.0);
    var sums4 = vec4<f32>(0.0);
    var sums5 = vec4<f32>(0.0);
    var sums6 = vec4<f32>(0.0);
    var sums7 = vec4<f32>(0.0);

    for (var tile_col = 0u; tile_col < chunk.tile_cols; tile_col++) {
        let tile = (row / 16u) * chunk.tile_cols + tile_col;
        let steps = load_steps(chunk, tile, quad);
        for (var half = 0u; half < 2u; half++) {
            let planes = load_bit_planes(tile, half, quad, chunk.mantissa_bits);
            for (var block = 0u; block < 8u; block++) {
                let base = load_base(tile, half, block / 2u, quad);
                let weights = block_weights(chunk, base, planes, block, steps);
                let x = tile_col * 16u + half * 8u + block;
                sums0 += weights * input[start0 + x];
                sums1 += weights * input[start1 + x];
                sums2 += weights * input[start2 + x];
                sums3 += weights * input[start3 + x];
                sums4 += weights * input[start4 + x];
                sums5 += weights * input[start5 + x];
                sums6 += weights * input[start6 + x];
                sums7 += weights * input[start7 + x];
            }
        }
    }
    write(token, row, sums0);
    write(token + 1u, row, sums1);
    write(token + 2u, row, sums2);
    write(token + 3u, row, sums3);
    write(token + 4u, row, sums4);
    write(token + 5u, row, sums5);
    write(token + 6u, row, sums6);
    write(token + 7u, row, sums7);
}
