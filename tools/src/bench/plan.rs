//! Which tests are to be run, and on what: every combination of what the command line lists.

use std::{fmt, num::NonZeroUsize, thread::available_parallelism};

use anyhow::ensure;
use otaro::{
    Architecture, Checkpoint, DeviceChoice, OpenOptions, Precision, PrecisionProfile,
    cpu::{CpuKernel, KvFormat},
};

use super::arguments::Arguments;

/// Tokens of a prompt and to generate where the command line does not say.
const DEFAULT_PROMPT: usize = 512;
const DEFAULT_GENERATE: usize = 128;

/// What is timed: a prompt, tokens after it, or both, after `depth` tokens that are not timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    pub prompt: usize,
    pub generate: usize,
    pub depth: usize,
}

impl Test {
    /// Tokens that are timed.
    pub fn tokens(&self) -> usize {
        self.prompt + self.generate
    }

    /// Whether the weights are read once per token.
    pub fn is_decode(&self) -> bool {
        self.prompt == 0
    }
}

impl fmt::Display for Test {
    /// As llama-bench names them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.prompt, self.generate) {
            (prompt, 0) => write!(f, "pp{prompt}")?,
            (0, generate) => write!(f, "tg{generate}")?,
            (prompt, generate) => write!(f, "pp{prompt}+tg{generate}")?,
        }
        match self.depth {
            0 => Ok(()),
            depth => write!(f, " @ d{depth}"),
        }
    }
}

/// How a model is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub device: DeviceChoice,
    pub threads: NonZeroUsize,
    pub kernel: Option<CpuKernel>,
    pub kv: KvFormat,
}

impl Setup {
    pub fn options(&self) -> OpenOptions {
        let mut options = OpenOptions { device: self.device, ..OpenOptions::default() };
        options.cpu.threads = Some(self.threads);
        options.cpu.kernel = self.kernel;
        options.cpu.kv_format = self.kv;
        options
    }
}

/// Every combination of threads, kernels and KV caches.
pub fn setups(arguments: &Arguments) -> anyhow::Result<Vec<Setup>> {
    let device = arguments.device;
    let kv_of_a_gpu = arguments.kv == [KvFormat::F16];
    let of_the_cpu = !arguments.kernel.is_empty() || !arguments.threads.is_empty() || !kv_of_a_gpu;
    ensure!(
        device != DeviceChoice::Gpu || !of_the_cpu,
        "--threads, --kernel and --kv are for the CPU, not for a GPU"
    );
    if let Some(kernel) = arguments.kernel.iter().find(|kernel| !kernel.is_available()) {
        anyhow::bail!("this processor cannot run the {kernel} kernels");
    }
    let kernels: Vec<_> = match arguments.kernel.as_slice() {
        [] => vec![None],
        kernels => kernels.iter().copied().map(Some).collect(),
    };
    let threads = match arguments.threads.as_slice() {
        [] => vec![available_parallelism().unwrap_or(NonZeroUsize::MIN)],
        threads => threads.to_vec(),
    };
    let mut setups = Vec::new();
    for &threads in &threads {
        for &kernel in &kernels {
            setups.extend(arguments.kv.iter().map(|&kv| Setup { device, threads, kernel, kv }));
        }
    }
    Ok(setups)
}

/// Precisions and profiles of a file, as given or every precision that it holds, lowest first.
pub fn profiles(arguments: &Arguments, checkpoint: &Checkpoint) -> anyhow::Result<Vec<PrecisionProfile>> {
    let available = checkpoint.available()?;
    let mut profiles: Vec<PrecisionProfile> = match (&arguments.bits[..], &arguments.profiles[..]) {
        ([], []) => {
            let all = Precision::ALL.into_iter().filter(|&precision| precision <= available);
            all.map(Into::into).collect()
        }
        (bits, _) => bits.iter().map(|&precision| precision.into()).collect(),
    };
    for source in &arguments.profiles {
        profiles.push(source.profile(checkpoint.profiles(), available)?);
    }
    for profile in &profiles {
        checkpoint.require(profile.resolve(checkpoint.architecture())?.max())?;
    }
    Ok(profiles)
}

/// The tests of a model, by depth.
pub fn tests(arguments: &Arguments, architecture: &Architecture) -> anyhow::Result<Vec<Test>> {
    let context = architecture.context_length;
    let given_or = |given: &[usize], default: usize| match given {
        // Whoever asks for one kind of test does not get the others unasked.
        [] if !arguments.prompt_and_generate.is_empty() => Vec::new(),
        [] => vec![default.min(context / 2)],
        given => given.to_vec(),
    };
    let prompts = given_or(&arguments.prompt, DEFAULT_PROMPT);
    let generates = given_or(&arguments.generate, DEFAULT_GENERATE);
    let mut tests = Vec::new();
    for &depth in &arguments.depth {
        tests.extend(prompts.iter().map(|&prompt| Test { prompt, generate: 0, depth }));
        tests.extend(generates.iter().map(|&generate| Test { prompt: 0, generate, depth }));
        let both = arguments.prompt_and_generate.iter();
        tests.extend(both.map(|both| Test { prompt: both.prompt, generate: both.generate, depth }));
    }
    tests.retain(|test| test.tokens() > 0);
    ensure!(!tests.is_empty(), "there is nothing to test: give -p, -n or -pg above 0");
    for test in &tests {
        let needed = test.tokens().saturating_add(test.depth);
        ensure!(
            needed <= context,
            "{test} needs {needed} positions, this model has {context}: give smaller -p, -n or -d"
        );
    }
    Ok(tests)
}

#[cfg(test)]
mod unit_tests {
    use clap::Parser;
    use otaro::pack::Shape;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(words: &str) -> Arguments {
        let words = ["bench"].into_iter().chain(words.split_whitespace());
        CommandLine::try_parse_from(words).expect("a valid command line").arguments
    }

    fn names(words: &str) -> Result<Vec<String>, String> {
        let shape = Shape::find("stories110m").expect("a known shape");
        let tests = super::tests(&parse(words), &shape.architecture).map_err(|error| error.to_string())?;
        Ok(tests.iter().map(Test::to_string).collect())
    }

    #[test]
    fn lists_are_multiplied() {
        for (words, expected) in [
            ("", &["pp512", "tg128"][..]),
            ("-p 8,16 -n 4", &["pp8", "pp16", "tg4"]),
            ("-p 8 -p 16 -n 0", &["pp8", "pp16"]),
            ("-p 0", &["tg128"]),
            ("--pg 8,4", &["pp8+tg4"]),
            ("--pg 8,4 -n 2", &["tg2", "pp8+tg4"]),
            ("-p 8 -n 4 -d 0,100", &["pp8", "tg4", "pp8 @ d100", "tg4 @ d100"]),
        ] {
            let names = names(words).expect(words);
            assert_eq!(names, expected, "{words}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_an_error_that_says_why() {
        for (words, message) in [
            ("-p 0 -n 0", "nothing to test"),
            ("-p 1025", "pp1025 needs 1025 positions, this model has 1024"),
            ("-n 64 -p 0 -d 1000", "tg64 @ d1000 needs 1064"),
            ("--pg 1000,25", "pp1000+tg25"),
        ] {
            let error = names(words).expect_err(words);
            assert!(error.contains(message), "{words}: {error}");
        }
    }

    #[test]
    fn every_number_of_threads_meets_every_kernel() {
        let setups = setups(&parse("-t 2,1 --kernel plain --kv f16,int8 --device cpu")).expect("setups");
        let threads: Vec<_> = setups.iter().map(|setup| setup.threads.get()).collect();
        assert_eq!(threads, [2, 2, 1, 1]);
        assert_eq!((setups[0].kv, setups[1].kv), (KvFormat::F16, KvFormat::Int8));
        assert!(setups.iter().all(|setup| setup.kernel == Some(CpuKernel::Plain)));
        for words in ["-t 2 --device gpu", "--kv int8 --device gpu"] {
            let error = super::setups(&parse(words)).expect_err(words);
            assert!(error.to_string().contains("for the CPU"), "{error}");
        }
    }
}
