//! The corners of the format, one by one.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use sefp::{
    GROUP_SIZE, PackedMatrix, Precision, QuantizeError, Reconstruction, TileGrid, TileView, WeightFault,
    decode, quantize_group, truncate,
};

fn codes(weights: &[f32]) -> (u8, Vec<u16>) {
    let mut codes = [0; GROUP_SIZE];
    let exponent = quantize_group(weights, &mut codes).unwrap();
    (exponent, codes[..weights.len()].to_vec())
}

#[test]
fn a_group_of_zeros_has_exponent_code_zero_and_decodes_to_zero() {
    let (exponent, codes) = codes(&[0.0, -0.0, 0.0]);
    assert_eq!((exponent, codes.as_slice()), (0, [256, 255, 256].as_slice()));
    for precision in Precision::ALL {
        for reconstruction in Reconstruction::ALL {
            for &code in &codes {
                assert_eq!(decode(truncate(code, precision), exponent, precision, reconstruction), 0.0);
            }
        }
    }
}

#[test]
fn negative_zero_is_the_smallest_negative_code() {
    let (_, codes) = codes(&[1.0, -0.0, 0.0]);
    assert_eq!(codes, [256 + 128, 255, 256]);
}

#[test]
fn exponents_are_clamped_to_the_fp16_range() {
    // (largest weight of the group, exponent code, its code)
    let cases: [(f32, u8, u16); 7] = [
        (65535.996, 30, 511),
        (32768.0, 30, 256 + 128),
        (1.0, 15, 256 + 128),
        (2_f32.powi(-14), 1, 256 + 128),
        (2_f32.powi(-21), 1, 256 + 1),
        (2_f32.powi(-22), 1, 256),
        (f32::from_bits(1), 1, 256),
    ];
    for (weight, exponent, code) in cases {
        assert_eq!(codes(&[weight]), (exponent, vec![code]), "{weight:e}");
        assert_eq!(codes(&[-weight]), (exponent, vec![511 - code]), "-{weight:e}");
    }
}

#[test]
fn a_weight_on_a_step_is_exact_when_truncated_and_half_a_step_off_at_midpoint() {
    let (exponent, codes) = codes(&[1.0, 0.75, -0.75, 0.25]);
    for precision in Precision::ALL {
        let step = sefp::step(exponent, precision);
        let value =
            |code, reconstruction| decode(truncate(code, precision), exponent, precision, reconstruction);
        for (&code, weight) in codes.iter().zip([1.0, 0.75, -0.75, 0.25_f32]) {
            assert_eq!(value(code, Reconstruction::Truncate), weight, "{precision} {weight}");
            assert_eq!(
                (value(code, Reconstruction::Midpoint) - weight).abs(),
                step / 2.0,
                "{precision} {weight}"
            );
        }
    }
}

#[test]
fn weights_that_do_not_fit_are_errors_with_their_index() {
    let cases = [
        (f32::NAN, "weight 70 is NaN"),
        (f32::INFINITY, "weight 70 is infinite"),
        (f32::NEG_INFINITY, "weight 70 is infinite"),
        (65536.0, "weight 70 is too large for SEFP (|w| = 65536, it must be below 65536)"),
        (
            -1e30,
            "weight 70 is too large for SEFP (|w| = 1000000000000000000000000000000, it must be below 65536)",
        ),
    ];
    for (fault, message) in cases {
        let mut weights = vec![0.5; 3 * 64];
        weights[70] = fault;
        let error = PackedMatrix::pack(&weights, 3, 64).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let mut codes = [0; GROUP_SIZE];
    let error = quantize_group(&[0.0, f32::INFINITY], &mut codes).unwrap_err();
    assert_eq!(error, QuantizeError { index: 1, fault: WeightFault::Infinite });
}

#[test]
fn planes_of_the_wrong_size_make_no_view() {
    let grid = TileGrid::new(17, 65);
    let (exponents, base, bit) =
        (vec![0; grid.exponent_bytes()], vec![0; grid.base_words()], vec![0; grid.bit_words()]);
    assert_eq!((grid.tiles(), exponents.len(), base.len(), bit.len()), (4, 64, 512, 128));
    let available =
        |bits: &[&[u32]]| TileView::new(grid, &exponents, &base, bits).map(|view| view.available());
    assert_eq!(available(&[]), Some(Precision::E5M3));
    assert_eq!(available(&[&bit, &bit]), Some(Precision::E5M5));
    assert_eq!(available(&[bit.as_slice(); 6]), None);
    assert_eq!(available(&[&bit[1..]]), None);
    assert!(TileView::new(grid, &exponents[1..], &base, &[]).is_none());
    assert!(TileView::new(grid, &exponents, &base[1..], &[]).is_none());
}

#[test]
fn precisions_have_names_and_sizes() {
    for (text, precision) in [("3", Precision::E5M3), ("m6", Precision::E5M6), (" E5M8", Precision::E5M8)] {
        assert_eq!(text.parse(), Ok(precision));
    }
    for text in ["", "2", "9", "E5", "m", "-3", "6.0", "E5M66"] {
        let error = text.parse::<Precision>().unwrap_err();
        assert!(error.to_string().starts_with(&format!("'{text}' is not a precision")), "{error}");
    }
    assert_eq!(Precision::E5M3.bits_per_weight(), 4.125);
    assert_eq!(Precision::E5M8.bits_per_weight(), 9.125);
    let grid = TileGrid::new(16, 64);
    for precision in Precision::ALL {
        assert_eq!(grid.bytes(precision) as f64 * 8.0, 1024.0 * precision.bits_per_weight(), "{precision}");
    }
}
