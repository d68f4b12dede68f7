//! Where panics end.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{Error, ErrorKind, Result};

/// Runs `work`; a panic in it becomes an error of kind [`Panicked`](ErrorKind::Panicked) with the text of the panic.
///
/// What `work` was changing may be half changed then, so let nobody use it again.
///
/// # Errors
/// That one, and what `work` returns.
pub fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "it left no text".to_owned());
    Error::new(ErrorKind::Panicked, format!("a defect of otaro, please report it: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        let text = |work: fn()| {
            let error = guard(|| {
                work();
                Ok(())
            });
            let error = error.expect_err("a panic");
            assert_eq!(error.kind(), ErrorKind::Panicked);
            error.to_string()
        };
        assert!(text(|| panic!("plane 9")).ends_with(": plane 9"));
        assert!(text(|| panic!("plane {}", 9)).ends_with(": plane 9"));
        assert!(text(|| std::panic::panic_any(9)).ends_with("no text"));
        assert_eq!(guard(|| Ok(5)).expect("no panic"), 5);
    }
}
