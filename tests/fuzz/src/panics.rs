//! Panics that the runtime catches. The `tokenizers` crate panics on some rules that a file may
//! hold, and the runtime makes an error of that. libFuzzer's own hook would end the process before
//! anything can catch, so targets that read tokenizers use these two functions instead.

use std::{
    panic::{UnwindSafe, catch_unwind, set_hook},
    process::abort,
    sync::Mutex,
};

static LAST: Mutex<String> = Mutex::new(String::new());

/// Replaces the hook of libFuzzer by one that only notes what was said.
pub fn note() {
    set_hook(Box::new(|panic| {
        if let Ok(mut last) = LAST.lock() {
            *last = panic.to_string();
        }
    }));
}

/// Runs a target; a panic that reaches this place is a finding.
pub fn abort_on_escape(target: impl FnOnce() + UnwindSafe) {
    if catch_unwind(target).is_err() {
        eprintln!("{}", LAST.lock().map(|last| last.clone()).unwrap_or_default());
        abort();
    }
}
