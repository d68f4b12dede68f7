//! Precision profiles on the CPU: every matrix is read at its own precision, and a switch of the profile changes
//! the weights of the next token and nothing else.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{ops::Range, sync::Arc};

use otaro::{
    Architecture, CancelToken, Checkpoint, ErrorKind, MatrixPrecisions, Model, Norm, Precision,
    PrecisionProfile, Reconstruction, Session, WeightMatrix,
    checkpoint::{Section, WeightSource},
    cpu::{CpuKernel, CpuOptions, FullWeights, KvFormat},
};
use otaro_tests::{temporary_folder, tiny};

const TOKENS: [u32; 8] = [1, 17, 42, 5, 33, 8, 90, 11];
const PROFILES: [&str; 7] = [
    "4",
    "4,head=8",
    "3,embedding=8",
    "8,embedding=4,head=3",
    "3,attention=8,layers.1=5",
    "6,mlp=3,layers.0.mlp=8,layers.1.attention=4",
    "embedding=8,attention=3,mlp=5,head=6",
];

fn profile(text: &str) -> PrecisionProfile {
    text.parse().unwrap()
}

/// The weights of a checkpoint as numbers, each matrix decoded by the codec at a precision of its own. The head
/// is always a matrix of its own.
struct Decoded<'a> {
    checkpoint: &'a Checkpoint,
    precisions: MatrixPrecisions,
}

impl WeightSource for Decoded<'_> {
    fn rows(&mut self, matrix: WeightMatrix, rows: Range<usize>) -> otaro::Result<Vec<f32>> {
        let (stored, precision) = match matrix {
            WeightMatrix::Embedding => (matrix, self.precisions.embedding()),
            WeightMatrix::Head => (self.checkpoint.architecture().head(), self.precisions.product(matrix)),
            WeightMatrix::Layer(..) => (matrix, self.precisions.product(matrix)),
        };
        let view = self.checkpoint.tiles(stored, precision)?;
        let mut weights = vec![0.0; rows.len() * view.grid().cols];
        for (row, out) in rows.zip(weights.chunks_mut(view.grid().cols)) {
            view.decode_row(row, precision, Reconstruction::Midpoint, out);
        }
        Ok(weights)
    }

    fn norm(&mut self, norm: Norm) -> otaro::Result<Vec<f32>> {
        self.checkpoint.norm(norm).map(<[f32]>::to_vec)
    }
}

/// The unquantised model whose weights are those that the profile reads.
fn by_hand(checkpoint: &Checkpoint, profile: &PrecisionProfile) -> Model {
    let precisions = profile.resolve(checkpoint.architecture()).unwrap();
    let untied = Architecture { tied_head: false, ..checkpoint.architecture().clone() };
    let weights = FullWeights::load(&untied, &mut Decoded { checkpoint, precisions }).unwrap();
    Model::full_precision(&untied, weights, &CpuOptions::PLAIN).unwrap()
}

fn logits(session: &mut Session, tokens: &[u32]) -> Vec<f32> {
    session.logits(tokens, &CancelToken::new()).unwrap()
}

fn models() -> impl Iterator<Item = (tempfile::TempDir, Arc<Checkpoint>)> {
    [tiny::irregular(), tiny::regular()].into_iter().map(|architecture| {
        let folder = temporary_folder();
        let path = folder.path().join("model.sefp.safetensors");
        let checkpoint = Arc::new(tiny::checkpoint(&path, &architecture, 7));
        (folder, checkpoint)
    })
}

/// Tied and untied, a prompt and a token after it. The same twins run over both, so every bit is the same.
#[test]
fn every_matrix_is_read_at_its_own_precision() {
    for (_folder, checkpoint) in models() {
        let options = CpuOptions { kv_format: KvFormat::F32, ..CpuOptions::PLAIN };
        let model = Model::on_cpu(Arc::clone(&checkpoint), None, &options).unwrap();
        let mut seen = Vec::new();
        for text in PROFILES {
            let profile = profile(text);
            let reference = by_hand(&checkpoint, &profile);
            let (mut session, mut expected) =
                (model.session(&profile).unwrap(), reference.session(Precision::MAX).unwrap());
            for tokens in [&TOKENS[..5], &TOKENS[5..6]] {
                assert_eq!(logits(&mut session, tokens), logits(&mut expected, tokens), "{text}");
            }
            let cancel = CancelToken::new();
            let embedded = session.hidden_states(&TOKENS[6..], 0, &cancel).unwrap();
            assert_eq!(embedded, expected.hidden_states(&TOKENS[6..], 0, &cancel).unwrap(), "{text}");
            seen.push(logits(&mut session, &TOKENS[6..]));
        }
        let different = |(index, one): (usize, &Vec<f32>)| !seen[..index].contains(one);
        assert!(seen.iter().enumerate().all(different), "each profile computes something else");
    }
}

/// The kernels with activations in 8 bits share every bit with their twin, which is near to the plain one.
#[test]
fn every_kernel_reads_profiles() {
    for (_folder, checkpoint) in models() {
        let walk = |kernel: CpuKernel, text: &str| {
            let options = CpuOptions { kernel: Some(kernel), ..CpuOptions::default() };
            let model = Model::on_cpu(Arc::clone(&checkpoint), None, &options).unwrap();
            let mut session = model.session(profile(text)).unwrap();
            session.prefill(&TOKENS[..7], &CancelToken::new()).unwrap();
            logits(&mut session, &TOKENS[7..])
        };
        for text in PROFILES {
            let (plain, int8) = (walk(CpuKernel::Plain, text), walk(CpuKernel::Int8, text));
            let scale = plain.iter().fold(0.0, |max: f32, value| max.max(value.abs()));
            for (other, tolerance) in [(&int8, 0.05), (&walk(CpuKernel::Exact, text), 1e-4)] {
                let off = other.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < tolerance * scale, "{text}: off by {} of the largest", off / scale);
            }
            let twins = [CpuKernel::Plain, CpuKernel::Exact, CpuKernel::Int8];
            let fast = |kernel: &CpuKernel| kernel.is_available() && !twins.contains(kernel);
            for kernel in CpuKernel::ALL.into_iter().filter(fast) {
                assert!(walk(kernel, text) == int8, "{kernel}, {text}");
            }
        }
    }
}

#[test]
fn a_switch_of_the_profile_changes_the_next_token_and_nothing_else() {
    for (_folder, checkpoint) in models() {
        let model = Model::on_cpu(checkpoint, None, &CpuOptions::default()).unwrap();
        let walk = |session: &mut Session, tokens: &[u32], profiles: &[&str]| {
            let step = |(&token, text): (&u32, &&str)| {
                session.set_profile(profile(text)).unwrap();
                logits(session, &[token])
            };
            tokens.iter().zip(profiles).map(step).collect::<Vec<_>>()
        };
        let steady = ["6,mlp=3"; 8];
        let mut switched = steady;
        switched[4..].copy_from_slice(&["3,head=8", "5", "6,mlp=4", "6,mlp=3,layers.1=3"]);
        let mut session = model.session(Precision::E5M8).unwrap();
        let first = walk(&mut session, &TOKENS, &switched);
        let unswitched = walk(&mut model.session(profile(steady[0])).unwrap(), &TOKENS, &steady);
        assert_eq!(first[..4], unswitched[..4]);
        assert!((4..8).all(|index| first[index] != unswitched[index]));
        session.truncate(4);
        assert_eq!(walk(&mut session, &TOKENS[4..], &switched[4..]), first[4..], "the cache stays valid");
        session.truncate(4);
        assert_eq!(walk(&mut session, &TOKENS[4..], &steady[4..]), unswitched[4..]);
    }
}

#[test]
fn a_profile_that_is_the_same_everywhere_is_a_precision() {
    for (_folder, checkpoint) in models() {
        let model = Model::on_cpu(checkpoint, None, &CpuOptions::default()).unwrap();
        for precision in Precision::ALL {
            let m = precision.mantissa_bits();
            let spelled = profile(&format!("embedding={m},attention={m},mlp={m},head={m},layers.0-1={m}"));
            let [mut one, mut other] =
                [precision.into(), spelled].map(|p: PrecisionProfile| model.session(p).unwrap());
            assert_eq!(logits(&mut one, &TOKENS), logits(&mut other, &TOKENS), "{precision}");
            assert_eq!(one.weight_bytes_per_token(), other.weight_bytes_per_token());
        }
    }
}

/// What a profile takes and gives back, by what the codec says of planes.
#[test]
fn bytes_follow_the_profile() {
    for (_folder, checkpoint) in models() {
        let architecture = checkpoint.architecture().clone();
        let model = Model::on_cpu(Arc::clone(&checkpoint), None, &CpuOptions::default()).unwrap();
        let bytes = |text: &str| profile(text).resolve(&architecture).unwrap().weight_bytes(&architecture);
        let mut session = model.session(profile("3,embedding=8")).unwrap();
        assert_eq!(model.resident_bytes(), 0, "nothing before the first pass");
        // A row of the embedding is looked up; as a tied head all of it is read, at three bits.
        let low = model.session(Precision::E5M3).unwrap();
        assert_eq!(session.weight_bytes_per_token(), low.weight_bytes_per_token());
        logits(&mut session, &TOKENS[..1]);
        assert_eq!(model.resident_bytes(), bytes("3,embedding=8"));
        session.set_profile(profile("4,head=6,layers.1=5")).unwrap();
        logits(&mut session, &TOKENS[1..2]);
        let all = "4,embedding=8,head=6,layers.1=5";
        assert_eq!(model.resident_bytes(), bytes(all), "what was read stays");
        model.trim(profile("4,layers.0=3")).unwrap();
        assert_eq!(model.resident_bytes(), bytes("4,layers.0=3"));
        let after = logits(&mut session, &TOKENS[2..3]);
        assert_eq!(model.resident_bytes(), bytes("4,head=6,layers.1=5"));
        session.truncate(2);
        assert_eq!(logits(&mut session, &TOKENS[2..3]), after, "the planes come back as they were");
        let error = model.trim(profile("4,layers.2=3")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}

#[test]
fn planes_and_layers_that_are_missing_are_refused_and_change_nothing() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    let whole = tiny::checkpoint(&path, &tiny::regular(), 7);
    let end = whole.sections()[Section::completing(Precision::E5M5) as usize].end;
    let bytes = std::fs::read(&path).unwrap();
    let prefix = folder.path().join("prefix.sefp.safetensors");
    std::fs::write(&prefix, &bytes[..(whole.data_start() + end) as usize]).unwrap();
    let model =
        Model::on_cpu(Arc::new(Checkpoint::open(&prefix).unwrap()), None, &CpuOptions::default()).unwrap();
    let mut session = model.session(profile("3,head=5")).unwrap();
    let before = logits(&mut session, &TOKENS);
    for text in ["3,head=6", "5,layers.1.mlp=8"] {
        let error = session.set_profile(profile(text)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingPlanes, "{text}");
        assert!(error.to_string().contains("missing bit6"), "{text}: {error}");
        assert_eq!(model.session(profile(text)).unwrap_err().kind(), ErrorKind::MissingPlanes);
        assert_eq!(model.prepare(profile(text)).unwrap_err().kind(), ErrorKind::MissingPlanes);
    }
    let error = session.set_profile(profile("3,layers.2=3")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("the model has layers 0 to 1"), "{error}");
    assert_eq!(session.profile(), &profile("3,head=5"), "a refused change changes nothing");
    session.truncate(0);
    assert_eq!(logits(&mut session, &TOKENS), before);
    std::fs::write(&prefix, &bytes).unwrap();
    session.set_profile(profile("3,head=6")).unwrap();
    logits(&mut session, &TOKENS);
}
