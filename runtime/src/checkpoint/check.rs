//! What a file must keep of its promises before any of it is used: every tensor of the architecture
//! with its type, shape, place and alignment, and no scale that no writer writes.

use safetensors::Dtype;

use super::{
    BLOB_NAMES, Checkpoint, Section,
    layout::{TENSOR_ALIGNMENT, plane_name, plane_shape},
};
use crate::{Error, ErrorKind, Norm, Result, WeightMatrix};

impl Checkpoint {
    /// Every tensor of the architecture must be there with its type, shape, alignment and section.
    pub(super) fn check_entries(&self) -> Result<()> {
        let architecture = self.architecture();
        for norm in Norm::all(architecture) {
            self.check_entry(&norm.to_string(), Section::Norms, Dtype::F32, &[architecture.hidden_size])?;
        }
        for matrix in WeightMatrix::all(architecture) {
            for &plane in &Section::ALL[Section::Scales as usize..] {
                let (dtype, shape) = plane_shape(plane, matrix.grid(architecture));
                self.check_entry(&plane_name(matrix, plane), plane, dtype, &shape)?;
            }
        }
        for name in BLOB_NAMES {
            if let Some(info) = self.header.entry(name) {
                self.check_entry(name, Section::Blobs, Dtype::U8, &[info.shape.iter().product()])?;
            }
        }
        Ok(())
    }

    fn check_entry(&self, name: &str, section: Section, dtype: Dtype, shape: &[usize]) -> Result<()> {
        let info = self.header.entry(name).ok_or_else(|| corrupt_entry(name, "it is missing"))?;
        let (begin, end) = info.data_offsets;
        let bounds = self.section(section);
        if info.dtype != dtype || info.shape != shape {
            let found = format!(
                "it is {:?} {:?}, the architecture asks for {dtype:?} {shape:?}",
                info.dtype, info.shape
            );
            return Err(corrupt_entry(name, &found));
        }
        if (begin as u64) < bounds.begin || end as u64 > bounds.end {
            return Err(corrupt_entry(name, &format!("it lies outside of section {section}")));
        }
        if !(self.data_start() + begin as u64).is_multiple_of(TENSOR_ALIGNMENT) {
            return Err(corrupt_entry(name, "it is not aligned to 64 bytes"));
        }
        Ok(())
    }

    /// An scale code above 240 never comes from a writer: the file is damaged.
    pub(super) fn check_scales(&self, progress: &mut dyn FnMut(f64) -> Result<()>) -> Result<()> {
        let matrices = WeightMatrix::all(self.architecture()).count();
        for (index, matrix) in WeightMatrix::all(self.architecture()).enumerate() {
            progress(index as f64 / matrices as f64)?;
            let scales = self.scales(matrix)?;
            if scales.iter().fold(0, |max, &code| max.max(code)) > sefp::MAX_SCALE_CODE {
                return Err(corrupt_entry(
                    &plane_name(matrix, Section::Scales),
                    "it holds an invalid scale code",
                ));
            }
        }
        progress(1.0)
    }
}

pub(super) fn corrupt_entry(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("tensor {name}: {what}; the file is damaged"))
}
