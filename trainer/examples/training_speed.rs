//! Seconds per training step of a model of random weights on random tokens. Beside PyTorch:
//! `tests/bench/training_speed.py`.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use burn::tensor::Device;
use clap::Parser;
use otaro::{Architecture, Precision, Reconstruction, Scale};
use otaro_trainer::{
    data::Window,
    memory::keep_freed_memory,
    model::{Llama, Parameter, TensorSet, fake_quantize, initialize, parameters, read_architecture},
    train::{GradientEngine, Optimizer, OptimizerSettings, PassSettings, Passes, Rule, scored},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Times training steps
#[derive(Parser)]
struct Arguments {
    /// The `config.json` of the model
    config: PathBuf,
    /// Windows of a batch
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Windows of a micro-batch
    #[arg(long, default_value_t = 2)]
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
    /// Activations of one layer at a time
    #[arg(long)]
    recompute: bool,
    /// Products in 16-bit floats
    #[arg(long)]
    half: bool,
    /// Muon instead of AdamW
    #[arg(long)]
    muon: bool,
}

/// Learning rate of every step.
const RATE: f64 = 1e-3;

fn main() -> Result<()> {
    keep_freed_memory();
    let arguments = Arguments::parse();
    let architecture = read_architecture(&arguments.config)?;
    let mut run = Run::new(&arguments, &architecture)?;
    let mut random = StdRng::seed_from_u64(1);
    let mut shares = [0.0; 3];
    for step in 0..arguments.steps + 2 {
        let windows: Vec<_> =
            (0..arguments.batch).map(|_| window(&arguments, &architecture, &mut random)).collect();
        let seconds = run.step(&windows)?;
        if step >= 2 {
            println!("step seconds {:.6}", seconds.iter().sum::<f64>());
            shares = std::array::from_fn(|part| shares[part] + seconds[part]);
        }
    }
    let whole: f64 = shares.iter().sum();
    let [quantise, gradient, update] = shares.map(|share| 100.0 * share / whole);
    println!("quantise {quantise:.1} %, gradient {gradient:.1} %, update {update:.1} %");
    Ok(())
}

fn window(arguments: &Arguments, architecture: &Architecture, random: &mut StdRng) -> Window {
    let vocabulary = 0..architecture.vocab_size as u32;
    Window {
        tokens: (0..=arguments.length).map(|_| random.random_range(vocabulary.clone())).collect(),
        scored: vec![true; arguments.length],
    }
}

struct Run {
    parameters: Vec<Parameter>,
    weights: TensorSet,
    engine: GradientEngine,
    optimizer: Optimizer,
    precision: Option<Precision>,
}

impl Run {
    fn new(arguments: &Arguments, architecture: &Architecture) -> Result<Self> {
        let device = Device::flex();
        let parameters = parameters(architecture);
        let model = Llama::new(architecture, arguments.length, &device);
        let settings = PassSettings { recompute: arguments.recompute, half: arguments.half };
        let optimizer = OptimizerSettings {
            rule: if arguments.muon { Rule::Muon } else { Rule::Adamw },
            learning_rate: RATE,
            warmup: 0,
            final_share: 1.0,
            beta_1: 0.9,
            beta_2: 0.95,
            weight_decay: 0.1,
            clip: 1.0,
        };
        Ok(Self {
            weights: TensorSet::from_host(initialize(architecture, 1), &parameters, &device)?,
            parameters,
            engine: GradientEngine::new(model, device, arguments.threads, arguments.micro_batch, settings),
            optimizer: Optimizer::new(&optimizer, None),
            precision: arguments.bits.map(Precision::from_mantissa_bits).transpose()?,
        })
    }

    /// One step; the seconds of quantising, of the gradient and of the update.
    fn step(&mut self, windows: &[Window]) -> Result<[f64; 3]> {
        let windows: Vec<_> = windows.iter().collect();
        let start = Instant::now();
        let quantized = match self.precision {
            Some(precision) => fake_quantize(
                &self.weights,
                &self.parameters,
                precision,
                Reconstruction::Midpoint,
                Scale::Fine,
            )?,
            None => self.weights.clone(),
        };
        let quantise = start.elapsed().as_secs_f64();
        let passes = Passes::one(&quantized);
        let gradient = self.engine.gradient(&passes, &windows, scored(&windows))?.gradient;
        let computed = start.elapsed().as_secs_f64();
        let norm = gradient.norm();
        let weights = std::mem::replace(&mut self.weights, TensorSet::new(Vec::new()));
        self.weights = self.optimizer.update(weights, &self.parameters, gradient, norm, RATE);
        Ok([quantise, computed - quantise, start.elapsed().as_secs_f64() - computed])
    }
}
