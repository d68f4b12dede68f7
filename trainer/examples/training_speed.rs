//! Seconds per training step of a model of random weights, on random tokens; `tests/bench/training_speed.py`
//! runs it beside PyTorch.

use std::{path::PathBuf, time::Instant};

use clap::Parser;
use otaro::{Precision, Reconstruction};
use otaro_trainer::{
    data::Window,
    memory::keep_freed_memory,
    model::{Llama, TensorSet, fake_quantize, initialize, parameters, read_architecture},
    train::{GradientEngine, Optimizer, OptimizerSettings, Passes, Rule, scored},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Times training steps
#[derive(Parser)]
struct Arguments {
    /// The `config.json` of the model
    config: PathBuf,
    /// Windows of a batch
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Windows of a micro-batch
    #[arg(long, default_value_t = 4)]
    micro_batch: usize,
    /// Tokens of a window
    #[arg(long, default_value_t = 256)]
    length: usize,
    /// Timed steps, after two that are not
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Micro-batches at a time
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Mantissa bits; unquantised without
    #[arg(long)]
    bits: Option<u32>,
    /// Muon instead of AdamW
    #[arg(long)]
    muon: bool,
}

fn main() -> anyhow::Result<()> {
    keep_freed_memory();
    let arguments = Arguments::parse();
    let architecture = read_architecture(&arguments.config)?;
    let device = burn::tensor::Device::flex();
    let parameters = parameters(&architecture);
    let mut weights = TensorSet::from_host(initialize(&architecture, 1), &parameters, &device)?;
    let model = Llama::new(&architecture, arguments.length, &device);
    let engine = GradientEngine::new(model, device, arguments.threads, arguments.micro_batch);
    let mut optimizer = Optimizer::new(
        &OptimizerSettings {
            rule: if arguments.muon { Rule::Muon } else { Rule::Adamw },
            learning_rate: 1e-3,
            warmup: 0,
            final_share: 1.0,
            beta_1: 0.9,
            beta_2: 0.95,
            weight_decay: 0.1,
            clip: 1.0,
        },
        None,
    );
    let mut random = StdRng::seed_from_u64(1);
    let mut times = [0.0; 4];
    for step in 0..arguments.steps + 2 {
        let windows: Vec<_> = (0..arguments.batch)
            .map(|_| Window {
                tokens: (0..=arguments.length)
                    .map(|_| random.random_range(0..architecture.vocab_size as u32))
                    .collect(),
                scored: vec![true; arguments.length],
            })
            .collect();
        let start = Instant::now();
        let quantized = match arguments.bits {
            Some(bits) => fake_quantize(
                &weights,
                &parameters,
                Precision::from_mantissa_bits(bits)?,
                Reconstruction::Midpoint,
            )?,
            None => weights.clone(),
        };
        let quantized_at = start.elapsed();
        let passes = Passes { primary: &quantized, distilled: None };
        let batch = engine.gradient(
            &passes,
            &windows.iter().collect::<Vec<_>>(),
            scored(&windows.iter().collect::<Vec<_>>()),
        )?;
        let gradient_at = start.elapsed();
        let norm = batch.gradient.norm();
        weights = optimizer.update(weights, &parameters, batch.gradient, norm, 1e-3);
        let end = start.elapsed();
        if step < 2 {
            continue;
        }
        times[0] += quantized_at.as_secs_f64();
        times[1] += (gradient_at - quantized_at).as_secs_f64();
        times[2] += (end - gradient_at).as_secs_f64();
        times[3] += end.as_secs_f64();
        println!("loss {:.4} norm {norm:.4}", batch.loss / batch.scored as f64);
    }
    let per_step = times.map(|time| time / arguments.steps as f64);
    println!(
        "quantise {:.4} gradient {:.4} update {:.4} step {:.4} s",
        per_step[0], per_step[1], per_step[2], per_step[3]
    );
    Ok(())
}
