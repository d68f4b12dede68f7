// `hidden += projected`, an invocation per vector. Padding stays zero.
//
//     hidden, projected [tokens, stride] of vec4<f32>; dispatch (vectors of a row / 64, tokens)

struct Params {
    // Vectors of a row that hold values.
    vectors: u32,
    // Vectors of a row, with padding.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> projected: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> hidden: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.vectors) {
        return;
    }
    let at = id.y * params.stride + id.x;
    hidden[at] += projected[at];
}
