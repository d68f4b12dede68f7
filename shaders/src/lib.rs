//! The WGSL kernels of otaro: one file, one entry point, one operation. The files of `shared/` are
//! included at build time, where every shader is parsed and validated too; what stands here is the
//! final text. Each kernel has a plain Rust twin of the same name in the CPU device of the runtime.

/// A validated compute shader. Its entry point is `main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shader {
    /// The name of the file, without extension.
    pub name: &'static str,
    /// The text, includes expanded.
    pub source: &'static str,
    /// Invocations of a workgroup along x; along y and z it is 1.
    pub workgroup_size: u32,
    /// The bindings of group 0, in order.
    pub bindings: &'static [Binding],
}

/// What is bound in one place of a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The parameters of the dispatch: always binding 0, at a dynamic offset.
    Uniform,
    /// A storage buffer that is read.
    Read,
    /// A storage buffer that is written, and perhaps read.
    ReadWrite,
}

include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

#[cfg(test)]
#[path = "../build/include.rs"]
mod include;
#[cfg(test)]
#[path = "../build/validate.rs"]
mod validate;

#[cfg(test)]
mod tests;
