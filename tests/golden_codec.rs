//! The codec against vectors made by an independent implementation, bit for bit.

use otaro_tests::{reference::Reference, shared};
use sefp::{PackedMatrix, Precision, Reconstruction, Scale, TileGrid};

#[test]
fn golden_vectors_are_reproduced_bit_for_bit() {
    let Some(path) = shared("reference/sefp-vectors-v2.safetensors") else { return };
    let reference = Reference::open(&path);
    let cases: Vec<_> = reference
        .names()
        .iter()
        .filter_map(|name| name.strip_suffix(".weight").map(str::to_string))
        .collect();
    assert_eq!(cases.len(), 4, "{cases:?}");
    for case in cases {
        for (scale, name) in [(Scale::Fine, "fine"), (Scale::PowerOfTwo, "power_of_two")] {
            check(&reference, &case, scale, name);
            println!("{case}, {scale}: codes, planes and both decodes at every precision are equal");
        }
    }
}

fn check(reference: &Reference, case: &str, scale: Scale, name: &str) {
    let tensor = |part: &str| format!("{case}.{name}.{part}");
    let weights = format!("{case}.weight");
    let shape = reference.shape(&weights);
    let grid = TileGrid::new(shape[0], shape[1]);
    let packed =
        PackedMatrix::pack(&reference.f32(&weights), grid.rows, grid.cols, scale).expect("finite weights");
    let view = packed.view();

    let codes = reference.u16(&tensor("u8"));
    let scales = reference.u8(&tensor("code"));
    for row in 0..grid.rows {
        for col in 0..grid.padded_cols() {
            assert_eq!(
                view.code(row, col, Precision::E5M8),
                codes[row * grid.padded_cols() + col],
                "{case} {row} {col}"
            );
            assert_eq!(view.scale(row, col), scales[row * grid.tile_cols() + col / 64], "{case} {row} {col}");
        }
    }

    assert!(packed.scales() == reference.u8(&tensor("packed.scales")), "{case}: scales");
    assert!(packed.base() == reference.u32(&tensor("packed.base")), "{case}: base");
    for (plane, words) in packed.bits().iter().enumerate() {
        assert_eq!(
            *words,
            reference.u32(&tensor(&format!("packed.bit{}", plane + 4))),
            "{case} bit{}",
            plane + 4
        );
    }

    let mut decoded = vec![0.0; grid.cols];
    for reconstruction in Reconstruction::ALL {
        for precision in Precision::ALL {
            let name = tensor(&format!("{reconstruction}.m{}", precision.mantissa_bits()));
            for (row, expected) in reference.f32(&name).chunks(grid.cols).enumerate() {
                view.decode_row(row, precision, reconstruction, &mut decoded);
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert!(bits(&decoded) == bits(expected), "{name} row {row}");
            }
        }
    }
}
