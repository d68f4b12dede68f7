//! Progress bars and Ctrl-C, the same for every long command.

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use otaro::CancelToken;

/// A bar on standard error; none where that is not a terminal. `unit` names what is counted.
pub fn bar(total: u64, message: &str, unit: &str) -> ProgressBar {
    let template =
        format!("{{msg}} [{{bar:32}}] {{percent:>3}} % {{human_pos}}/{{human_len}} {unit}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_message(message.to_string())
}

/// A token that Ctrl-C cancels.
pub fn cancel_on_interrupt() -> anyhow::Result<CancelToken> {
    let cancel = CancelToken::new();
    let on_interrupt = cancel.clone();
    ctrlc::set_handler(move || on_interrupt.cancel()).context("cannot listen for Ctrl-C")?;
    Ok(cancel)
}
