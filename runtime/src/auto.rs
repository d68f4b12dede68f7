//! Chooses a device by fact: a GPU answers only if it computes what the CPU computes, and does so
//! faster, on this model, here and now.

use std::time::{Duration, Instant};

use sefp::Precision;

use crate::{CancelToken, Error, ErrorKind, Model, Result, Session};

/// Tokens of the trial: a prompt for the conformance check, then single tokens to be timed.
const PROMPT: [u32; 5] = [1, 2, 3, 5, 8];
/// Timed passes; the fastest counts.
const TIMED_PASSES: u32 = 3;
/// Largest normalised error (root mean square of the difference over that of the logits) of a GPU
/// that is trusted. Another order of f32 sums stays below 1e-4; a wrong kernel is near 1.
const TOLERANCE: f64 = 0.01;

/// Whether a GPU is to be preferred, and why, in words for a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) use_gpu: bool,
    pub(crate) reason: String,
}

/// Runs the trial at the lowest precision, which every file holds and a GPU uploads soonest.
///
/// A GPU computes with activations in `f32`, so it is held against a CPU that does the same, `exact`;
/// the time to beat is that of the kernels which would answer, `cpu`.
pub(crate) fn trial(cpu: &Model, exact: &Model, gpu: &Model) -> Verdict {
    let refused = |reason: String| Verdict { use_gpu: false, reason };
    let name = &gpu.device_info().name;
    let measured = logits(exact).and_then(|(_, exact_logits)| Ok((exact_logits, measure(cpu)?.1)));
    let (cpu_logits, cpu_time) = match measured {
        Ok(measured) => measured,
        // Whoever opened the model will meet the same error with a better message.
        Err(error) => return refused(format!("the trial failed on the CPU: {error}")),
    };
    let (gpu_logits, gpu_time) = match measure(gpu) {
        Ok(measured) => measured,
        Err(error) => return refused(format!("{name} failed the trial: {error}")),
    };
    let error = normalised_error(&gpu_logits, &cpu_logits);
    if error.is_nan() || error > TOLERANCE {
        return refused(format!("{name} computes other numbers than the CPU (normalised error {error:.1e})"));
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let (cpu, gpu) = (milliseconds(cpu_time), milliseconds(gpu_time));
    Verdict { use_gpu: gpu < cpu, reason: format!("{gpu:.1} ms a token on {name}, {cpu:.1} ms on the CPU") }
}

/// The logits after the prompt, and the session that they came from.
fn logits(model: &Model) -> Result<(Session, Vec<f32>)> {
    let architecture = model.architecture();
    if architecture.context_length < PROMPT.len() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "the context of the model is too short for a trial",
        ));
    }
    let mut session = model.session(Precision::MIN)?;
    let logits = session.logits(&prompt(model), &CancelToken::new())?;
    Ok((session, logits))
}

fn measure(model: &Model) -> Result<(Vec<f32>, Duration)> {
    let (mut session, logits) = logits(model)?;
    let mut best = Duration::MAX;
    for _ in 0..TIMED_PASSES {
        session.truncate(PROMPT.len() - 1);
        let start = Instant::now();
        session.top_k(&prompt(model)[..1], 1, &CancelToken::new())?;
        best = best.min(start.elapsed());
    }
    Ok((logits, best))
}

fn prompt(model: &Model) -> [u32; PROMPT.len()] {
    PROMPT.map(|token| token % model.architecture().vocab_size as u32)
}

fn normalised_error(values: &[f32], reference: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = values.iter().zip(reference).map(|(v, r)| square(v - r)).sum();
    let power: f64 = reference.iter().copied().map(square).sum();
    (error / power).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, cpu::CpuOptions, pack::RandomWeights, test_checkpoint};

    fn model(seed: u64) -> Model {
        let architecture = Architecture {
            vocab_size: 50,
            hidden_size: 32,
            intermediate_size: 48,
            layers: 1,
            heads: 2,
            kv_heads: 1,
            head_dim: 16,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            context_length: 16,
            tied_head: true,
        };
        let mut weights = RandomWeights::new(&architecture, seed);
        let (_folder, checkpoint) = test_checkpoint::write(&architecture, &mut weights, Vec::new(), "none");
        Model::on_cpu(checkpoint, None, &CpuOptions::default()).expect("every machine has a CPU")
    }

    #[test]
    fn a_device_that_computes_other_numbers_is_refused() {
        let verdict = trial(&model(1), &model(1), &model(2));
        assert!(!verdict.use_gpu && verdict.reason.contains("computes other numbers"), "{verdict:?}");
    }

    #[test]
    fn a_device_that_computes_the_same_is_chosen_by_time() {
        let verdict = trial(&model(1), &model(1), &model(1));
        assert!(verdict.reason.contains("ms a token"), "{verdict:?}");
    }

    #[test]
    fn the_error_is_relative_to_the_reference() {
        assert_eq!(normalised_error(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(normalised_error(&[0.0, 0.0], &[3.0, 4.0]), 1.0);
        assert!(normalised_error(&[f32::NAN, 0.0], &[3.0, 4.0]).is_nan());
    }
}
