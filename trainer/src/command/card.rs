//! The model card: what the model is, how it was made, how good it is at each precision.

use std::fmt::Write;

use otaro::Reconstruction;

use crate::{model::parameters, strategy::Width, summary::RunSummary, train::RunSettings};

/// The text of `README.md`.
pub fn card(settings: &RunSettings, summary: &RunSummary) -> String {
    let mut text = format!("# {}\n\n", summary.model);
    let a = &settings.architecture;
    let weights: usize = parameters(a).iter().map(|parameter| parameter.shape[0] * parameter.shape[1]).sum();
    let _ = writeln!(
        text,
        "A LLaMA model of {:.2} million parameters ({} layers, width {}, {} heads, {} key and value heads, \
         vocabulary {}, context {}), trained with `otaro-train` and packed for every precision from E5M3 to E5M8.\n",
        weights as f64 / 1e6,
        a.layers,
        a.hidden_size,
        a.heads,
        a.kv_heads,
        a.vocab_size,
        a.context_length
    );
    let _ = writeln!(text, "## Training\n");
    for (name, value) in &summary.settings {
        let _ = writeln!(text, "- {name}: {value}");
    }
    let _ = writeln!(
        text,
        "- {} steps, {} scored tokens, {:.0} minutes of training",
        summary.steps,
        summary.tokens,
        summary.seconds / 60.0
    );
    if !summary.evaluations.is_empty() {
        text += &perplexities(summary);
    }
    text
}

fn perplexities(summary: &RunSummary) -> String {
    let mut text = String::from("\n## Perplexity\n\n| reconstruction |");
    for width in Width::ALL {
        let _ = write!(text, " {width} |");
    }
    text += "\n|---|";
    text += &"---|".repeat(Width::ALL.len());
    for reconstruction in [Reconstruction::Midpoint, Reconstruction::Truncate] {
        let _ = write!(text, "\n| {reconstruction} |");
        for width in Width::ALL {
            match summary.perplexity(reconstruction, width) {
                Some(perplexity) => _ = write!(text, " {perplexity:.3} |"),
                None => text += " |",
            }
        }
    }
    text + "\n"
}
