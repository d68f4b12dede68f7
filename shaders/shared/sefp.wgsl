// The SEFP decode, bit-exact with `sefp/src/decode.rs`: four rows (the lanes of a vector) at a time.
//
//     step  = S / 2^m, S = the range of the group, a scale code read as a number; 0 for a group of zeros
//     value = (u_m - 2^m + bias) * step
//
// where `bias` is 0.5 for midpoint, and for truncate 1 below 2^m and 0 from there on. Here the same
// is scaled so that it does not depend on `m`: the first eight bits of a code, those that are not
// read being zero, less 128, are a signed byte, and with `unit = 2^(7 - m)`
//
//     value = (byte + unit * extra + half_unit) * S / 2^7
//
// `half_unit` is `unit / 2` for midpoint and 0 for truncate. `extra` is the ninth bit of E5M8, plus
// one for negative weights where the reconstruction is truncate; for all else it is 0. Every term is
// a multiple of 1/4 below 2^8 and a scale has four bits, so the sums and the product are exact.

// `S / 2^7` of four rows, from the four scale codes packed in a word: five bits of exponent and three
// of fraction, as in an f32. Codes above 240 never come from a checked file.
fn sefp_scales(word: u32) -> vec4<f32> {
    let codes = min((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu), vec4<u32>(240u));
    // 8 * (127 - 14 - 7): the bias of f32, less that of the codes and the seven bits of the byte.
    let scales = bitcast<vec4<f32>>((codes + vec4<u32>(848u)) << vec4<u32>(20u));
    return select(scales, vec4<f32>(0.0), codes == vec4<u32>(0u));
}

// Four signed bytes of four rows as numbers: column `i` holds byte `i`, so that the matrix times a
// vector adds four columns to the sums of four rows.
fn sefp_bytes(bytes: vec4<i32>) -> mat4x4<f32> {
    let end = vec4<u32>(24u);
    return mat4x4<f32>(
        vec4<f32>((bytes << end) >> end),
        vec4<f32>((bytes << vec4<u32>(16u)) >> end),
        vec4<f32>((bytes << vec4<u32>(8u)) >> end),
        vec4<f32>(bytes >> end),
    );
}
