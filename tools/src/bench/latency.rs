//! How long a user waits: for a model to open, and for the first token after a change of the profile.

use std::time::{Duration, Instant};

use otaro::{CancelToken, Model, PrecisionProfile, Result, Session};
use serde::Serialize;

use super::{
    measure::Tokens,
    models::Subject,
    plan::Setup,
    statistics::{largest, median},
};

/// One kind of waiting.
#[derive(Serialize)]
pub struct LatencyRow {
    model: String,
    device: String,
    /// `open`, or the profiles before and after a change.
    what: String,
    /// The first time, when the planes may not be in memory yet.
    first_ms: f64,
    median_ms: f64,
    max_ms: f64,
    samples_ms: Vec<f64>,
}

impl LatencyRow {
    pub const HEADER: [&str; 6] = ["model", "device", "what", "first ms", "median ms", "max ms"];

    fn new(subject: &Subject, model: &Model, what: String, samples: &[f64]) -> Self {
        // The first is not like the others, unless it is the only one.
        let rest = if samples.len() > 1 { &samples[1..] } else { samples };
        Self {
            model: subject.name.clone(),
            device: model.device_info().to_string(),
            what,
            first_ms: samples.first().copied().unwrap_or(f64::NAN),
            median_ms: median(rest).unwrap_or(f64::NAN),
            max_ms: largest(rest).unwrap_or(f64::NAN),
            samples_ms: samples.to_vec(),
        }
    }

    pub fn cells(&self) -> [String; 6] {
        let ms = |value: f64| format!("{value:.3}");
        let (first, median, max) = (ms(self.first_ms), ms(self.median_ms), ms(self.max_ms));
        [self.model.clone(), self.device.clone(), self.what.clone(), first, median, max]
    }
}

/// Opens a model `repetitions` times, then goes round the profiles as often.
pub fn measure(
    subject: &Subject,
    setup: &Setup,
    profiles: &[PrecisionProfile],
    repetitions: usize,
    cancel: &CancelToken,
    rows: &mut Vec<LatencyRow>,
) -> Result<()> {
    let (mut times, mut opened) = (Vec::new(), None);
    // Once more than is asked for, because the first counts apart.
    for _ in 0..=repetitions {
        cancel.check()?;
        drop(opened.take());
        let start = Instant::now();
        let model = Model::open(&subject.path, &setup.options())?;
        let session = model.session(&profiles[0])?;
        times.push(milliseconds(start.elapsed()));
        opened = Some((model, session));
    }
    let Some((model, mut session)) = opened else { return Ok(()) };
    rows.push(LatencyRow::new(subject, &model, "open to ready".to_string(), &times));

    let mut tokens = Tokens::new(model.architecture().vocab_size);
    let mut delays = vec![Vec::new(); profiles.len()];
    token(&mut session, &mut tokens, cancel)?;
    for _ in 0..=repetitions {
        for (index, delays) in delays.iter_mut().enumerate() {
            let next = &profiles[(index + 1) % profiles.len()];
            delays.push(delay(&mut session, next, &mut tokens, cancel)?);
        }
    }
    // With one profile there is no change.
    for (index, delays) in delays.iter().enumerate().filter(|_| profiles.len() > 1) {
        let change = format!("{} to {}", profiles[index], profiles[(index + 1) % profiles.len()]);
        rows.push(LatencyRow::new(subject, &model, change, delays));
    }
    Ok(())
}

/// By how many milliseconds the first token after a change took longer than the second, which is at
/// the same position.
fn delay(
    session: &mut Session,
    next: &PrecisionProfile,
    tokens: &mut Tokens,
    cancel: &CancelToken,
) -> Result<f64> {
    session.truncate(0);
    let start = Instant::now();
    session.set_profile(next)?;
    session.top_k(&[tokens.next()], 1, cancel)?;
    let first = start.elapsed();
    session.truncate(0);
    Ok(milliseconds(first) - milliseconds(token(session, tokens, cancel)?))
}

fn token(session: &mut Session, tokens: &mut Tokens, cancel: &CancelToken) -> Result<Duration> {
    let start = Instant::now();
    session.top_k(&[tokens.next()], 1, cancel)?;
    Ok(start.elapsed())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
