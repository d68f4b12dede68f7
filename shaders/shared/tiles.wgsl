// Reading a chunk of a packed matrix: whole rows of tiles, 16 rows x 64 columns each, numbered row
// of tiles by row of tiles. Four rows at a time (a quad): as the words of the 16 rows of a tile lie
// side by side, a `vec4<u32>` holds the same columns of four rows. Per tile:
//
//     base       32 vectors, [half][pair of column blocks][quad]   4 bits a weight
//     bit4..8     8 vectors each, [half][quad]                      1 bit a weight
//     exponents   1 vector, a word per quad, a byte per row
//
// A half is 32 columns, a column block 4. Planes that the precision does not need are not there: a
// dummy is bound in their place and never read.

#include "shared/sefp.wgsl"

struct Chunk {
    // Rows of the chunk, without padding.
    rows: u32,
    // Row of the matrix at which the chunk starts.
    first_row: u32,
    // Groups of a row.
    tile_cols: u32,
    // Index in `base_and_exponents` of the exponents of tile 0.
    exponents: u32,
    mantissa_bits: u32,
    bias: f32,
    // 0x01010101 where one is added to the codes of negative weights, else 0.
    negative: u32,
    unused: u32,
}

@group(0) @binding(1) var<storage, read> base_and_exponents: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> bit4: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> bit5: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> bit6: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> bit7: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> bit8: array<vec4<u32>>;

// The bit planes of half a tile, for one quad.
struct BitPlanes {
    bit4: vec4<u32>,
    bit5: vec4<u32>,
    bit6: vec4<u32>,
    bit7: vec4<u32>,
    bit8: vec4<u32>,
}

// Reads the planes of a precision. The branches depend on the uniform alone: all invocations agree.
fn load_bit_planes(tile: u32, half: u32, quad: u32, mantissa_bits: u32) -> BitPlanes {
    let at = tile * 8u + half * 4u + quad;
    var planes: BitPlanes;
    if (mantissa_bits > 3u) {
        planes.bit4 = bit4[at];
        if (mantissa_bits > 4u) {
            planes.bit5 = bit5[at];
            if (mantissa_bits > 5u) {
                planes.bit6 = bit6[at];
                if (mantissa_bits > 6u) {
                    planes.bit7 = bit7[at];
                    if (mantissa_bits > 7u) {
                        planes.bit8 = bit8[at];
                    }
                }
            }
        }
    }
    return planes;
}

// The base plane of column blocks `2 * pair` and `2 * pair + 1` of half a tile, for one quad.
fn load_base(tile: u32, half: u32, pair: u32, quad: u32) -> vec4<u32> {
    return base_and_exponents[tile * 32u + half * 16u + pair * 4u + quad];
}

// The steps of the four rows of a quad in a tile.
fn load_steps(chunk: Chunk, tile: u32, quad: u32) -> vec4<f32> {
    return sefp_steps(base_and_exponents[chunk.exponents + tile][quad], chunk.mantissa_bits);
}

// Appends the next bit to the codes of a column block, one code a byte.
fn append_bit(codes: vec4<u32>, plane: vec4<u32>, block: u32) -> vec4<u32> {
    return (codes << vec4<u32>(1u)) | ((plane >> vec4<u32>(block)) & vec4<u32>(0x01010101u));
}

// The weights of a column block: column `i` of the matrix holds column `4 * block + i` of four rows,
// so that `weights * x` adds four columns to the sums of four rows.
fn block_weights(chunk: Chunk, base: vec4<u32>, planes: BitPlanes, block: u32, steps: vec4<f32>) -> mat4x4<f32> {
    let m = chunk.mantissa_bits;
    // Codes of up to 8 bits, one a byte.
    var codes = (base >> vec4<u32>(4u * (block & 1u))) & vec4<u32>(0x0f0f0f0fu);
    if (m > 3u) {
        codes = append_bit(codes, planes.bit4, block);
        if (m > 4u) {
            codes = append_bit(codes, planes.bit5, block);
            if (m > 5u) {
                codes = append_bit(codes, planes.bit6, block);
                if (m > 6u) {
                    codes = append_bit(codes, planes.bit7, block);
                }
            }
        }
    }
    // What is added after the last shift: the ninth bit of E5M8, and one for negative weights (top
    // bit 0) where the reconstruction is truncate.
    let top = vec4<u32>(min(m, 7u));
    var last = (~codes >> top) & vec4<u32>(chunk.negative);
    var shift = vec4<u32>(0u);
    if (m > 7u) {
        last += (planes.bit8 >> vec4<u32>(block)) & vec4<u32>(0x01010101u);
        shift = vec4<u32>(1u);
    }
    // From bytes to pairs of 16 bits, where nine bits have room: columns 0 and 2, 1 and 3.
    let even = ((codes & vec4<u32>(0x00ff00ffu)) << shift) + (last & vec4<u32>(0x00ff00ffu));
    let odd = (((codes >> vec4<u32>(8u)) & vec4<u32>(0x00ff00ffu)) << shift)
        + ((last >> vec4<u32>(8u)) & vec4<u32>(0x00ff00ffu));
    let low = vec4<u32>(0xffffu);
    let high = vec4<u32>(16u);
    return mat4x4<f32>(
        sefp_values(even & low, chunk.bias, steps),
        sefp_values(odd & low, chunk.bias, steps),
        sefp_values(even >> high, chunk.bias, steps),
        sefp_values(odd >> high, chunk.bias, steps),
    );
}
