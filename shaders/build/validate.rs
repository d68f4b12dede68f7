//! Parses and validates an expanded shader with naga, for baseline WebGPU: no optional capability,
//! the default limits. Tells what the runtime needs to make a pipeline of it.

use naga::proc::Layouter;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess};

use crate::include::Expanded;

/// The default limits of WebGPU that a shader can break by itself.
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16 * 1024;
const MAX_STORAGE_BUFFERS: usize = 8;

/// WGSL's `pack2x16float` and `unpack2x16float` are part of WebGPU; naga tells them apart only for
/// OpenGL devices of old.
const BASELINE: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

/// What the runtime needs to know of a shader.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Invocations of a workgroup; workgroups are one-dimensional.
    pub(crate) workgroup_size: u32,
    /// The variants of `Binding`, binding 0 first.
    pub(crate) bindings: Vec<&'static str>,
}

/// Checks a shader; an error is one line, with file and line where they are known.
pub(crate) fn validate(text: &Expanded) -> Result<Facts, String> {
    let place = |line: Option<u32>| text.origin(line.unwrap_or(1));
    let module = naga::front::wgsl::parse_str(&text.source).map_err(|error| {
        let details: String = error.labels().map(|(_, label)| format!(" ({label})")).collect();
        let line = error.location(&text.source).map(|location| location.line_number);
        format!("{}: {}{details}", place(line), error.message())
    })?;
    let mut validator = Validator::new(ValidationFlags::all(), BASELINE);
    validator.validate(&module).map_err(|error| {
        let line = error.location(&text.source).map(|location| location.line_number);
        let mut message = error.as_inner().to_string();
        let mut cause = std::error::Error::source(error.as_inner());
        while let Some(inner) = cause {
            message += &format!(": {inner}");
            cause = inner.source();
        }
        format!("{}: {message}", place(line))
    })?;
    facts(&module).map_err(|what| format!("{}: {what}", place(None)))
}

fn facts(module: &Module) -> Result<Facts, String> {
    let [entry] = module.entry_points.as_slice() else {
        return Err("a file holds one entry point".into());
    };
    if entry.name != "main" {
        return Err(format!("the entry point is named main, not {}", entry.name));
    }
    let [workgroup_size, 1, 1] = entry.workgroup_size else {
        return Err("workgroups are one-dimensional".into());
    };
    if workgroup_size > MAX_INVOCATIONS {
        return Err(format!(
            "{workgroup_size} invocations in a workgroup, WebGPU guarantees {MAX_INVOCATIONS}"
        ));
    }
    let bytes = workgroup_bytes(module)?;
    if bytes > MAX_WORKGROUP_BYTES {
        return Err(format!("{bytes} bytes of workgroup memory, WebGPU guarantees {MAX_WORKGROUP_BYTES}"));
    }
    Ok(Facts { workgroup_size, bindings: bindings(module)? })
}

/// Workgroup memory, every variable rounded up to 16 bytes as an implementation may.
fn workgroup_bytes(module: &Module) -> Result<u32, String> {
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| error.to_string())?;
    let shared =
        module.global_variables.iter().filter(|(_, variable)| variable.space == AddressSpace::WorkGroup);
    Ok(shared.map(|(_, variable)| layouter[variable.ty].size.next_multiple_of(16)).sum())
}

/// The bindings of group 0 in order: binding 0 is the uniform, the others are storage buffers.
fn bindings(module: &Module) -> Result<Vec<&'static str>, String> {
    let mut found = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding else { continue };
        let kind = match variable.space {
            AddressSpace::Uniform => "Uniform",
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => "ReadWrite",
            AddressSpace::Storage { .. } => "Read",
            _ => return Err("a binding is a uniform or a storage buffer".into()),
        };
        if binding.group != 0 {
            return Err("all bindings are in group 0".into());
        }
        found.push((binding.binding, kind));
    }
    found.sort_unstable();
    let in_order = found
        .iter()
        .zip(0..)
        .all(|((binding, kind), index)| *binding == index && (*kind == "Uniform") == (index == 0));
    if !in_order || found.is_empty() {
        return Err("binding 0 is the uniform, storage buffers follow without gaps".into());
    }
    if found.len() - 1 > MAX_STORAGE_BUFFERS {
        return Err(format!("{} storage buffers, WebGPU guarantees {MAX_STORAGE_BUFFERS}", found.len() - 1));
    }
    Ok(found.into_iter().map(|(_, kind)| kind).collect())
}
