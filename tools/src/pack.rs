//! `otaro pack`

use std::path::PathBuf;

use anyhow::ensure;
use otaro::{
    Checkpoint, Reconstruction, Scale,
    pack::{PackOptions, pack_folder},
};

use crate::progress;

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of a Hugging Face LLaMA model: config.json, tokenizer.json, *.safetensors
    folder: PathBuf,
    /// The file to write, usually NAME.sefp.safetensors
    output: PathBuf,
    /// How truncated weights are read back: midpoint or truncate (the paper's)
    #[arg(long, default_value_t)]
    reconstruction: Reconstruction,
    /// How finely groups of weights are scaled: fine (eight steps an octave) or power-of-two (the paper's)
    #[arg(long, default_value_t)]
    scale: Scale,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let output = &arguments.output;
    ensure!(arguments.force || !output.exists(), "{} exists; --force replaces it", output.display());
    let cancel = progress::cancel_on_interrupt()?;
    let bar = progress::bar(0, "packing", "weights");
    let options = PackOptions { reconstruction: arguments.reconstruction, scale: arguments.scale };
    pack_folder(&arguments.folder, output, &options, &mut |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        cancel.check()
    })?;
    bar.finish_and_clear();
    let checkpoint = Checkpoint::open(output)?;
    eprintln!(
        "{}: {} weights in {} bytes, E5M3 to {}",
        output.display(),
        checkpoint.architecture().packed_weights(),
        checkpoint.complete_bytes(),
        checkpoint.available()?,
    );
    Ok(())
}
