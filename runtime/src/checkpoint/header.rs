//! The safetensors header: entries and `__metadata__`, encoded by the writer and checked by the
//! reader.

use std::{collections::HashMap, str::FromStr};

use safetensors::tensor::{Metadata, TensorInfo};
use sefp::{Reconstruction, Scale};

use super::{Manifest, Section, SectionInfo, layout::SECTION_ALIGNMENT};
use crate::{Architecture, Error, ErrorKind, NamedProfiles, Result};

/// The value of `format`.
const FORMAT: &str = "sefp";
/// The version that this build writes. It reads every minor version of this major one.
const VERSION: &str = "2.0";
/// The field of the named profiles, which a file need not have.
const PROFILES: &str = "profiles";
/// Bytes of the length in front of the header.
pub(super) const LENGTH_BYTES: u64 = 8;
/// No header is longer: a model of 1000 layers needs 8 MiB. Bounds what a hostile length can allocate.
pub(super) const MAX_HEADER_BYTES: u64 = 32 << 20;

/// What the header of a checkpoint says, checked against itself.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) architecture: Architecture,
    pub(super) reconstruction: Reconstruction,
    pub(super) scale: Scale,
    pub(super) tokenizer_fingerprint: String,
    pub(super) provenance: String,
    pub(super) version: String,
    pub(super) profiles: NamedProfiles,
    /// In the order of [`Section::ALL`].
    pub(super) sections: Vec<SectionInfo>,
    entries: Metadata,
}

/// Length and JSON of a header, padded with spaces to a section boundary.
pub(super) fn encode(metadata: &Metadata) -> Result<Vec<u8>> {
    // By way of a value, whose keys are sorted: the same model makes the same file, byte for byte.
    let json = serde_json::to_value(metadata)
        .and_then(|value| serde_json::to_vec(&value))
        .map_err(|e| Error::new(ErrorKind::InvalidArgument, "cannot encode the header").with_source(e))?;
    let total = (LENGTH_BYTES + json.len() as u64).next_multiple_of(SECTION_ALIGNMENT);
    let mut header = (total - LENGTH_BYTES).to_le_bytes().to_vec();
    header.extend(json);
    header.resize(total as usize, b' ');
    Ok(header)
}

/// `__metadata__` of a checkpoint.
pub(super) fn metadata(manifest: &Manifest, sections: &[SectionInfo]) -> Result<HashMap<String, String>> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|e| Error::new(ErrorKind::InvalidArgument, "cannot encode the metadata").with_source(e))
    };
    let pairs = [
        ("format", FORMAT.to_string()),
        ("version", VERSION.to_string()),
        ("group_size", sefp::GROUP_SIZE.to_string()),
        ("lane_rows", sefp::LANE_ROWS.to_string()),
        ("reconstruction", manifest.reconstruction.to_string()),
        ("scale", manifest.scale.to_string()),
        ("architecture", json(serde_json::to_string(&manifest.architecture))?),
        ("sections", json(serde_json::to_string(sections))?),
        ("tokenizer_fingerprint", manifest.tokenizer_fingerprint.clone()),
        ("provenance", manifest.provenance.clone()),
    ];
    let profiles = match manifest.profiles.is_empty() {
        true => None,
        false => Some((PROFILES, json(serde_json::to_string(&manifest.profiles))?)),
    };
    Ok(pairs.into_iter().chain(profiles).map(|(key, value)| (key.to_string(), value)).collect())
}

impl Header {
    /// Reads the JSON of a header (without its length). Checks everything that does not need the
    /// length of the file.
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        let entries = parse_entries(json)?;
        let fields = Fields(entries.metadata().as_ref().ok_or_else(|| not_ours("it has no __metadata__"))?);
        fields.expect("format", FORMAT)?;
        let version = fields.get("version")?.to_string();
        check_version(&version)?;
        fields.expect("group_size", &sefp::GROUP_SIZE.to_string())?;
        fields.expect("lane_rows", &sefp::LANE_ROWS.to_string())?;
        let architecture: Architecture = fields.json("architecture")?;
        architecture.check()?;
        let sections: Vec<SectionInfo> = fields.json("sections")?;
        check_sections(&sections, entries.data_len() as u64)?;
        let reconstruction = fields.choice("reconstruction")?;
        let scale = fields.choice("scale")?;
        let tokenizer_fingerprint = fields.get("tokenizer_fingerprint")?.to_string();
        let provenance = fields.get("provenance")?.to_string();
        Ok(Self {
            profiles: fields.profiles(&architecture)?,
            architecture,
            reconstruction,
            scale,
            tokenizer_fingerprint,
            provenance,
            version,
            sections,
            entries,
        })
    }

    /// An entry by its name.
    pub(super) fn entry(&self, name: &str) -> Option<&TensorInfo> {
        self.entries.info(name)
    }

    /// `__metadata__` as it stands, unknown fields included.
    pub(super) fn metadata(&self) -> Option<&HashMap<String, String>> {
        self.entries.metadata().as_ref()
    }

    /// Bytes of data of the complete file.
    pub(super) fn data_bytes(&self) -> u64 {
        self.sections.last().map_or(0, |section| section.end)
    }
}

/// The entries in the order of their offsets: no holes, no overlaps, sizes that match shapes.
fn parse_entries(json: &[u8]) -> Result<Metadata> {
    let invalid = |source: Box<dyn std::error::Error + Send + Sync>| {
        not_ours("its header is not valid").with_source(source)
    };
    let parsed: Metadata = serde_json::from_slice(json).map_err(|e| invalid(e.into()))?;
    let entries = parsed
        .offset_keys()
        .into_iter()
        .filter_map(|name| parsed.info(&name).cloned().map(|info| (name, info)))
        .collect();
    // Building it anew is what makes the library check the entries; parsing alone does not.
    Metadata::new(parsed.metadata().clone(), entries).map_err(|e| invalid(e.into()))
}

fn check_version(version: &str) -> Result<()> {
    let major = |version: &str| version.split_once('.').and_then(|(major, _)| major.parse::<u32>().ok());
    let ours = major(VERSION);
    let remedy = match major(version) {
        found if found == ours => return Ok(()),
        found if found.is_some() && found < ours => "pack it again from the folder that it was made of",
        _ => "update otaro, or pack it again with this build",
    };
    Err(Error::new(
        ErrorKind::UnsupportedVersion,
        format!(
            "the file is of format version '{version}', this build reads {VERSION} and later minor versions: {remedy}"
        ),
    ))
}

/// Sections must be all there, in order, aligned, and inside of the data.
fn check_sections(sections: &[SectionInfo], data_bytes: u64) -> Result<()> {
    let corrupt =
        |what: String| Err(Error::new(ErrorKind::Corrupt, format!("metadata field 'sections': {what}")));
    if !sections.iter().map(|section| section.name).eq(Section::ALL) {
        return corrupt("not the sections of this format in their order".to_string());
    }
    let mut previous_end = 0;
    for SectionInfo { name, begin, end, .. } in sections {
        if begin % SECTION_ALIGNMENT != 0 || *begin < previous_end || end < begin || *end > data_bytes {
            return corrupt(format!(
                "section {name} cannot lie at {begin}..{end} of {data_bytes} bytes of data"
            ));
        }
        previous_end = *end;
    }
    Ok(())
}

/// `__metadata__` with errors that name the field.
struct Fields<'a>(&'a HashMap<String, String>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Result<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| not_ours(&format!("metadata field '{name}' is missing")))
    }

    fn expect(&self, name: &str, value: &str) -> Result<()> {
        let found = self.get(name)?;
        if found == value {
            return Ok(());
        }
        Err(not_ours(&format!("metadata field '{name}' is '{found}', this build reads '{value}'")))
    }

    /// The named profiles, all of which fit the model.
    fn profiles(&self, architecture: &Architecture) -> Result<NamedProfiles> {
        if !self.0.contains_key(PROFILES) {
            return Ok(NamedProfiles::default());
        }
        let profiles: NamedProfiles = self.json(PROFILES)?;
        profiles.check(architecture).map_err(|error| {
            Error::new(ErrorKind::Corrupt, format!("metadata field '{PROFILES}'")).with_source(error)
        })?;
        Ok(profiles)
    }

    fn choice<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(&self, name: &str) -> Result<T> {
        self.get(name)?.parse().map_err(|e| {
            Error::new(ErrorKind::UnsupportedVersion, format!("metadata field '{name}'")).with_source(e)
        })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_str(self.get(name)?).map_err(|e| {
            Error::new(ErrorKind::Corrupt, format!("metadata field '{name}' cannot be read")).with_source(e)
        })
    }
}

fn not_ours(why: &str) -> Error {
    Error::new(ErrorKind::NotACheckpoint, format!("not a packed SEFP model: {why}"))
}
