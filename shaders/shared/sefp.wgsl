// The SEFP decode, bit-exact with `sefp/src/decode.rs`: four rows (the lanes of a vector) at a time.
//
//     step  = 2^(E - m + 1), E = exponent code - 15; 0 for a group of zeros
//     value = (code + bias) * step
//
// Midpoint: `bias = 0.5 - 2^m`. Truncate: `bias = -2^m`, and negative weights (codes below 2^m) have
// one added to their code, which `tiles.wgsl` does on packed codes. Codes are at most 512, so the
// sum and the product are exact, fused or not.

// The steps of four rows, from the four exponent codes packed in a word. Powers of two are built
// from their bits: `exp2` may be off by an ulp. Codes above 30 never come from a checked file.
fn sefp_steps(exponents: u32, mantissa_bits: u32) -> vec4<f32> {
    let codes = min((vec4<u32>(exponents) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu), vec4<u32>(30u));
    // The biased f32 exponent: (code - 15) - m + 1 + 127.
    let powers = bitcast<vec4<f32>>((codes + vec4<u32>(113u - mantissa_bits)) << vec4<u32>(23u));
    return select(powers, vec4<f32>(0.0), codes == vec4<u32>(0u));
}

// The values of one column of four rows. Codes are converted as signed integers, which every
// processor does in one instruction.
fn sefp_values(codes: vec4<u32>, bias: f32, steps: vec4<f32>) -> vec4<f32> {
    return (vec4<f32>(vec4<i32>(codes)) + vec4<f32>(bias)) * steps;
}
