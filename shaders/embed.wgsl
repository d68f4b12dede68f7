// Gathers rows of the packed embedding: `hidden[t] = embedding[tokens[t]]`.
//
// An invocation decodes one block of four columns of one token. It decodes the block for the four
// rows of the quad that its token is in and keeps one: a little waste for having one decode. The
// embedding comes in chunks of rows, one dispatch each; tokens of other chunks are left alone.
//
//     tokens [tokens], hidden [tokens, stride] of vec4<f32>; dispatch (blocks of a row / 64, tokens)

#include "shared/tiles.wgsl"

struct Params {
    chunk: Chunk,
    // Values of a row of `hidden`, without padding.
    width: u32,
    // Vectors of a row of `hidden`, with padding.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read> tokens: array<u32>;
@group(0) @binding(8) var<storage, read_write> hidden: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let chunk = params.chunk;
    let token = tokens[id.y];
    let outside = token < chunk.first_row || token >= chunk.first_row + chunk.rows;
    if (id.x * 4u >= params.width || outside) {
        return;
    }
    let row = token - chunk.first_row;
    let tile = (row / 16u) * chunk.tile_cols + id.x / 16u;
    let half = (id.x / 8u) & 1u;
    let block = id.x & 7u;
    let quad = (row / 4u) & 3u;

    let low = load_low_halves(chunk.mantissa_bits, tile, half, quad);
    let scales = load_scales(chunk, tile, quad);
    let weights = transpose(load_weights(chunk, tile, half, block, quad, low, scales));

    // Columns beyond the width are padding: they stay zero. So does a group of zeros, where the
    // product with a scale of zero may be -0.0, which is another number bit for bit.
    let columns = vec4<u32>(id.x * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let some = (columns < vec4<u32>(params.width)) & vec4<bool>(scales[row & 3u] != 0.0);
    hidden[id.y * params.stride + id.x] = select(vec4<f32>(0.0), weights[row & 3u], some);
}
