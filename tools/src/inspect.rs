//! `otaro inspect`

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::bail;
use otaro::{
    Architecture, Checkpoint, Precision, PrecisionProfile,
    checkpoint::{Section, SectionCheck},
};
use serde::Serialize;

use crate::progress;

#[derive(clap::Args)]
pub struct Arguments {
    /// A packed file, or the beginning of one
    file: PathBuf,
    /// Recompute the hash of every section; exit status 1 if one is damaged
    #[arg(long)]
    verify: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    file: PathBuf,
    format_version: String,
    file_bytes: u64,
    complete_bytes: u64,
    architecture: Architecture,
    reconstruction: &'static str,
    scale: &'static str,
    weights: usize,
    tokenizer_fingerprint: String,
    provenance: String,
    sections: Vec<SectionReport>,
    precisions: Vec<PrecisionReport>,
    profiles: Vec<ProfileReport>,
}

#[derive(Serialize)]
struct SectionReport {
    name: Section,
    /// Offsets in the file.
    begin: u64,
    end: u64,
    sha256: String,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// There, not verified.
    Present,
    Intact,
    Damaged,
    Absent,
}

#[derive(Serialize)]
struct PrecisionReport {
    precision: String,
    mantissa_bits: u32,
    bits_per_weight: f64,
    /// Bytes of the file from its start that this precision needs.
    file_bytes: u64,
    complete: bool,
}

/// A profile that the file carries.
#[derive(Serialize)]
struct ProfileReport {
    name: String,
    profile: PrecisionProfile,
    bits_per_weight: f64,
    /// Bytes of weights that are read to compute a token.
    bytes_per_token: u64,
    /// Bytes of the file from its start that this profile needs.
    file_bytes: u64,
    complete: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let checkpoint = Checkpoint::open(&arguments.file)?;
    let report = Report::new(&checkpoint, arguments.verify)?;
    let mut out = stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        report.print(&mut out)?;
    }
    let damaged: Vec<_> = report
        .sections
        .iter()
        .filter(|section| section.state == State::Damaged)
        .map(|s| s.name.name())
        .collect();
    if !damaged.is_empty() {
        bail!(
            "{}: damaged sections: {}; download or pack it again",
            arguments.file.display(),
            damaged.join(", ")
        );
    }
    Ok(())
}

impl Report {
    fn new(checkpoint: &Checkpoint, verify: bool) -> anyhow::Result<Self> {
        let file_bytes = checkpoint.file_bytes()?;
        let states = if verify { verified(checkpoint)? } else { present(checkpoint, file_bytes) };
        let start = checkpoint.data_start();
        let sections: Vec<_> = checkpoint
            .sections()
            .iter()
            .zip(states)
            .map(|(section, state)| SectionReport {
                name: section.name,
                begin: start + section.begin,
                end: start + section.end,
                sha256: section.sha256.clone(),
                state,
            })
            .collect();
        let precisions = Precision::ALL.map(|precision| {
            let needed = sections[Section::completing(precision) as usize].end;
            PrecisionReport {
                precision: precision.to_string(),
                mantissa_bits: precision.mantissa_bits(),
                bits_per_weight: precision.bits_per_weight(),
                file_bytes: needed,
                complete: needed <= file_bytes,
            }
        });
        let profile = |(name, profile): (&str, &PrecisionProfile)| {
            let architecture = checkpoint.architecture();
            let resolved = profile.resolve(architecture)?;
            let needed = sections[Section::completing(resolved.max()) as usize].end;
            anyhow::Ok(ProfileReport {
                name: name.to_string(),
                profile: profile.clone(),
                bits_per_weight: resolved.bits_per_weight(architecture),
                bytes_per_token: resolved.bytes_per_token(architecture),
                file_bytes: needed,
                complete: needed <= file_bytes,
            })
        };
        Ok(Self {
            profiles: checkpoint.profiles().iter().map(profile).collect::<anyhow::Result<_>>()?,
            file: checkpoint.path().to_path_buf(),
            format_version: checkpoint.version().to_string(),
            file_bytes,
            complete_bytes: checkpoint.complete_bytes(),
            architecture: checkpoint.architecture().clone(),
            reconstruction: checkpoint.reconstruction().name(),
            scale: checkpoint.scale().name(),
            weights: checkpoint.architecture().packed_weights(),
            tokenizer_fingerprint: checkpoint.tokenizer_fingerprint().to_string(),
            provenance: checkpoint.provenance().to_string(),
            sections,
            precisions: precisions.into(),
        })
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let a = &self.architecture;
        writeln!(out, "{} (format {})", self.file.display(), self.format_version)?;
        writeln!(
            out,
            "  {} of {} bytes, {} packed weights",
            self.file_bytes, self.complete_bytes, self.weights
        )?;
        writeln!(
            out,
            "  LLaMA: {} layers, hidden {}, intermediate {}, {} heads of {} ({} for keys and values)",
            a.layers, a.hidden_size, a.intermediate_size, a.heads, a.head_dim, a.kv_heads
        )?;
        let head = if a.tied_head { "tied" } else { "own" };
        writeln!(out, "  vocabulary {}, context {}, {head} head", a.vocab_size, a.context_length)?;
        let scaling = a.rope_scaling.map_or(String::new(), |s| format!(", scaled by {} (llama3)", s.factor));
        writeln!(out, "  rope theta {}{scaling}, RMSNorm epsilon {:e}", a.rope_theta, a.rms_norm_eps)?;
        writeln!(out, "  reconstruction {}", self.reconstruction)?;
        writeln!(out, "  scale          {}", self.scale)?;
        writeln!(out, "  tokenizer {}", self.tokenizer_fingerprint)?;
        writeln!(out, "  provenance {}", self.provenance)?;
        writeln!(out, "\n  section            begin            end  state    sha256")?;
        for section in &self.sections {
            let state = match section.state {
                State::Present => "present",
                State::Intact => "intact",
                State::Damaged => "DAMAGED",
                State::Absent => "absent",
            };
            let hash = section.sha256.get(..16).unwrap_or(&section.sha256);
            let (name, begin, end) = (section.name.name(), section.begin, section.end);
            writeln!(out, "  {name:<10} {begin:>13}  {end:>13}  {state:<7}  {hash}...")?;
        }
        writeln!(out, "\n  precision  bits/weight  needs the first bytes  complete")?;
        for row in &self.precisions {
            let complete = if row.complete { "yes" } else { "no" };
            let (precision, bits) = (&row.precision, row.bits_per_weight);
            writeln!(out, "  {precision:<9}  {bits:>11.3}  {:>21}  {complete}", row.file_bytes)?;
        }
        self.print_profiles(out)
    }

    fn print_profiles(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Some(width) = self.profiles.iter().map(|row| row.name.len()).max().map(|width| width.max(7))
        else {
            return Ok(());
        };
        let name = "profile";
        writeln!(
            out,
            "\n  {name:<width$}  bits/weight  bytes/token  needs the first bytes  complete  entries"
        )?;
        for row in &self.profiles {
            let complete = if row.complete { "yes" } else { "no" };
            let (name, bits, bytes) = (&row.name, row.bits_per_weight, row.bytes_per_token);
            write!(out, "  {name:<width$}  {bits:>11.3}  {bytes:>11}  {:>21}", row.file_bytes)?;
            writeln!(out, "  {complete:<8}  {}", row.profile)?;
        }
        Ok(())
    }
}

fn present(checkpoint: &Checkpoint, file_bytes: u64) -> Vec<State> {
    let state =
        |end| if checkpoint.data_start() + end <= file_bytes { State::Present } else { State::Absent };
    checkpoint.sections().iter().map(|section| state(section.end)).collect()
}

fn verified(checkpoint: &Checkpoint) -> anyhow::Result<Vec<State>> {
    let cancel = progress::cancel_on_interrupt()?;
    let bar = progress::bar(checkpoint.file_bytes()?, "verifying", "bytes");
    let checks = checkpoint.verify(&mut |bytes| {
        bar.set_position(bytes);
        cancel.check()
    })?;
    bar.finish_and_clear();
    let state = |check| match check {
        SectionCheck::Intact => State::Intact,
        SectionCheck::Damaged => State::Damaged,
        SectionCheck::Absent => State::Absent,
    };
    Ok(checks.into_iter().map(|(_, check)| state(check)).collect())
}
