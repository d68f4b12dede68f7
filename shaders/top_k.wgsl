// The `k` best of a list of candidates, best first; ties go to the lower token. Exact.
//
// A candidate is two words, the bits of its logit and its token. The first stage reads the logits
// themselves (one word each, the token is the index); it and every later stage leave `k` candidates
// per workgroup, until one workgroup is left. `k = 1` is argmax.
//
// A workgroup looks at 2048 candidates, 32 per invocation. Each invocation offers the best of its
// own; in `k` rounds the best offer wins, and its owner offers its next best: the best of those that
// come after the winner in the order, so nothing needs to be marked as taken.
//
//     input [count * words], output [workgroups * k, 2]; dispatch (count / 2048)

struct Params {
    count: u32,
    // Words of a candidate in `input`: 1 for logits, 2 for candidates.
    words: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<vec2<u32>>;

const GROUP: u32 = 64u;
const BLOCK: u32 = 2048u;
const NO_TOKEN: u32 = 0xffffffffu;

// x: the key of the logit, y: the token, z: the bits of the logit.
var<workgroup> offers: array<vec3<u32>, 64>;
var<workgroup> finalists: array<vec3<u32>, 8>;

// Unsigned keys in the order of the logits; both zeros are equal, a NaN ranks with minus infinity.
// No logit has the key 0: it stands for no candidate.
fn key(bits: u32) -> u32 {
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return ~0xff800000u;
    }
    if (bits == 0x80000000u) {
        return 0x80000000u;
    }
    if ((bits & 0x80000000u) != 0u) {
        return ~bits;
    }
    return bits | 0x80000000u;
}

// Whether candidate `a` comes before `b`.
fn before(a: vec3<u32>, b: vec3<u32>) -> bool {
    return a.x > b.x || (a.x == b.x && a.y < b.y);
}

fn candidate(i: u32) -> vec3<u32> {
    let bits = input[i * params.words];
    var token = i;
    if (params.words == 2u) {
        token = input[i * 2u + 1u];
    }
    if (token == NO_TOKEN) {
        return vec3<u32>(0u, NO_TOKEN, 0u);
    }
    return vec3<u32>(key(bits), token, bits);
}

// The best candidate of an invocation among those after `last`.
fn next_offer(first: u32, end: u32, last: vec3<u32>) -> vec3<u32> {
    var best = vec3<u32>(0u, NO_TOKEN, 0u);
    for (var i = first; i < end; i += GROUP) {
        let other = candidate(i);
        if (before(last, other) && before(other, best)) {
            best = other;
        }
    }
    return best;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = group.x * BLOCK + local;
    let end = min(group.x * BLOCK + BLOCK, params.count);
    var offer = vec3<u32>(0u, NO_TOKEN, 0u);
    for (var i = first; i < end; i += GROUP) {
        let other = candidate(i);
        if (before(other, offer)) {
            offer = other;
        }
    }
    for (var round = 0u; round < params.k; round++) {
        offers[local] = offer;
        workgroupBarrier();
        if (local < 8u) {
            var best = offers[local * 8u];
            for (var i = 1u; i < 8u; i++) {
                let other = offers[local * 8u + i];
                if (before(other, best)) {
                    best = other;
                }
            }
            finalists[local] = best;
        }
        workgroupBarrier();
        var winner = finalists[0];
        for (var i = 1u; i < 8u; i++) {
            let other = finalists[i];
            if (before(other, winner)) {
                winner = other;
            }
        }
        if (local == 0u) {
            output[group.x * params.k + round] = winner.zy;
        }
        if (offer.y == winner.y && winner.y != NO_TOKEN) {
            offer = next_offer(first, end, winner);
        }
    }
}
