//! Asking a running generation to stop, from any thread.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A flag that clones share: whoever holds one can ask the generation to stop.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a stop. May be called from a signal handler or another thread; takes effect at the
    /// next check, between chunks of work of some 50 ms.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Forgets the request, so that the token serves the next generation.
    pub fn reset(&self) {
        self.cancelled.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_flag() {
        let token = CancelToken::new();
        let other = token.clone();
        assert!(!token.is_cancelled());
        other.cancel();
        assert!(token.is_cancelled());
        token.reset();
        assert!(!other.is_cancelled());
    }
}
