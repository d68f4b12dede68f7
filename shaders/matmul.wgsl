// `output[t] = weight * input[t]` for many tokens, where decoding and multiplying are the work.
//
// An invocation holds the sums of eight rows (two quads) for eight tokens: every decoded weight and
// every value of the input is used eight times. The 64 invocations of a workgroup take neighbouring
// rows and the same tokens. Tokens past the end repeat the last one and write nothing.
//
//     input [tokens, input_stride] of vec4<f32>, output [tokens, output_stride] of f32
//     dispatch (quads / 2 / 64, tokens / 8)

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

// Writes the sums of eight rows for one token.
fn write(token: u32, row: u32, low: vec4<f32>, high: vec4<f32>) {
    if (token >= params.tokens) {
        return;
    }
    let out = token * params.output_stride + params.chunk.first_row + row;
    for (var i = 0u; i < 4u; i++) {
        if (row + i < params.chunk.rows) {
            output[out + i] = low[i];
        }
        if (row + i + 4u < params.chunk.rows) {
            output[out + i + 4u] = high[i];
        }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let chunk = params.chunk;
    let row = id.x * 8u;
    if (row >= chunk.rows) {
        return;
    }
    let quad = 2u * (id.x & 1u);
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
    var low0 = vec4<f32>(0.0);
    var high0 = vec4<f32>(0.0);
    var low1 = vec4<f32>(0.0);
    var high1 = vec4<f32>(0.0);
    var low2 = vec4<f32>(0.0);
    var high2 = vec4<f32>(0.0);
    var low3 = vec4<f32>(0.0);
    var high3 = vec4<f32>(0.0);
    var low4 = vec4<f32>(0.0);
    var high4 = vec4<f32>(0.0);
    var low5 = vec4<f32>(0.0);
    var high5 = vec4<f32>(0.0);
    var low6 = vec4<f32>(0.0);
    var high6 = vec4<f32>(0.0);
    var low7 = vec4<f32>(0.0);
    var high7 = vec4<f32>(0.0);

    for (var tile_col = 0u; tile_col < chunk.tile_cols; tile_col++) {
        let tile = (row / 16u) * chunk.tile_cols + tile_col;
        let low_scales = load_scales(chunk, tile, quad);
        let high_scales = load_scales(chunk, tile, quad + 1u);
        for (var half = 0u; half < 2u; half++) {
            let low_bits = load_low_halves(chunk.mantissa_bits, tile, half, quad);
            let high_bits = load_low_halves(chunk.mantissa_bits, tile, half, quad + 1u);
            for (var block = 0u; block < 8u; block++) {
                let low_weights = load_weights(chunk, tile, half, block, quad, low_bits, low_scales);
                let high_weights = load_weights(chunk, tile, half, block, quad + 1u, high_bits, high_scales);
                let x = tile_col * 16u + half * 8u + block;
                let x0 = input[start0 + x];
                low0 += low_weights * x0;
                high0 += high_weights * x0;
                let x1 = input[start1 + x];
                low1 += low_weights * x1;
                high1 += high_weights * x1;
                let x2 = input[start2 + x];
                low2 += low_weights * x2;
                high2 += high_weights * x2;
                let x3 = input[start3 + x];
                low3 += low_weights * x3;
                high3 += high_weights * x3;
                let x4 = input[start4 + x];
                low4 += low_weights * x4;
                high4 += high_weights * x4;
                let x5 = input[start5 + x];
                low5 += low_weights * x5;
                high5 += high_weights * x5;
                let x6 = input[start6 + x];
                low6 += low_weights * x6;
                high6 += high_weights * x6;
                let x7 = input[start7 + x];
                low7 += low_weights * x7;
                high7 += high_weights * x7;
            }
        }
    }
    write(token, row, low0, high0);
    write(token + 1u, row, low1, high1);
    write(token + 2u, row, low2, high2);
    write(token + 3u, row, low3, high3);
    write(token + 4u, row, low4, high4);
    write(token + 5u, row, low5, high5);
    write(token + 6u, row, low6, high6);
    write(token + 7u, row, low7, high7);
}
