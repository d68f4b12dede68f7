//! Signals that end a command in an orderly way.

use anyhow::Result;
use otaro::CancelToken;

/// Cancels on Ctrl-C, and on what `mpirun` sends for it: SIGTERM.
///
/// # Errors
/// A handler is set already.
pub fn stop_on_signals(cancel: &CancelToken) -> Result<()> {
    let handler = cancel.clone();
    #[cfg(unix)]
    // SAFETY: SIG_IGN is a valid disposition, and no handler was set before.
    let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    ctrlc::set_handler(move || handler.cancel())?;
    #[cfg(unix)]
    if before == libc::SIG_IGN {
        // Under nohup the run goes on without its terminal.
        // SAFETY: as above; every signal has its own disposition.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    }
    Ok(())
}
