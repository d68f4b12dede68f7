// `attended = softmax(query * K^T * scale) * V` over the KV cache of a layer, causal, with grouped
// queries: head `h` reads the keys and values of head `h / group_size`.
//
// One workgroup per head and token walks the positions up to its own in tiles of 64, with the
// online softmax: the weights are exp(score - maximum so far), and when the maximum rises, what was
// summed before shrinks by exp(old - new). A tile takes two steps:
//
//   1. invocation `i` scores position `i` of the tile;
//   2. invocations become (slice, word): each gathers its word (8 values) of V over the positions
//      `slice, slice + slices, ...` of the tile. Each slice keeps a maximum and sums of its own,
//      so the slices do not wait for each other.
//
// At the end the slices are brought to one maximum and added.
//
//     query, attended [tokens, stride] of f32; caches as in shared/kv_cache.wgsl
//     dispatch (heads, tokens); head_dim even, at most 256

#include "shared/kv_cache.wgsl"

struct Params {
    // Position of token 0.
    position: u32,
    // Query heads that share a KV head.
    group_size: u32,
    kv_heads: u32,
    head_dim: u32,
    // Values of a row of `query` and `attended`, with padding.
    stride: u32,
    // 1 / sqrt(head_dim)
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;
@group(0) @binding(2) var<storage, read> key_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> value_cache: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> attended: array<f32>;

const GROUP: u32 = 64u;
// Below every score, and finite: shaders may assume that there are no infinities.
const LOWEST: f32 = -3.0e38;

// The scaled query, zero beyond its end: two vectors per word of the cache.
var<workgroup> scaled_query: array<vec4<f32>, 64>;
// Scores of the tile.
var<workgroup> scores: array<f32, 64>;
// What each invocation has at the end.
var<workgroup> maxima: array<f32, 64>;
var<workgroup> totals: array<f32, 64>;
var<workgroup> lows: array<vec4<f32>, 64>;
var<workgroup> highs: array<vec4<f32>, 64>;

fn query_value(start: u32, dim: u32) -> f32 {
    if (dim >= params.head_dim) {
        return 0.0;
    }
    return query[start + dim] * params.scale;
}

fn write(start: u32, dim: u32, value: f32) {
    if (dim < params.head_dim) {
        attended[start + dim] = value;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let words = head_words(params.head_dim);
    let start = group.y * params.stride + group.x * params.head_dim;
    let dim = local * 4u;
    scaled_query[local] = vec4<f32>(
        query_value(start, dim),
        query_value(start, dim + 1u),
        query_value(start, dim + 2u),
        query_value(start, dim + 3u),
    );
    workgroupBarrier();

    let kv_head = group.x / params.group_size;
    let positions = params.position + group.y + 1u;
    let slices = GROUP / words;
    let slice = local / words;
    let word = local % words;
    var maximum = LOWEST;
    var total = 0.0;
    var low = vec4<f32>(0.0);
    var high = vec4<f32>(0.0);

    for (var first = 0u; first < positions; first += GROUP) {
        let position = first + local;
        if (position < positions) {
            let at = (position * params.kv_heads + kv_head) * words;
            var score = 0.0;
            for (var i = 0u; i < words; i++) {
                let keys = key_cache[at + i];
                score += dot(scaled_query[2u * i], word_low(keys));
                score += dot(scaled_query[2u * i + 1u], word_high(keys));
            }
            scores[local] = score;
        }
        workgroupBarrier();
        let count = min(GROUP, positions - first);
        // Invocations left over by the division into slices have no word to gather.
        if (slice < slices && slice < count) {
            var risen = maximum;
            for (var i = slice; i < count; i += slices) {
                risen = max(risen, scores[i]);
            }
            let shrink = exp(maximum - risen);
            maximum = risen;
            total *= shrink;
            low *= shrink;
            high *= shrink;
            for (var i = slice; i < count; i += slices) {
                let weight = exp(scores[i] - maximum);
                let values = value_cache[((first + i) * params.kv_heads + kv_head) * words + word];
                total += weight;
                low += weight * word_low(values);
                high += weight * word_high(values);
            }
        }
        workgroupBarrier();
    }

    maxima[local] = maximum;
    totals[local] = total;
    lows[local] = low;
    highs[local] = high;
    workgroupBarrier();
    if (slice != 0u) {
        return;
    }
    // Slice 0 always saw position 0; a slice that saw nothing has sums of zero.
    for (var other = 1u; other < slices; other++) {
        maximum = max(maximum, maxima[other * words + word]);
    }
    total = 0.0;
    low = vec4<f32>(0.0);
    high = vec4<f32>(0.0);
    for (var other = 0u; other < slices; other++) {
        let at = other * words + word;
        let shrink = exp(maxima[at] - maximum);
        total += shrink * totals[at];
        low += shrink * lows[at];
        high += shrink * highs[at];
    }
    for (var i = 0u; i < 4u; i++) {
        write(start, word * VALUES_OF_WORD + i, low[i] / total);
        write(start, word * VALUES_OF_WORD + 4u + i, high[i] / total);
    }
}
