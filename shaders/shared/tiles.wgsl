// Reading a chunk of a packed matrix: whole rows of tiles, 16 rows x 64 columns each, numbered row
// of tiles by row of tiles. Four rows at a time (a quad): as the words of the 16 rows of a tile lie
// side by side, a `vec4<u32>` holds the same columns of four rows. Per tile:
//
//     base       32 vectors, [half][pair of column blocks][quad]   4 bits a weight
//     bit4..8     8 vectors each, [half][quad]                      1 bit a weight
//     scales   1 vector, a word per quad, a byte per row
//
// A half is 32 columns, a column block 4: block `p` of a half is bit `p` of each byte of a bit plane.
// Planes that the precision does not need are not there: a dummy is bound in their place, never read.

#include "shared/sefp.wgsl"

struct Chunk {
    // Rows of the chunk, without padding.
    rows: u32,
    // Row of the matrix at which the chunk starts.
    first_row: u32,
    // Groups of a row.
    tile_cols: u32,
    // Index in `base_and_scales` of the scales of tile 0.
    scales: u32,
    mantissa_bits: u32,
    // See sefp.wgsl.
    unit: f32,
    half_unit: f32,
    // 0x01010101 where one is added to the codes of negative weights, else 0.
    negative: u32,
}

// Whether `extra` is looked at: only at E5M8 and where the reconstruction is truncate. The kernels in
// which time counts are compiled twice, with and without; both are there before the first pass.
override with_extra: bool = true;

@group(0) @binding(1) var<storage, read> base_and_scales: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> bit4: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> bit5: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> bit6: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> bit7: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> bit8: array<vec4<u32>>;

// The low halves of the bytes of half a tile, for one quad: those of block `i` in the low half of
// each byte of vector `i`, those of block `i + 4` in its high half.
struct LowHalves {
    block04: vec4<u32>,
    block15: vec4<u32>,
    block26: vec4<u32>,
    block37: vec4<u32>,
}

// Bits of `a` where `mask` is set, of `b` elsewhere.
fn mix_bits(a: vec4<u32>, b: vec4<u32>, mask: u32) -> vec4<u32> {
    return (a & vec4<u32>(mask)) | (b & vec4<u32>(~mask));
}

// Reads bit4 to bit7, as far as the precision needs them, and turns the four planes of single bits
// into halves of bytes: first two planes into pairs of bits, then two pairs into four bits. This
// takes 3 operations a block where picking bits one by one takes 16. The branches depend on the
// uniform alone: all invocations agree.
fn load_low_halves(mantissa_bits: u32, tile: u32, half: u32, quad: u32) -> LowHalves {
    let at = tile * 8u + half * 4u + quad;
    var low: LowHalves;
    if (mantissa_bits > 3u) {
        let four = bit4[at];
        var five = vec4<u32>(0u);
        var six = vec4<u32>(0u);
        var seven = vec4<u32>(0u);
        if (mantissa_bits > 4u) {
            five = bit5[at];
            if (mantissa_bits > 5u) {
                six = bit6[at];
                if (mantissa_bits > 6u) {
                    seven = bit7[at];
                }
            }
        }
        let one = vec4<u32>(1u);
        let two = vec4<u32>(2u);
        // Pairs of bits, of even blocks and of odd ones.
        let even45 = mix_bits(four << one, five, 0xaaaaaaaau);
        let odd45 = mix_bits(four, five >> one, 0xaaaaaaaau);
        let even67 = mix_bits(six << one, seven, 0xaaaaaaaau);
        let odd67 = mix_bits(six, seven >> one, 0xaaaaaaaau);
        low.block04 = mix_bits(even45 << two, even67, 0xccccccccu);
        low.block26 = mix_bits(even45, even67 >> two, 0xccccccccu);
        low.block15 = mix_bits(odd45 << two, odd67, 0xccccccccu);
        low.block37 = mix_bits(odd45, odd67 >> two, 0xccccccccu);
    }
    return low;
}

// Reads the base plane of blocks `2 * pair` and `2 * pair + 1` of half a tile, for one quad: in the
// low and the high half of each byte. The sign bits are turned over, which subtracts 128.
fn load_base(tile: u32, half: u32, pair: u32, quad: u32) -> vec4<u32> {
    return base_and_scales[tile * 32u + half * 16u + pair * 4u + quad] ^ vec4<u32>(0x88888888u);
}

// The scales of the four rows of a quad in a tile.
fn load_scales(chunk: Chunk, tile: u32, quad: u32) -> vec4<f32> {
    return sefp_scales(base_and_scales[chunk.scales + tile][quad]);
}

// The signed bytes of four blocks, from their base (`even`: of blocks 2 * pair, else 2 * pair + 1)
// and low halves (`early`: of blocks 0 to 3, else 4 to 7).
fn even_early(base: vec4<u32>, low: vec4<u32>) -> mat4x4<f32> {
    return sefp_bytes(bitcast<vec4<i32>>(mix_bits(base << vec4<u32>(4u), low, 0xf0f0f0f0u)));
}

fn odd_early(base: vec4<u32>, low: vec4<u32>) -> mat4x4<f32> {
    return sefp_bytes(bitcast<vec4<i32>>(mix_bits(base, low, 0xf0f0f0f0u)));
}

fn even_late(base: vec4<u32>, low: vec4<u32>) -> mat4x4<f32> {
    return even_early(base, low >> vec4<u32>(4u));
}

fn odd_late(base: vec4<u32>, low: vec4<u32>) -> mat4x4<f32> {
    return odd_early(base, low >> vec4<u32>(4u));
}

// The ninth bits of half a tile, for one quad: zeros below E5M8.
fn load_ninth(chunk: Chunk, tile: u32, half: u32, quad: u32) -> vec4<u32> {
    if (chunk.mantissa_bits > 7u) {
        return bit8[tile * 8u + half * 4u + quad];
    }
    return vec4<u32>(0u);
}

// The `extra` of a block: its ninth bits, and one for negative weights. The sign bits of `base`, as
// `load_base` returns it, are set for those.
fn block_extra(chunk: Chunk, base: vec4<u32>, ninth: vec4<u32>, block: u32) -> mat4x4<f32> {
    let negative = (base >> vec4<u32>(4u * (block & 1u) + 3u)) & vec4<u32>(chunk.negative);
    let bits = (ninth >> vec4<u32>(block)) & vec4<u32>(0x01010101u);
    return sefp_bytes(bitcast<vec4<i32>>(bits + negative));
}

// The weights of any block, whole.
fn load_weights(
    chunk: Chunk,
    tile: u32,
    half: u32,
    block: u32,
    quad: u32,
    low: LowHalves,
    scales: vec4<f32>,
) -> mat4x4<f32> {
    // Select by value: indices that depend on a variable end up in memory with some compilers.
    let low_of_pair = select(
        select(low.block04, low.block26, vec4<bool>((block & 2u) != 0u)),
        select(low.block15, low.block37, vec4<bool>((block & 2u) != 0u)),
        vec4<bool>((block & 1u) != 0u),
    );
    let low_half = low_of_pair >> vec4<u32>(block & 4u);
    let base = load_base(tile, half, block / 2u, quad);
    let high_half = base << vec4<u32>(4u - 4u * (block & 1u));
    var values = sefp_bytes(bitcast<vec4<i32>>(mix_bits(high_half, low_half, 0xf0f0f0f0u)));
    if (with_extra) {
        values += chunk.unit * block_extra(chunk, base, load_ninth(chunk, tile, half, quad), block);
    }
    let bias = vec4<f32>(chunk.half_unit);
    return mat4x4<f32>(
        (values[0] + bias) * scales,
        (values[1] + bias) * scales,
        (values[2] + bias) * scales,
        (values[3] + bias) * scales,
    );
}
