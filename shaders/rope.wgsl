// Rotates each head of queries and keys by the position of its token: the values `i` and
// `i + head_dim / 2` of a head are the two coordinates that pair `i` turns by its angle.
//
// An invocation turns one pair. Heads are counted through queries first, then keys. The cosines and
// sines come from the host: the `cos` of a large angle may be far off on a GPU.
//
//     query [tokens, query_stride], key [tokens, key_stride], table [tokens, head_dim / 2] of (cos, sin)
//     dispatch (pairs of a token / 64, tokens)

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    query_stride: u32,
    key_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> query: array<f32>;
@group(0) @binding(3) var<storage, read_write> key: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let half = params.head_dim / 2u;
    let head = id.x / half;
    let pair = id.x % half;
    if (head >= params.heads + params.kv_heads) {
        return;
    }
    let turn = table[id.y * half + pair];
    if (head < params.heads) {
        let at = id.y * params.query_stride + head * params.head_dim + pair;
        let x = query[at];
        let y = query[at + half];
        query[at] = x * turn.x - y * turn.y;
        query[at + half] = y * turn.x + x * turn.y;
    } else {
        let at = id.y * params.key_stride + (head - params.heads) * params.head_dim + pair;
        let x = key[at];
        let y = key[at + half];
        key[at] = x * turn.x - y * turn.y;
        key[at + half] = y * turn.x + x * turn.y;
    }
}
