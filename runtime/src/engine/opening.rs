//! Opening a model on a thread of its own.

use std::{sync::Arc, thread};

use super::{Engine, EngineOptions, OpenProgress, guard::guard, watched::Watched, worker::STACK_BYTES};
use crate::{CancelToken, Error, ErrorKind, Result, checkpoint::ModelSource};

/// A model that is being opened. Dropping it cancels.
#[derive(Debug)]
pub struct Opening {
    state: Arc<Watched<State>>,
    cancel: CancelToken,
}

#[derive(Debug, Default)]
struct State {
    progress: OpenProgress,
    /// Whether somebody has been told of this progress.
    told: bool,
    end: End,
}

#[derive(Debug, Default)]
enum End {
    #[default]
    NotYet,
    Opened(Result<Engine>),
    Taken,
}

impl Opening {
    /// Begins to open a model.
    ///
    /// # Errors
    /// [`Device`](ErrorKind::Device) when the system has no thread to give.
    pub fn begin(source: ModelSource, options: EngineOptions) -> Result<Self> {
        let state = Arc::new(Watched::new(State::default()));
        let cancel = CancelToken::new();
        let opening = Self { state: Arc::clone(&state), cancel: cancel.clone() };
        let work = move || {
            let opened = guard(|| {
                Engine::open(source, &options, &mut |progress| {
                    state.update(|state| (state.progress, state.told) = (progress, false));
                    cancel.check()
                })
            });
            state.update(|state| state.end = End::Opened(opened));
        };
        thread::Builder::new().name("otaro-open".to_owned()).stack_size(STACK_BYTES).spawn(work).map_err(
            |error| Error::new(ErrorKind::Device, "the system has no thread to give").with_source(error),
        )?;
        Ok(opening)
    }

    /// How far it is.
    pub fn progress(&self) -> OpenProgress {
        self.state.look(|state| state.progress)
    }

    /// How far it is, when that is news; `None` once it is over. Steps in between are left out.
    pub async fn next_progress(&self) -> Option<OpenProgress> {
        self.state.take(State::news).await
    }

    /// The opened model, for the first who asks.
    ///
    /// # Errors
    /// As [`Engine::open`]; [`Cancelled`](ErrorKind::Cancelled); [`InvalidArgument`](ErrorKind::InvalidArgument) for
    /// everybody after the first.
    pub async fn engine(&self) -> Result<Engine> {
        self.state.take(State::take).await
    }

    /// As [`engine`](Self::engine), blocking this thread.
    ///
    /// # Errors
    /// As [`engine`](Self::engine).
    pub fn engine_blocking(&self) -> Result<Engine> {
        self.state.take_blocking(State::take)
    }

    /// Ends it: at the next step, of which the longest are the trial of a GPU and the upload of a plane.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl State {
    fn news(&mut self) -> Option<Option<OpenProgress>> {
        match (std::mem::replace(&mut self.told, true), &self.end) {
            (false, _) => Some(Some(self.progress)),
            (true, End::NotYet) => None,
            (true, _) => Some(None),
        }
    }

    fn take(&mut self) -> Option<Result<Engine>> {
        match std::mem::replace(&mut self.end, End::Taken) {
            End::NotYet => {
                self.end = End::NotYet;
                None
            }
            End::Opened(result) => Some(result),
            End::Taken => {
                let reason = "the opened model was taken before: keep it and share it";
                Some(Err(Error::new(ErrorKind::InvalidArgument, reason)))
            }
        }
    }
}
