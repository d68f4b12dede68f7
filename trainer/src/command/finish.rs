//! What a finished run leaves: the packed model, its card, its figures.

use std::fs;

use anyhow::{Context, Result};
use otaro::pack::pack_folder;

use super::{arguments::RunArguments, start::{Start, copy_text_files}};
use crate::{
    model::save_weights,
    strategy::Width,
    train::{Trainer, replace},
};

/// Evaluates at every width, then writes the model.
///
/// # Errors
/// Those of the file system; weights that SEFP cannot hold.
pub fn finish(arguments: &RunArguments, trainer: &Trainer<'_>, start: &Start) -> Result<()> {
    if let Some(evaluation) = &start.evaluation {
        let windows: Vec<_> = evaluation.iter().collect();
        for width in Width::ALL {
            let (sum, tokens) = trainer.evaluate(width, &windows)?;
            println!("{width:>5} perplexity {:.3}", (sum / tokens as f64).exp());
        }
    }
    let folder = tempfile::tempdir_in(&arguments.out)?;
    save_weights(folder.path(), &trainer.progress().settings.architecture, &trainer.weights().to_host()?)?;
    copy_text_files(&start.tokenizer, folder.path())?;
    let packed = arguments.out.join("model.sefp.safetensors");
    pack_folder(folder.path(), &packed, arguments.reconstruction, &mut |_| Ok(()))?;
    println!("{}", packed.display());
    if arguments.huggingface {
        let place = arguments.out.join("huggingface");
        fs::create_dir_all(&place).with_context(|| format!("cannot make the folder {}", place.display()))?;
        for entry in fs::read_dir(folder.path())? {
            let entry = entry?;
            replace(&place.join(entry.file_name()), |temporary| {
                fs::copy(entry.path(), temporary)?;
                Ok(())
            })?;
        }
        println!("{}", place.display());
    }
    Ok(())
}
