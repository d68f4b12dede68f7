//! What the thread of a session and whoever holds the session share: it lets neither wait for the other.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Engine, SessionMetrics, status::Status, stream::Writer};
use crate::{Answer, Error, Gate, PrecisionProfile, Result, governor::Governor};

/// What the worker and whoever holds the session share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) gate: Gate,
    began: Instant,
    pub(super) governor: Mutex<Governor>,
    pub(super) last_decision: Mutex<Option<String>>,
    status: Mutex<Status>,
    /// The stream that was begun last.
    pub(super) current: Mutex<Option<Writer>>,
    /// Whether planes above the profile are to be given back.
    trim: AtomicBool,
    /// Why the session can go on no more.
    pub(super) given_up: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(engine: Engine, governor: Governor, status: Status) -> Self {
        Self {
            engine,
            gate: Gate::new(),
            began: Instant::now(),
            governor: Mutex::new(governor),
            last_decision: Mutex::default(),
            status: Mutex::new(status),
            current: Mutex::default(),
            trim: AtomicBool::new(false),
            given_up: Mutex::default(),
        }
    }

    /// The clock of the governor.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The profile of the next token.
    pub(super) fn settle(&self) -> PrecisionProfile {
        let mut governor = lock(&self.governor);
        governor.settle(self.began.elapsed());
        governor.profile()
    }

    /// Changes the figures.
    pub(super) fn status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut lock(&self.status));
    }

    /// The worker trims before its next token, as its pass may read what would be given back meanwhile, and
    /// nobody else waits for a device that is at work. A worker that is idle or held would not.
    pub(super) fn ask_to_trim(&self) {
        self.trim.store(true, Ordering::SeqCst);
        if self.gate.is_closed() || !lock(&self.status).generating {
            self.trim_if_asked();
        }
    }

    pub(super) fn trim_if_asked(&self) {
        if self.trim.swap(false, Ordering::SeqCst) {
            // The profile fits the model, so this does not fail.
            let _: Result<()> = self.engine.model().trim(self.settle());
            let weight_bytes = self.engine.model().resident_bytes();
            self.status(|status| status.weight_bytes = weight_bytes);
        }
    }

    /// Takes note of a step of the generation.
    pub(super) fn step(&self, answer: &Answer<'_>, time: Duration) {
        self.engine.survived();
        let figures = answer.metrics();
        let weight_bytes = self.engine.model().resident_bytes();
        self.status(|status| {
            status.step(&figures, time);
            status.context_used = answer.context_used();
            status.kv_bytes = answer.kv_bytes();
            status.weight_bytes = weight_bytes;
            status.weight_bytes_per_token = figures.weight_bytes_per_token;
        });
    }

    pub(super) fn note_error(&self, error: &Error) {
        self.engine.note_error(error);
    }

    /// Lets the session do no more.
    pub(super) fn give_up(&self, error: &Error) {
        *lock(&self.given_up) = Some(format!("the session has failed, open another one; {error}"));
    }

    /// All figures.
    pub(super) fn metrics(&self) -> SessionMetrics {
        let (profile, wanted_profile) = {
            let mut governor = lock(&self.governor);
            governor.settle(self.began.elapsed());
            (governor.profile(), governor.wanted().clone())
        };
        let status = lock(&self.status).clone();
        SessionMetrics {
            profile,
            wanted_profile,
            generating: status.generating,
            suspended: self.gate.is_closed(),
            prompt_tokens: status.prompt_tokens,
            reused_tokens: status.reused_tokens,
            generated_tokens: status.generated_tokens,
            first_token: if status.generated_tokens > 0 { status.prefill } else { Duration::ZERO },
            prefill_tokens_per_second: status.prefill_tokens_per_second(),
            decode_tokens_per_second: status.decode_tokens_per_second(),
            finish_reason: status.finish_reason,
            context_used: status.context_used,
            context_length: status.context_length,
            kv_bytes: status.kv_bytes,
            weight_bytes: status.weight_bytes,
            weight_bytes_per_token: status.weight_bytes_per_token,
            last_decision: lock(&self.last_decision).clone(),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
