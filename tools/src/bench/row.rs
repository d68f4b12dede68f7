//! What is known of a test once it has run.

use std::path::PathBuf;

use otaro::{Architecture, DeviceKind, Model, Precision, PrecisionProfile, Session, cpu::KvFormat};
use serde::Serialize;

use super::{
    measure::Samples,
    memory::Resident,
    models::Subject,
    plan::{Setup, Test},
    statistics::{deviation, mean, median},
};

/// A test of a model on a device with a profile. Speeds are in tokens per second, memory in bytes.
#[derive(Serialize)]
pub struct Row {
    model: String,
    file: PathBuf,
    parameters: usize,
    device: String,
    /// Of the CPU; none for a GPU.
    threads: Option<usize>,
    /// The number format of the KV cache.
    kv: &'static str,
    /// Of every weight; none where they differ.
    mantissa_bits: Option<u32>,
    profile: String,
    test: String,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    avg_ts: f64,
    stddev_ts: f64,
    samples_ts: Vec<f64>,
    /// Weights read to compute one token.
    weight_bytes: u64,
    /// Weights, and keys and values of the tokens before, the mean over the tokens of a decode.
    bytes_per_token: Option<f64>,
    bytes_per_second: Option<f64>,
    /// Median of what the probe read before each run.
    probe_bytes_per_second: Option<f64>,
    /// Of the probe's bandwidth.
    bandwidth_fraction: Option<f64>,
    file_resident_bytes: Option<u64>,
    anonymous_resident_bytes: Option<u64>,
    peak_resident_bytes: Option<u64>,
}

/// What a row is about.
pub struct Measurement<'a> {
    pub subject: &'a Subject,
    pub model: &'a Model,
    pub setup: &'a Setup,
    pub profile: &'a PrecisionProfile,
    pub test: &'a Test,
}

impl Row {
    pub const HEADER: [&str; 16] = [
        "model",
        "params",
        "device",
        "threads",
        "kv",
        "bits",
        "weights MiB",
        "test",
        "t/s",
        "MB/token",
        "GB/s",
        "probe GB/s",
        "of probe",
        "file MiB",
        "anon MiB",
        "peak MiB",
    ];

    pub fn new(of: &Measurement<'_>, session: &Session, samples: Samples, resident: Resident) -> Self {
        let test = of.test;
        let architecture = of.model.architecture();
        let on_cpu = of.model.device_info().kind == DeviceKind::Cpu;
        // A GPU has but one format.
        let kv = if on_cpu { of.setup.kv } else { KvFormat::F16 };
        let weight_bytes = session.weight_bytes_per_token();
        let speed = mean(&samples.speeds);
        // A prompt shares one reading of the weights among many tokens, as many as the device likes.
        let bytes_per_token =
            test.is_decode().then(|| weight_bytes as f64 + kv_bytes(architecture, test, kv));
        let bytes_per_second = bytes_per_token.map(|bytes| bytes * speed);
        // A graphics card does not read the memory that the probe reads.
        let probe = median(&samples.bandwidths).filter(|_| on_cpu);
        Self {
            model: of.subject.name.clone(),
            file: of.subject.path.clone(),
            parameters: architecture.packed_weights(),
            device: of.model.device_info().to_string(),
            threads: on_cpu.then_some(of.setup.threads.get()),
            kv: kv.name(),
            mantissa_bits: of.profile.uniform().map(Precision::mantissa_bits),
            profile: of.profile.to_string(),
            test: test.to_string(),
            n_prompt: test.prompt,
            n_gen: test.generate,
            n_depth: test.depth,
            avg_ts: speed,
            stddev_ts: deviation(&samples.speeds),
            weight_bytes,
            bytes_per_token,
            bytes_per_second,
            probe_bytes_per_second: probe,
            bandwidth_fraction: bytes_per_second.zip(probe).map(|(decode, probe)| decode / probe),
            file_resident_bytes: resident.file,
            anonymous_resident_bytes: resident.anonymous,
            peak_resident_bytes: resident.peak,
            samples_ts: samples.speeds,
        }
    }

    pub fn cells(&self) -> [String; 16] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_string());
        let giga = |value: Option<f64>| or_dash(value.map(|value| format!("{:.1}", value / 1e9)));
        let mebi =
            |bytes: Option<u64>| or_dash(bytes.map(|bytes| format!("{:.0}", bytes as f64 / 1048576.0)));
        [
            self.model.clone(),
            format!("{:.2} M", self.parameters as f64 / 1e6),
            self.device.clone(),
            or_dash(self.threads.map(|threads| threads.to_string())),
            self.kv.to_string(),
            self.mantissa_bits.map_or_else(|| self.profile.clone(), |bits| bits.to_string()),
            format!("{:.2}", self.weight_bytes as f64 / 1048576.0),
            self.test.clone(),
            format!("{:.2} ± {:.2}", self.avg_ts, self.stddev_ts),
            or_dash(self.bytes_per_token.map(|bytes| format!("{:.1}", bytes / 1e6))),
            giga(self.bytes_per_second),
            giga(self.probe_bytes_per_second),
            or_dash(self.bandwidth_fraction.map(|fraction| format!("{fraction:.2}"))),
            mebi(self.file_resident_bytes),
            mebi(self.anonymous_resident_bytes),
            mebi(self.peak_resident_bytes),
        ]
    }
}

/// Keys and values read per token of a decode, on average.
fn kv_bytes(architecture: &Architecture, test: &Test, kv: KvFormat) -> f64 {
    let position_bytes = kv.bytes_per_position(architecture);
    // The first token reads its own, the last those of all before it too.
    let positions = test.depth as f64 + (test.generate as f64 + 1.0) / 2.0;
    position_bytes as f64 * positions
}

#[cfg(test)]
mod tests {
    use otaro::pack::Shape;

    use super::*;

    #[test]
    fn a_decode_reads_the_cache_up_to_its_own_token() {
        let architecture = &Shape::find("llama3.2-1b").expect("a known shape").architecture;
        let test = |generate, depth| Test { prompt: 0, generate, depth };
        // 16 layers, 512 keys and as many values of two bytes: 32 KiB a position.
        assert_eq!(kv_bytes(architecture, &test(1, 0), KvFormat::F16), 32768.0);
        assert_eq!(kv_bytes(architecture, &test(3, 100), KvFormat::F16), 102.0 * 32768.0);
        // 8 heads of 64 values and a scale, twice.
        assert_eq!(kv_bytes(architecture, &test(1, 0), KvFormat::Int8), 16.0 * 2.0 * 8.0 * 68.0);
    }
}
