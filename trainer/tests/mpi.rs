//! Training on several processes: the result of one process, and an end whatever happens to a rank.
#![cfg(all(feature = "mpi", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

use burn::tensor::Device;
use otaro::Architecture;
use otaro_tests::huggingface;
use otaro_trainer::{
    log::{self, StepRow},
    model::parameters,
    train::State,
};
use safetensors::SafeTensors;
use support::Place;

/// Longer than any of these runs takes on a busy machine: no test may hang.
const LIMIT: Duration = Duration::from_secs(120);

/// A job that was started, and where its errors go.
struct Job {
    child: Child,
    errors: PathBuf,
}

impl Job {
    /// Starts a run on `ranks` processes; without `mpirun` on one.
    fn start(place: &Place, name: &str, ranks: usize, more: &[&str]) -> Self {
        let mut command = if ranks > 1 { mpirun(ranks) } else { Command::new("env") };
        command.args([OTARO_TRAIN, "run"]).args(place.flags(name)).args(more);
        Self::spawn(place, name, command)
    }

    fn spawn(place: &Place, name: &str, mut command: Command) -> Self {
        let path = place.path(&format!("{name}.stderr"));
        command.stdout(File::create(place.path(&format!("{name}.stdout"))).unwrap());
        command.stderr(File::create(&path).unwrap());
        Self { child: command.spawn().unwrap(), errors: path }
    }

    /// Waits for the end, which must come.
    fn end(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, fs::read_to_string(&self.errors).unwrap());
            }
            sleep(Duration::from_millis(10));
        }
        signal("-KILL", self.child.id());
        panic!("no end after {LIMIT:?}: {}", fs::read_to_string(&self.errors).unwrap());
    }

    fn succeed(self) {
        let (status, errors) = self.end();
        assert!(status.success(), "{status}: {errors}");
    }

    fn fail(self) -> String {
        let (status, errors) = self.end();
        assert!(!status.success(), "{errors}");
        errors
    }
}

const OTARO_TRAIN: &str = env!("CARGO_BIN_EXE_otaro-train");

fn mpirun(ranks: usize) -> Command {
    let mut command = Command::new("mpirun");
    if Command::new("id").arg("-u").output().unwrap().stdout.trim_ascii() == b"0" {
        command.arg("--allow-run-as-root");
    }
    // More processes than cores is what the machines of continuous integration have.
    command.args(["--oversubscribe", "--bind-to", "none"]);
    // Seconds from the interruption of mpirun to SIGTERM, and from there to SIGKILL.
    command.args(["--mca", "odls_base_sigkill_timeout", "2"]);
    command.args(["-n", &ranks.to_string()]);
    command
}

fn signal(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

fn rows(place: &Place, name: &str) -> Vec<StepRow> {
    log::read(&place.path(name).join("steps.csv")).unwrap()
}

fn wait_for_steps(place: &Place, name: &str, steps: usize) {
    let start = Instant::now();
    while log::read::<StepRow>(&place.path(name).join("steps.csv")).map_or(0, |rows| rows.len()) < steps {
        assert!(start.elapsed() < LIMIT, "no {steps} steps in {LIMIT:?}");
        sleep(Duration::from_millis(5));
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * a.abs().max(b.abs())
}

/// The distance of the weights of two folders, as a share of their length.
fn distance(a: &Path, b: &Path) -> f64 {
    let read = |folder: &Path| {
        let bytes = fs::read(folder.join("huggingface/model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut names = file.names();
        names.sort_unstable();
        let data = names.iter().flat_map(|name| file.tensor(name).unwrap().data().to_vec());
        data.collect::<Vec<_>>()
    };
    let (a, b) = (read(a), read(b));
    assert_eq!(a.len(), b.len());
    let value = |bytes: &[u8]| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()));
    let (mut difference, mut length) = (0.0, 0.0);
    for (a, b) in a.chunks_exact(4).map(value).zip(b.chunks_exact(4).map(value)) {
        difference += (a - b) * (a - b);
        length += a * a;
    }
    (difference / length).sqrt()
}

/// Trains on one, two and four processes and compares.
fn ranks_do_not_matter(method: &[&str]) {
    let place = Place::new();
    // Sums differ in their last bits. With long steps that soon takes a weight over the edge between two
    // codes, and then the losses differ more.
    let flags: Vec<&str> =
        method.iter().copied().chain(["--huggingface", "--learning-rate", "1e-3"]).collect();
    let names = [(1, "one"), (2, "two"), (4, "four")];
    for (ranks, name) in names {
        Job::start(&place, name, ranks, &flags).succeed();
    }
    let one = rows(&place, "one");
    assert_eq!(one.len(), 8);
    for (_, name) in &names[1..] {
        for (one, many) in one.iter().zip(rows(&place, name)) {
            assert_eq!((one.step, one.width, &one.others), (many.step, many.width, &many.others), "{name}");
            assert_eq!(one.tokens, many.tokens, "{name}");
            assert!(close(one.loss, many.loss), "{name}, step {}: {} {}", one.step, one.loss, many.loss);
            for (low, other) in one.other_losses.iter().zip(&many.other_losses) {
                assert!(close(*low, *other), "{name}, step {}: {low} {other}", one.step);
            }
            let norms = (one.gradient_norm, many.gradient_norm);
            assert!(close(norms.0, norms.1), "{name}, step {}: {norms:?}", one.step);
        }
        let distance = distance(&place.path("one"), &place.path(name));
        assert!(distance < 1e-5, "{name}: {distance}");
    }
}

#[test]
fn otaro_comes_out_the_same_on_several_processes() {
    ranks_do_not_matter(&["--method", "otaro", "--laa-period", "2"]);
}

#[test]
fn bps_comes_out_the_same_on_several_processes() {
    ranks_do_not_matter(&["--method", "bps"]);
}

#[test]
fn distillation_comes_out_the_same_on_several_processes() {
    ranks_do_not_matter(&["--method", "otaro", "--distill"]);
}

#[test]
fn a_sum_of_losses_comes_out_the_same_on_several_processes() {
    ranks_do_not_matter(&["--method", "matryoshka", "--distill", "--teacher", "masters"]);
}

#[test]
fn a_tokenizer_is_learnt_once_for_all_processes() {
    let place = Place::new();
    let config = Architecture { vocab_size: 300, ..Place::architecture() };
    fs::write(place.path("config.json"), huggingface::config(&config).to_string()).unwrap();
    let path = |name: &str| place.path(name).display().to_string();
    let mut command = mpirun(2);
    command.args([OTARO_TRAIN, "run", "--train-tokenizer", "--from-scratch", &path("config.json")]);
    command.args(["--data", &path("text.txt"), "--out", &path("new")]);
    command.args(["--length", "16", "--batch", "2", "--micro-batch", "1", "--steps", "2"]);
    Job::spawn(&place, "new", command).succeed();
    assert!(place.path("new").join("tokenizer/tokenizer.json").is_file());
    assert_eq!(rows(&place, "new").len(), 2);
}

/// The process of a rank among the children of `mpirun`.
fn process_of_rank(job: &Job, rank: usize) -> u32 {
    let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
    let is_rank = |process: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        status.lines().any(|line| line == format!("PPid:\t{}", job.child.id()))
            && read("environ").split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.find(is_rank).unwrap()
}

#[test]
fn a_rank_that_dies_ends_the_job_and_the_last_state_goes_on() {
    let place = Place::new();
    let flags = ["--method", "otaro", "--steps", "100", "--checkpoint-minutes", "0"];
    for (name, rank) in [("first", 0), ("second", 1)] {
        let job = Job::start(&place, name, 2, &flags);
        wait_for_steps(&place, name, 3);
        signal("-KILL", process_of_rank(&job, rank));
        job.fail();
        let done = rows(&place, name).len();
        assert!((3..100).contains(&done), "{done} steps: it was to die in the middle");
        let resume: Vec<&str> = flags.iter().copied().chain(["--resume"]).collect();
        // On another number of processes than before.
        Job::start(&place, name, if rank == 0 { 1 } else { 2 }, &resume).succeed();
        let steps: Vec<u64> = rows(&place, name).iter().map(|row| row.step).collect();
        assert_eq!(steps, (1..=100).collect::<Vec<u64>>(), "{name}");
    }
}

#[test]
fn all_ranks_stop_when_one_is_asked_to() {
    let place = Place::new();
    let flags = ["--method", "otaro", "--steps", "200"];
    let job = Job::start(&place, "out", 2, &flags);
    wait_for_steps(&place, "out", 3);
    signal("-TERM", process_of_rank(&job, 1));
    job.fail();
    let done = rows(&place, "out");
    assert!((3..200).contains(&done.len()), "{} steps: it was to stop in the middle", done.len());
    let resume: Vec<&str> = flags.iter().copied().chain(["--resume"]).collect();
    Job::start(&place, "out", 2, &resume).succeed();
    let all = rows(&place, "out");
    assert_eq!(all.len(), 200);
    // No state was written but that of the interruption: the rows of then are those of now.
    assert_eq!(done, all[..done.len()]);
}

#[test]
fn an_interrupted_mpirun_leaves_the_state_of_the_last_step() {
    let place = Place::new();
    let job = Job::start(&place, "out", 2, &["--method", "otaro", "--steps", "1000000"]);
    wait_for_steps(&place, "out", 3);
    signal("-INT", job.child.id());
    job.fail();
    let path = place.path("out").join("state.safetensors");
    let state = State::load(&path, &parameters(&Place::architecture()), &Device::flex()).unwrap();
    assert_eq!(state.progress.step, rows(&place, "out").len() as u64);
}

#[test]
fn a_rank_with_an_error_ends_the_job() {
    let place = Place::new();
    let wild = ["--method", "full", "--learning-rate", "1e37", "--warmup", "4"];
    let errors = Job::start(&place, "wild", 2, &wild).fail();
    assert!(errors.contains("learning rate"), "{errors}");
    let errors = Job::start(&place, "small", 4, &["--batch", "2"]).fail();
    assert!(errors.contains("--batch") && errors.contains("4 processes"), "{errors}");
    let mut command = mpirun(1);
    command.args([OTARO_TRAIN, "run"]).args(place.flags("out"));
    command.args([":", "-n", "1", OTARO_TRAIN, "run"]).args(place.flags("out")).args(["--seed", "9"]);
    let errors = Job::spawn(&place, "other", command).fail();
    assert!(errors.contains("rank 1 has other settings"), "{errors}");
    assert!(!place.path("out").join("state.safetensors").exists());
}

#[test]
fn only_a_run_takes_several_processes() {
    let place = Place::new();
    let path = |name: &str| place.path(name).display().to_string();
    let mut command = mpirun(2);
    command.args([OTARO_TRAIN, "calibrate", "--model", &path("model"), "--data", &path("text.txt")]);
    command.args(["--out", &path("out")]);
    assert!(Job::spawn(&place, "calibrate", command).fail().contains("only `otaro-train run`"));
}
