// Writes the keys and values of the tokens at hand to the KV cache of a layer, as f16.
//
// An invocation writes one word of eight values to each cache.
//
//     key, value [tokens, stride] of f32; caches as in shared/kv_cache.wgsl
//     dispatch (words of a position / 64, tokens)

#include "shared/kv_cache.wgsl"

struct Params {
    // Position of token 0.
    position: u32,
    kv_heads: u32,
    head_dim: u32,
    // Values of a row of `key` and `value`, with padding.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> key: array<f32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var<storage, read_write> key_cache: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> value_cache: array<vec4<u32>>;

// The largest f16: what is larger has no defined conversion.
const LARGEST: f32 = 65504.0;

fn pack(low: f32, high: f32) -> u32 {
    return pack2x16float(clamp(vec2<f32>(low, high), vec2<f32>(-LARGEST), vec2<f32>(LARGEST)));
}

// Two values of a head, zero beyond its end; `head_dim` is even.
fn key_pair(start: u32, dim: u32) -> u32 {
    if (dim >= params.head_dim) {
        return 0u;
    }
    return pack(key[start + dim], key[start + dim + 1u]);
}

fn value_pair(start: u32, dim: u32) -> u32 {
    if (dim >= params.head_dim) {
        return 0u;
    }
    return pack(value[start + dim], value[start + dim + 1u]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let words = head_words(params.head_dim);
    let head = id.x / words;
    if (head >= params.kv_heads) {
        return;
    }
    let dim = (id.x % words) * VALUES_OF_WORD;
    let start = id.y * params.stride + head * params.head_dim;
    let at = (params.position + id.y) * params.kv_heads * words + id.x;
    key_cache[at] = vec4<u32>(
        key_pair(start, dim),
        key_pair(start, dim + 2u),
        key_pair(start, dim + 4u),
        key_pair(start, dim + 6u),
    );
    value_cache[at] = vec4<u32>(
        value_pair(start, dim),
        value_pair(start, dim + 2u),
        value_pair(start, dim + 4u),
        value_pair(start, dim + 6u),
    );
}
