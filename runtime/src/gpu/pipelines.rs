//! The compiled kernels. All are made when the adapter is opened; none depends on a model or a
//! precision.

use std::collections::HashMap;

use otaro_shaders::{Binding, Shader};

use super::params::PARAMS_BYTES;

/// A kernel. Those that multiply with weights come with and without the `extra` of `tiles.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    Add,
    Attention,
    Embed,
    Matmul { extra: bool },
    Matvec { extra: bool },
    RmsNorm,
    Rope,
    StoreKv,
    Swiglu,
    TopK,
}

impl Kernel {
    const ALL: [Self; 12] = [
        Self::Add,
        Self::Attention,
        Self::Embed,
        Self::Matmul { extra: false },
        Self::Matmul { extra: true },
        Self::Matvec { extra: false },
        Self::Matvec { extra: true },
        Self::RmsNorm,
        Self::Rope,
        Self::StoreKv,
        Self::Swiglu,
        Self::TopK,
    ];

    pub(super) fn shader(self) -> Shader {
        match self {
            Self::Add => otaro_shaders::ADD,
            Self::Attention => otaro_shaders::ATTENTION,
            Self::Embed => otaro_shaders::EMBED,
            Self::Matmul { .. } => otaro_shaders::MATMUL,
            Self::Matvec { .. } => otaro_shaders::MATVEC,
            Self::RmsNorm => otaro_shaders::RMS_NORM,
            Self::Rope => otaro_shaders::ROPE,
            Self::StoreKv => otaro_shaders::STORE_KV,
            Self::Swiglu => otaro_shaders::SWIGLU,
            Self::TopK => otaro_shaders::TOP_K,
        }
    }
}

/// Every kernel, compiled.
#[derive(Debug)]
pub(super) struct Pipelines {
    compiled: HashMap<Kernel, (wgpu::ComputePipeline, wgpu::BindGroupLayout)>,
    /// Invocations of `matvec` that share four rows.
    pub(super) matvec_split: u32,
}

impl Pipelines {
    /// Compiles every kernel. Errors go to the error scopes of the caller.
    pub(super) fn new(device: &wgpu::Device, matvec_split: u32) -> Self {
        let compile = |kernel: Kernel| compile(device, kernel, matvec_split);
        Self { compiled: Kernel::ALL.map(|kernel| (kernel, compile(kernel))).into(), matvec_split }
    }

    pub(super) fn pipeline(&self, kernel: Kernel) -> &wgpu::ComputePipeline {
        &self.compiled[&kernel].0
    }

    pub(super) fn layout(&self, kernel: Kernel) -> &wgpu::BindGroupLayout {
        &self.compiled[&kernel].1
    }
}

fn compile(
    device: &wgpu::Device,
    kernel: Kernel,
    matvec_split: u32,
) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
    let shader = kernel.shader();
    let label = Some(shader.name);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label,
        source: wgpu::ShaderSource::Wgsl(shader.source.into()),
    });
    let entries: Vec<_> = (0..).zip(shader.bindings).map(|(index, binding)| entry(index, *binding)).collect();
    let layout =
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let split = ("split", f64::from(matvec_split));
    let constants = match kernel {
        Kernel::Matvec { extra } => vec![split, ("with_extra", f64::from(u8::from(extra)))],
        Kernel::Matmul { extra } => vec![("with_extra", f64::from(u8::from(extra)))],
        _ => Vec::new(),
    };
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &constants,
            // Every kernel writes workgroup memory before it reads it.
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    });
    (pipeline, layout)
}

fn entry(index: u32, binding: Binding) -> wgpu::BindGroupLayoutEntry {
    let ty = match binding {
        Binding::Uniform => wgpu::BufferBindingType::Uniform,
        Binding::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Binding::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
    };
    let uniform = binding == Binding::Uniform;
    wgpu::BindGroupLayoutEntry {
        binding: index,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: uniform,
            min_binding_size: wgpu::BufferSize::new(if uniform { PARAMS_BYTES as u64 } else { 0 }),
        },
        count: None,
    }
}
