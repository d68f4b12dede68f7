#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;
use crate::{Projection, WeightMatrix, pack::Shape};

fn profile(text: &str) -> PrecisionProfile {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn m(mantissa_bits: u32) -> Precision {
    Precision::from_mantissa_bits(mantissa_bits).unwrap()
}

/// Mantissa bits of embedding, attention and feed-forward of layers 0 and 1, and head.
fn bits(profile: &PrecisionProfile) -> [u32; 6] {
    let layer = |layer, class| profile.layer(layer, class).mantissa_bits();
    let class = |class| profile.class(class).mantissa_bits();
    let [attention, mlp] = TensorClass::OF_LAYERS;
    [
        class(TensorClass::Embedding),
        layer(0, attention),
        layer(0, mlp),
        layer(1, attention),
        layer(1, mlp),
        class(TensorClass::Head),
    ]
}

#[test]
fn the_more_specific_entry_holds_whatever_the_order() {
    for (text, expected) in [
        ("4", [4, 4, 4, 4, 4, 4]),
        ("E5M4", [4, 4, 4, 4, 4, 4]),
        ("all=4", [4, 4, 4, 4, 4, 4]),
        ("4,head=8", [4, 4, 4, 4, 4, 8]),
        ("head=8,all=4", [4, 4, 4, 4, 4, 8]),
        ("4,mlp=3,layers.0=6", [4, 6, 6, 4, 3, 4]),
        ("layers.0=6,mlp=3,4", [4, 6, 6, 4, 3, 4]),
        ("4,layers.0=6,layers.0.mlp=5", [4, 6, 5, 4, 4, 4]),
        ("4,layers.0.mlp=5,layers.0=6", [4, 6, 5, 4, 4, 4]),
        ("4,layers.0-7.attention=8", [4, 8, 4, 8, 4, 4]),
        (" 4 , layers.1-1 = m7 ", [4, 4, 4, 7, 7, 4]),
        ("embedding=8,attention=5,mlp=3,head=6", [8, 5, 3, 5, 3, 6]),
    ] {
        assert_eq!(bits(&profile(text)), expected, "{text}");
    }
}

#[test]
fn it_is_written_as_it_is_read() {
    for (text, written) in [
        ("4", "E5M4"),
        ("all=4,mlp=4", "E5M4"),
        ("head=8,all=4", "4,head=8"),
        ("embedding=3,attention=5,mlp=5,head=3", "3,attention=5,mlp=5"),
        ("embedding=8,attention=5,mlp=3,head=6", "3,embedding=8,attention=5,head=6"),
        ("embedding=8,attention=3,mlp=3,head=8", "3,embedding=8,head=8"),
        ("4,layers.2=6,layers.1=6,layers.0=6,layers.4=6", "4,layers.0-2=6,layers.4=6"),
        ("4,layers.0=6,layers.1=5", "4,layers.0=6,layers.1=5"),
        ("4,layers.0.mlp=6,layers.1.mlp=6,layers.0=5", "4,layers.0=5,layers.0-1.mlp=6"),
        ("4,layers.3=4", "4,layers.3=4"),
    ] {
        let profile = profile(text);
        assert_eq!(profile.to_string(), written, "{text}");
        assert_eq!(written.parse::<PrecisionProfile>().unwrap(), profile, "{text}");
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<PrecisionProfile>(&json).unwrap(), profile, "{json}");
    }
    let json = serde_json::to_value(profile("4,head=8,layers.0-3.mlp=5")).unwrap();
    assert_eq!(json, serde_json::json!({"all": 4, "head": 8, "layers.0-3.mlp": 5}));
}

#[test]
fn what_is_no_profile_is_refused_with_what_there_is() {
    for (text, message) in [
        ("", "the profile is empty"),
        ("4,,head=8", "an entry of the profile is empty"),
        ("4,", "an entry of the profile is empty"),
        ("4,5", "the profile names all twice"),
        ("4,head=8,head=7", "the profile names head twice"),
        ("4,layers.0-3=5,layers.2=6", "the profile names layers.2 twice"),
        (
            "4,mpl=3",
            "'mpl' is nothing that a profile can name: give all, embedding, attention, mlp, head, layers.N",
        ),
        ("4,layers=3", "'layers' is nothing"),
        ("4,layers.x=3", "'layers.x' is nothing"),
        ("4,layers.-1=3", "'layers.-1' is nothing"),
        ("4,layers.+1=3", "'layers.+1' is nothing"),
        ("4,layers.1.head=3", "'layers.1.head' is nothing"),
        ("4,layers.1.mlp.up=3", "'layers.1.mlp.up' is nothing"),
        ("4,layers.3-1=3", "'layers.3-1': the range of layers ends before it begins"),
        ("4,layers.1024=3", "no model has more than 1024 layers"),
        ("4,layers.99999999999999999999=3", "no model has more than 1024 layers"),
        ("4,head=9", "profile entry 'head=9': '9' is not a precision: give 3 to 8"),
        ("4,head=", "'' is not a precision"),
        ("4,head", "'head' is not a precision"),
        ("2", "'2' is not a precision"),
        ("head=8,mlp=3,layers.0=6", "at which precision embedding, attention is read"),
    ] {
        let error = text.parse::<PrecisionProfile>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        assert!(error.to_string().contains(message), "{text}: {error}");
    }
    for (json, message) in [
        ("{}", "at which precision embedding, attention, mlp, head is read"),
        (r#"{"all": 4, "all": 5}"#, "the profile names all twice"),
        (r#"{"all": 4, "layers.0-2": 5, "layers.1": 5}"#, "the profile names layers.1 twice"),
        (r#"{"all": 9}"#, "'all' has 9 mantissa bits: give 3 to 8"),
        (r#"{"all": 4294967300}"#, "'all' has 4294967300 mantissa bits"),
        (r#"{"all": -4}"#, "invalid value"),
        (r#"{"all": 4, "heads": 5}"#, "'heads' is nothing that a profile can name"),
        (r#""4,head""#, "'head' is not a precision"),
        ("[4]", "a profile such as"),
        ("true", "a profile such as"),
    ] {
        let error = serde_json::from_str::<PrecisionProfile>(json).unwrap_err();
        assert!(error.to_string().contains(message), "{json}: {error}");
    }
    for json in ["4", r#""4""#, r#"{"all": 4}"#] {
        assert_eq!(serde_json::from_str::<PrecisionProfile>(json).unwrap(), m(4).into(), "{json}");
    }
}

#[test]
fn a_part_of_a_profile_takes_the_rest_from_elsewhere() {
    let part: PartialProfile = "head=8,mlp=3,layers.0=6".parse().unwrap();
    assert_eq!(bits(&part.over(m(5))), [5, 6, 6, 5, 3, 8]);
    let whole: PartialProfile = "4,head=8".parse().unwrap();
    assert_eq!(whole.over(m(7)), whole.complete().unwrap(), "nothing is open");
}

#[test]
fn caps_and_extremes() {
    let mixed = profile("4,head=8,layers.0=6,layers.1.mlp=3");
    assert_eq!((mixed.min(), mixed.max(), mixed.uniform()), (m(3), m(8), None));
    assert_eq!(mixed.capped(m(8)), mixed);
    assert_eq!(mixed.capped(m(5)), profile("4,head=5,layers.0=5,layers.1.mlp=3"));
    assert_eq!(mixed.capped(m(3)), m(3).into());
    assert_eq!(profile("4,layers.7=4").uniform(), Some(m(4)));
}

#[test]
fn a_model_reads_its_matrices_as_the_profile_says() {
    let tied = &Shape::find("smollm2-135m").unwrap().architecture;
    assert!(tied.tied_head);
    let mixed = profile("4,embedding=7,head=5,layers.2=6,layers.2.mlp=3");
    let precisions = mixed.resolve(tied).unwrap();
    let product = |matrix| precisions.product(matrix).mantissa_bits();
    assert_eq!(precisions.embedding(), m(7));
    assert_eq!(product(WeightMatrix::Embedding), 5, "as the head that it is too");
    assert_eq!(precisions.planes(WeightMatrix::Embedding), m(7), "enough for both");
    for projection in Projection::ALL {
        let mlp = matches!(projection, Projection::Gate | Projection::Up | Projection::Down);
        assert_eq!(product(WeightMatrix::Layer(1, projection)), 4);
        assert_eq!(product(WeightMatrix::Layer(2, projection)), if mlp { 3 } else { 6 });
    }
    assert_eq!(precisions.max(), m(7));

    let untied = Architecture { tied_head: false, ..tied.clone() };
    let precisions = mixed.resolve(&untied).unwrap();
    assert_eq!(precisions.planes(WeightMatrix::Embedding), m(7));
    assert_eq!(precisions.planes(WeightMatrix::Head), m(5));

    let error = profile("4,layers.30=4").resolve(tied).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("names layer 30: the model has layers 0 to 29"), "{message}");
}

#[test]
fn bytes_and_bits_are_those_of_the_planes() {
    let architecture = &Shape::find("smollm2-135m").unwrap().architecture;
    for precision in Precision::ALL {
        let precisions = PrecisionProfile::from(precision).resolve(architecture).unwrap();
        let all: usize =
            WeightMatrix::all(architecture).map(|matrix| matrix.grid(architecture).bytes(precision)).sum();
        let norms = (2 * architecture.layers + 1) * architecture.hidden_size * 4;
        assert_eq!(precisions.weight_bytes(architecture), (all + norms) as u64);
        assert_eq!(precisions.bytes_per_token(architecture), (all + norms) as u64, "the head is tied");
        let difference = precisions.bits_per_weight(architecture) - precision.bits_per_weight();
        assert!(difference.abs() < 1e-9, "{precision}: {difference}");
    }
    let bytes = |text| {
        let precisions = profile(text).resolve(architecture).unwrap();
        (precisions.weight_bytes(architecture), precisions.bytes_per_token(architecture))
    };
    // A bit plane of the embedding: one bit for each of 49152 x 576 weights.
    let plane = 49152 * 576 / 8;
    let (held, read) = bytes("4");
    assert_eq!(bytes("4,head=6"), (held + 2 * plane, read + 2 * plane));
    assert_eq!(bytes("4,embedding=6"), (held + 2 * plane, read), "one row is looked up");
    assert_eq!(bytes("4,embedding=6,head=5"), (held + 2 * plane, read + plane));
    // Four matrices of attention: 576 x 576 twice, 192 x 576 twice.
    let attention = (2 * 576 * 576 + 2 * 192 * 576) / 8;
    assert_eq!(bytes("4,layers.3.attention=5"), (held + attention, read + attention));
    let bits = profile("4,head=6").resolve(architecture).unwrap().bits_per_weight(architecture);
    let share = (49152 * 576) as f64 / architecture.packed_weights() as f64;
    assert!((bits - (5.125 + 2.0 * share)).abs() < 1e-9, "{bits}");
}

#[test]
fn unions_and_intersections_go_by_matrix() {
    let architecture = &Shape::find("stories15m").unwrap().architecture;
    let resolve = |text| profile(text).resolve(architecture).unwrap();
    let (a, b) = (resolve("4,head=8,layers.0=3"), resolve("5,head=3,layers.0.mlp=6"));
    let (both, shared) = (a.union(&b), a.intersection(&b));
    assert_eq!(both, resolve("5,head=8,layers.0.mlp=6"));
    assert_eq!(shared, resolve("4,head=3,layers.0=3"));
    assert!(both.covers(&a) && both.covers(&b) && a.covers(&shared) && b.covers(&shared));
    assert!(!a.covers(&b) && !b.covers(&a) && !a.covers(&both) && a.covers(&a));
}

#[test]
fn names_are_checked_and_found() {
    let json = r#"{"small": 3, "best": {"all": 4, "head": 8}, "deep": "4,layers.5=6"}"#;
    let profiles = NamedProfiles::from_json(json).unwrap();
    assert_eq!(profiles.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["best", "deep", "small"]);
    assert_eq!(profiles.find("best").unwrap(), &profile("4,head=8"));
    let error = profiles.find("worst").unwrap_err().to_string();
    assert!(error.contains("no profile 'worst': it carries best, deep, small"), "{error}");
    let again = NamedProfiles::from_json(&serde_json::to_string(&profiles).unwrap()).unwrap();
    assert_eq!(again, profiles);

    let architecture = Shape::find("stories15m").unwrap().architecture.clone();
    profiles.check(&architecture).unwrap();
    let shallow = Architecture { layers: 5, ..architecture };
    let error = profiles.check(&shallow).unwrap_err().to_string();
    assert!(error.contains("profile 'deep'") && error.contains("layer 5"), "{error}");

    let many: String = (0..65).map(|index| format!(r#""p{index}": 4,"#)).collect();
    for (json, message) in [
        ("[]", "an object of names and profiles"),
        (r#"{"a": 4, "a": 5}"#, "two profiles of the name 'a'"),
        (r#"{"m4": 4}"#, "'m4' cannot be the name of a profile"),
        (r#"{"": 4}"#, "'' cannot be the name"),
        (r#"{"a,b": 4}"#, "'a,b' cannot be the name"),
        (r#"{"a": 2}"#, "2 mantissa bits"),
        (&format!("{{{}\"last\": 4}}", many), "more than 64 profiles"),
    ] {
        let error = NamedProfiles::from_json(json).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(message), "{json}: {cause}");
    }
}

#[test]
fn a_command_line_gives_entries_a_file_or_a_name() {
    let source = |text: &str| text.parse::<ProfileSource>().unwrap();
    assert_eq!(source("best"), ProfileSource::Name("best".into()));
    assert_eq!(source("a/best.json"), ProfileSource::File("a/best.json".into()));
    for entries in ["4", "m4", "E5M4", "4,head=8", "head=8"] {
        assert_eq!(source(entries), ProfileSource::Entries(entries.parse().unwrap()), "{entries}");
    }
    assert!("9".parse::<ProfileSource>().is_err());
}

/// A profile of anything, as its entries in any order.
fn any_entries() -> impl Strategy<Value = Vec<(String, u32)>> {
    let class = proptest::sample::select(vec!["", ".attention", ".mlp"]);
    let layers = proptest::collection::btree_map((0_u16..40, class), 3_u32..=8, 0..12);
    let layers = layers.prop_map(|layers| {
        let key = |(layer, class): (u16, &str)| format!("layers.{layer}{class}");
        layers.into_iter().map(|(at, m)| (key(at), m)).collect::<Vec<_>>()
    });
    let classes = proptest::collection::btree_map(
        proptest::sample::select(TensorClass::ALL.map(TensorClass::name).to_vec()),
        3_u32..=8,
        0..=4,
    );
    (3_u32..=8, classes, layers)
        .prop_map(|(all, classes, layers)| {
            let classes = classes.into_iter().map(|(class, m)| (class.to_owned(), m));
            std::iter::once(("all".to_owned(), all)).chain(classes).chain(layers).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn any_profile_reads_back_and_agrees_with_its_entries(entries in any_entries()) {
        let text = entries.iter().map(|(key, m)| format!("{key}={m}")).collect::<Vec<_>>().join(",");
        let profile = profile(&text);
        prop_assert_eq!(&profile.to_string().parse::<PrecisionProfile>().unwrap(), &profile);
        let json = serde_json::to_string(&profile).unwrap();
        prop_assert_eq!(&serde_json::from_str::<PrecisionProfile>(&json).unwrap(), &profile);
        let entry = |key: &str| entries.iter().find(|(other, _)| other == key).map(|&(_, bits)| m(bits));
        for layer in 0..41 {
            for class in TensorClass::OF_LAYERS {
                let expected = entry(&format!("layers.{layer}.{class}"))
                    .or_else(|| entry(&format!("layers.{layer}")))
                    .or_else(|| entry(class.name()))
                    .or_else(|| entry("all"));
                prop_assert_eq!(Some(profile.layer(layer, class)), expected);
            }
        }
        for limit in Precision::ALL {
            let capped = profile.capped(limit);
            prop_assert!(capped.max() <= limit && capped.capped(limit) == capped);
            for layer in 0..41 {
                let class = TensorClass::Mlp;
                prop_assert_eq!(capped.layer(layer, class), profile.layer(layer, class).min(limit));
            }
        }
    }
}
