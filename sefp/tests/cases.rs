//! The corners of the format, one by one.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use sefp::{
    GROUP_SIZE, PackedMatrix, Precision, QuantizeError, Reconstruction, Scale, TileGrid, TileView,
    WeightFault, decode, quantize_group, truncate,
};

fn codes(weights: &[f32], scale: Scale) -> (u8, Vec<u16>) {
    let mut codes = [0; GROUP_SIZE];
    let scale_code = quantize_group(weights, &mut codes, scale).unwrap();
    (scale_code, codes[..weights.len()].to_vec())
}

#[test]
fn a_group_of_zeros_has_scale_code_zero_and_decodes_to_zero() {
    for scale in Scale::ALL {
        let (scale_code, codes) = codes(&[0.0, -0.0, 0.0], scale);
        assert_eq!((scale_code, codes.as_slice()), (0, [256, 255, 256].as_slice()));
        for precision in Precision::ALL {
            for reconstruction in Reconstruction::ALL {
                for &code in &codes {
                    assert_eq!(decode(truncate(code, precision), scale_code, precision, reconstruction), 0.0);
                }
            }
        }
    }
}

#[test]
fn negative_zero_is_the_smallest_negative_code() {
    assert_eq!(codes(&[1.0, -0.0, 0.0], Scale::PowerOfTwo).1, [256 + 128, 255, 256]);
    // The range is 9/8 here: 256 / (9/8) = 227.6 steps are below 1.
    assert_eq!(codes(&[1.0, -0.0, 0.0], Scale::Fine).1, [256 + 227, 255, 256]);
}

#[test]
fn scales_are_clamped_to_the_fp16_range() {
    // (largest weight of the group, fine scale code, its code, the same with powers of two)
    let cases: [(f32, u8, u16, u8, u16); 9] = [
        (65535.996, 240, 511, 240, 511),
        (32768.0, 233, 256 + 227, 240, 256 + 128),
        (1.125, 114, 256 + 230, 120, 256 + 144),
        (1.124_999_9, 113, 511, 120, 256 + 143),
        (1.0, 113, 256 + 227, 120, 256 + 128),
        (2_f32.powi(-14), 1, 256 + 227, 8, 256 + 128),
        (2_f32.powi(-21), 1, 256 + 1, 8, 256 + 1),
        (2_f32.powi(-22), 1, 256, 8, 256),
        (f32::from_bits(1), 1, 256, 8, 256),
    ];
    for (weight, fine, fine_code, power, power_code) in cases {
        for (scale, scale_code, code) in
            [(Scale::Fine, fine, fine_code), (Scale::PowerOfTwo, power, power_code)]
        {
            assert_eq!(codes(&[weight], scale), (scale_code, vec![code]), "{weight:e} {scale}");
            assert_eq!(codes(&[-weight], scale), (scale_code, vec![511 - code]), "-{weight:e} {scale}");
        }
    }
}

#[test]
fn a_scale_code_is_a_floating_point_number() {
    for code in 1..=sefp::MAX_SCALE_CODE {
        let (exponent, k) = (i32::from(code - 1) / 8 - 14, f32::from((code - 1) % 8 + 1));
        for precision in Precision::ALL {
            let range = sefp::step(code, precision) * 2_f32.powi(precision.mantissa_bits() as i32);
            assert_eq!(range, 2_f32.powi(exponent) * (1.0 + k / 8.0), "{code} {precision}");
        }
    }
}

#[test]
fn a_weight_on_a_step_is_exact_when_truncated_and_half_a_step_off_at_midpoint() {
    let (scale_code, codes) = codes(&[1.0, 0.75, -0.75, 0.25], Scale::PowerOfTwo);
    for precision in Precision::ALL {
        let step = sefp::step(scale_code, precision);
        let value =
            |code, reconstruction| decode(truncate(code, precision), scale_code, precision, reconstruction);
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
        let error = PackedMatrix::pack(&weights, 3, 64, Scale::Fine).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let mut codes = [0; GROUP_SIZE];
    let error = quantize_group(&[0.0, f32::INFINITY], &mut codes, Scale::Fine).unwrap_err();
    assert_eq!(error, QuantizeError { index: 1, fault: WeightFault::Infinite });
}

#[test]
fn planes_of_the_wrong_size_make_no_view() {
    let grid = TileGrid::new(17, 65);
    let (scales, base, bit) =
        (vec![0; grid.scale_bytes()], vec![0; grid.base_words()], vec![0; grid.bit_words()]);
    assert_eq!((grid.tiles(), scales.len(), base.len(), bit.len()), (4, 64, 512, 128));
    let available = |bits: &[&[u32]]| TileView::new(grid, &scales, &base, bits).map(|view| view.available());
    assert_eq!(available(&[]), Some(Precision::E5M3));
    assert_eq!(available(&[&bit, &bit]), Some(Precision::E5M5));
    assert_eq!(available(&[bit.as_slice(); 6]), None);
    assert_eq!(available(&[&bit[1..]]), None);
    assert!(TileView::new(grid, &scales[1..], &base, &[]).is_none());
    assert!(TileView::new(grid, &scales, &base[1..], &[]).is_none());
}

#[test]
fn precisions_have_names_and_sizes() {
    for scale in Scale::ALL {
        assert_eq!(scale.name().parse(), Ok(scale));
    }
    assert_eq!(
        "coarse".parse::<Scale>().unwrap_err().to_string(),
        "'coarse' is not a scale: give fine or power-of-two"
    );
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
