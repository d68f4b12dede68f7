// The KV cache of a layer: `[positions, kv_heads, words]` of vec4<u32>, eight f16 values a word.
// The last word of a head is padded with zeros where `head_dim` is not a multiple of eight.

const VALUES_OF_WORD: u32 = 8u;

// Words of one head.
fn head_words(head_dim: u32) -> u32 {
    return (head_dim + VALUES_OF_WORD - 1u) / VALUES_OF_WORD;
}

// The first four values of a word.
fn word_low(word: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y));
}

// The last four values of a word.
fn word_high(word: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(word.z), unpack2x16float(word.w));
}
