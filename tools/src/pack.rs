//! `otaro pack`

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use otaro::{
    Checkpoint, NamedProfiles, Reconstruction, Scale,
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
    /// A JSON file of precision profiles that the file is to carry, by name, as in
    /// {"balanced": {"all": 4, "head": 8}}
    #[arg(long, value_name = "FILE")]
    profile_file: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let output = &arguments.output;
    ensure!(arguments.force || !output.exists(), "{} exists; --force replaces it", output.display());
    let profiles = match &arguments.profile_file {
        Some(path) => read_profiles(path)?,
        None => NamedProfiles::default(),
    };
    let options = PackOptions { reconstruction: arguments.reconstruction, scale: arguments.scale, profiles };
    let cancel = progress::cancel_on_interrupt()?;
    let bar = progress::bar(0, "packing", "weights");
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

fn read_profiles(path: &Path) -> anyhow::Result<NamedProfiles> {
    let json = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    NamedProfiles::from_json(&json).with_context(|| path.display().to_string())
}
