// `gate = gate * sigmoid(gate) * up`, an invocation per vector. Padding stays zero: 0 * 0.5 * 0 = 0.
//
//     gate, up [tokens, stride] of vec4<f32>; dispatch (vectors of a row / 64, tokens)

struct Params {
    // Vectors of a row that hold values.
    vectors: u32,
    // Vectors of a row, with padding.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gate: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.vectors) {
        return;
    }
    let at = id.y * params.stride + id.x;
    let x = gate[at];
    // exp(88) is still finite: sigmoid(-88) is below 1e-38, as good as zero.
    let sigmoid = vec4<f32>(1.0) / (vec4<f32>(1.0) + exp(min(-x, vec4<f32>(88.0))));
    gate[at] = x * sigmoid * up[at];
}
