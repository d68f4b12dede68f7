// `attended = softmax(query * K^T * scale) * V` over the KV cache of a layer, causal, with grouped
// queries: head `h` reads the keys and values of head `h / group_size`.
//
// Reading the cache is the work, so a workgroup takes four queries that read the same one: the heads
// of a group, then those of the next token, and so on. It walks the positions in tiles of 256 with
// the online softmax: the weights are exp(score - maximum so far), and when the maximum rises, what
// was summed before shrinks by exp(old - new). A tile takes two steps:
//
//   1. invocation `i` scores positions `i`, `i + 64`, ... of the tile for the four queries;
//   2. invocations become (slice, word): each gathers its word (8 values) of V over the positions
//      `slice, slice + slices, ...` of the tile. Each slice keeps a maximum and sums of its own,
//      so the slices do not wait for each other.
//
// At the end the slices are brought to one maximum and added. Vectors of four are the four queries.
//
//     query, attended [tokens, stride] of f32; caches as in shared/kv_cache.wgsl
//     dispatch (kv_heads, tokens * group_size / 4); head_dim even, at most 256

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
    tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;
@group(0) @binding(2) var<storage, read> key_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> value_cache: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> attended: array<f32>;

const GROUP: u32 = 64u;
const TILE: u32 = 256u;
// Below every score, and finite: shaders may assume that there are no infinities.
const LOWEST: f32 = -3.0e38;

// The scaled queries, each 64 vectors, zero beyond its end: two vectors per word of the cache.
var<workgroup> queries: array<vec4<f32>, 256>;
// Scores of the tile.
var<workgroup> scores: array<vec4<f32>, 256>;
// What each invocation has at the end; the sums for one query at a time.
var<workgroup> maxima: array<vec4<f32>, 64>;
var<workgroup> totals: array<vec4<f32>, 64>;
var<workgroup> lows: array<vec4<f32>, 64>;
var<workgroup> highs: array<vec4<f32>, 64>;

// The token of a query of this KV head; queries past the end repeat the last one.
fn token_of(n: u32) -> u32 {
    return min(n / params.group_size, params.tokens - 1u);
}

// Where a query starts in `query` and `attended`.
fn start_of(kv_head: u32, n: u32) -> u32 {
    let head = kv_head * params.group_size + n % params.group_size;
    return token_of(n) * params.stride + head * params.head_dim;
}

fn query_value(start: u32, dim: u32) -> f32 {
    if (dim >= params.head_dim) {
        return 0.0;
    }
    return query[start + dim] * params.scale;
}

fn load_query(start: u32, dim: u32) -> vec4<f32> {
    return vec4<f32>(
        query_value(start, dim),
        query_value(start, dim + 1u),
        query_value(start, dim + 2u),
        query_value(start, dim + 3u),
    );
}

// Scores of four queries at a position, by one word of the keys.
fn score(keys: vec4<u32>, low: mat4x4<f32>, high: mat4x4<f32>) -> vec4<f32> {
    return word_low(keys) * low + word_high(keys) * high;
}

// Keeps the scores of a position that a query may see.
fn put_score(i: u32, position: u32, ends: vec4<u32>, value: vec4<f32>) {
    scores[i] = select(vec4<f32>(LOWEST), value, vec4<u32>(position) < ends);
}

// Column `i` of a matrix times component `i` of a vector.
fn scale_columns(m: mat4x4<f32>, by: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(m[0] * by.x, m[1] * by.y, m[2] * by.z, m[3] * by.w);
}

// A matrix with `v` times component `i` of a vector in column `i`.
fn columns_of(v: vec4<f32>, by: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(v * by.x, v * by.y, v * by.z, v * by.w);
}

// Adds up the slices of query `q` of the four and writes them.
fn merge(kv_head: u32, n: u32, q: u32, local: u32, words: u32, low: vec4<f32>, high: vec4<f32>) {
    lows[local] = low;
    highs[local] = high;
    workgroupBarrier();
    if (local < words && n < params.tokens * params.group_size) {
        let slices = GROUP / words;
        var maximum = LOWEST;
        for (var slice = 0u; slice < slices; slice++) {
            maximum = max(maximum, maxima[slice * words + local][q]);
        }
        var total = 0.0;
        var low_sum = vec4<f32>(0.0);
        var high_sum = vec4<f32>(0.0);
        for (var slice = 0u; slice < slices; slice++) {
            let at = slice * words + local;
            let shrink = exp(maxima[at][q] - maximum);
            total += shrink * totals[at][q];
            low_sum += shrink * lows[at];
            high_sum += shrink * highs[at];
        }
        let start = start_of(kv_head, n);
        let dim = local * VALUES_OF_WORD;
        for (var i = 0u; i < 4u; i++) {
            if (dim + i < params.head_dim) {
                attended[start + dim + i] = low_sum[i] / total;
            }
            if (dim + 4u + i < params.head_dim) {
                attended[start + dim + 4u + i] = high_sum[i] / total;
            }
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let words = head_words(params.head_dim);
    let kv_head = group.x;
    let n = group.y * 4u;
    for (var q = 0u; q < 4u; q++) {
        queries[q * GROUP + local] = load_query(start_of(kv_head, n + q), local * 4u);
    }
    workgroupBarrier();

    // How many positions each query sees; the last one sees most.
    let ends = vec4<u32>(params.position + 1u)
        + vec4<u32>(token_of(n), token_of(n + 1u), token_of(n + 2u), token_of(n + 3u));
    let slices = GROUP / words;
    let slice = local / words;
    let word = local % words;
    var maximum = vec4<f32>(LOWEST);
    var total = vec4<f32>(0.0);
    var low = mat4x4<f32>();
    var high = mat4x4<f32>();

    for (var first = 0u; first < ends.w; first += TILE) {
        // Positions past the end repeat the last one; their scores are not kept.
        let position = vec4<u32>(first + local) + vec4<u32>(0u, 64u, 128u, 192u);
        let at = (min(position, vec4<u32>(ends.w - 1u)) * params.kv_heads + kv_head) * words;
        var score0 = vec4<f32>(0.0);
        var score1 = vec4<f32>(0.0);
        var score2 = vec4<f32>(0.0);
        var score3 = vec4<f32>(0.0);
        for (var i = 0u; i < words; i++) {
            let j = 2u * i;
            let query_low = mat4x4<f32>(queries[j], queries[j + 64u], queries[j + 128u], queries[j + 192u]);
            let query_high =
                mat4x4<f32>(queries[j + 1u], queries[j + 65u], queries[j + 129u], queries[j + 193u]);
            score0 += score(key_cache[at.x + i], query_low, query_high);
            score1 += score(key_cache[at.y + i], query_low, query_high);
            score2 += score(key_cache[at.z + i], query_low, query_high);
            score3 += score(key_cache[at.w + i], query_low, query_high);
        }
        put_score(local, position.x, ends, score0);
        put_score(local + 64u, position.y, ends, score1);
        put_score(local + 128u, position.z, ends, score2);
        put_score(local + 192u, position.w, ends, score3);
        workgroupBarrier();
        let count = min(TILE, ends.w - first);
        // Invocations left over by the division into slices have no word to gather.
        if (slice < slices && slice < count) {
            var risen = maximum;
            for (var i = slice; i < count; i += slices) {
                risen = max(risen, scores[i]);
            }
            let shrink = exp(maximum - risen);
            maximum = risen;
            total *= shrink;
            low = scale_columns(low, shrink);
            high = scale_columns(high, shrink);
            for (var i = slice; i < count; i += slices) {
                let weight = exp(scores[i] - maximum);
                let values = value_cache[((first + i) * params.kv_heads + kv_head) * words + word];
                total += weight;
                low += columns_of(word_low(values), weight);
                high += columns_of(word_high(values), weight);
            }
        }
        workgroupBarrier();
    }

    // A slice in which a query saw nothing has a maximum of LOWEST: what it summed shrinks to zero.
    maxima[local] = maximum;
    totals[local] = total;
    merge(kv_head, n, 0u, local, words, low[0], high[0]);
    merge(kv_head, n + 1u, 1u, local, words, low[1], high[1]);
    merge(kv_head, n + 2u, 2u, local, words, low[2], high[2]);
    merge(kv_head, n + 3u, 3u, local, words, low[3], high[3]);
}
