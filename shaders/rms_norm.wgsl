// `normed[t] = hidden[t] / sqrt(mean(hidden[t]^2) + epsilon) * weight`.
//
// One workgroup per token: each invocation sums the squares of every 64th vector, a tree in
// workgroup memory adds the 64 sums up, then each invocation scales its vectors. Padding is zero
// in `hidden` and in `weight`, so it neither adds to the sum nor becomes anything but zero.
//
//     hidden, normed [tokens, stride] of vec4<f32>, weight [stride]; dispatch (tokens)

struct Params {
    // Values of a row, without padding.
    width: u32,
    // Vectors of a row, with padding.
    stride: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> hidden: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> normed: array<vec4<f32>>;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let start = group.x * params.stride;
    let vectors = (params.width + 3u) / 4u;
    var sum = 0.0;
    for (var i = local; i < vectors; i += 64u) {
        let values = hidden[start + i];
        sum += dot(values, values);
    }
    sums[local] = sum;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if (local < reach) {
            sums[local] += sums[local + reach];
        }
        workgroupBarrier();
    }
    let scale = 1.0 / sqrt(sums[0] / f32(params.width) + params.epsilon);
    for (var i = local; i < vectors; i += 64u) {
        normed[start + i] = hidden[start + i] * scale * weight[i];
    }
}
