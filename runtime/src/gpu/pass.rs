//! A pass as it is recorded: a list of dispatches over named buffers. Bind groups are made when
//! the pass is run and kept as long as the buffers they name stay the same.

use std::collections::HashMap;

use super::{
    context::GpuContext,
    params::{PARAMS_BYTES, Params},
    pipelines::Kernel,
};
use crate::{Norm, Result, Slot, WeightMatrix};

/// What a dispatch is bound to, by name: the key of its bind group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Bindings {
    /// The embedding, by chunk.
    Embed { chunk: usize },
    /// `Hidden`, a norm, `Normed`.
    RmsNorm(Norm),
    /// A chunk of a matrix, its input and its output.
    Matmul { matrix: WeightMatrix, chunk: usize, input: Slot, output: Slot },
    /// The rotary table, `Query`, `Key`.
    Rope,
    /// `Key`, `Value` and the cache of a layer.
    StoreKv { layer: usize },
    /// `Query`, the cache of a layer, `Attended`.
    Attention { layer: usize },
    /// `Up`, `Gate`.
    Swiglu,
    /// `Projected`, `Hidden`.
    Add,
    /// `Logits` to the first list of candidates, then from one list to the other.
    TopK { stage: usize },
}

/// One kernel to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispatch {
    pub(super) kernel: Kernel,
    pub(super) bindings: Bindings,
    pub(super) params: Params,
    /// Workgroups along x and y.
    pub(super) groups: [u32; 2],
}

/// Bind groups and the uniform buffer behind them.
#[derive(Debug)]
pub(super) struct BindGroups {
    /// The parameters of all dispatches of a pass, `stride` bytes apart.
    params: wgpu::Buffer,
    stride: usize,
    groups: HashMap<(Kernel, Bindings), wgpu::BindGroup>,
}

impl BindGroups {
    pub(super) fn new(context: &GpuContext) -> Self {
        let stride = PARAMS_BYTES.next_multiple_of(context.uniform_alignment());
        Self { params: params_buffer(context, stride, 64), stride, groups: HashMap::new() }
    }

    /// Forgets all bind groups: a buffer was replaced.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
    }

    /// Writes the parameters of the dispatches and records them in one compute pass. `buffers`
    /// finds the storage buffers of a name, in the order of the shader.
    pub(super) fn encode(
        &mut self,
        context: &GpuContext,
        encoder: &mut wgpu::CommandEncoder,
        dispatches: &[Dispatch],
        buffers: &dyn Fn(Bindings) -> Result<Vec<wgpu::Buffer>>,
    ) -> Result<()> {
        self.write_params(context, dispatches);
        for dispatch in dispatches {
            self.prepare(context, dispatch, buffers)?;
        }
        let mut compute = encoder.begin_compute_pass(&Default::default());
        let mut kernel = None;
        for (index, dispatch) in dispatches.iter().enumerate() {
            if kernel.replace(dispatch.kernel) != Some(dispatch.kernel) {
                compute.set_pipeline(context.pipelines.pipeline(dispatch.kernel));
            }
            let group = self.groups.get(&(dispatch.kernel, dispatch.bindings));
            compute.set_bind_group(0, group, &[(index * self.stride) as u32]);
            compute.dispatch_workgroups(dispatch.groups[0], dispatch.groups[1], 1);
        }
        Ok(())
    }

    fn write_params(&mut self, context: &GpuContext, dispatches: &[Dispatch]) {
        let bytes = dispatches.len() * self.stride;
        if bytes as u64 > self.params.size() {
            self.params = params_buffer(context, self.stride, dispatches.len().next_power_of_two());
            self.groups.clear();
        }
        let mut words = vec![0; bytes];
        for (slot, dispatch) in words.chunks_mut(self.stride).zip(dispatches) {
            slot[..PARAMS_BYTES].copy_from_slice(dispatch.params.bytes());
        }
        context.queue.write_buffer(&self.params, 0, &words);
    }

    /// Makes the bind group of a dispatch, unless there is one.
    fn prepare(
        &mut self,
        context: &GpuContext,
        dispatch: &Dispatch,
        buffers: &dyn Fn(Bindings) -> Result<Vec<wgpu::Buffer>>,
    ) -> Result<()> {
        let key = (dispatch.kernel, dispatch.bindings);
        if self.groups.contains_key(&key) {
            return Ok(());
        }
        let buffers = buffers(dispatch.bindings)?;
        let params = wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.params,
                offset: 0,
                size: wgpu::BufferSize::new(PARAMS_BYTES as u64),
            }),
        };
        let storage = (1..)
            .zip(&buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        let entries: Vec<_> = [params].into_iter().chain(storage).collect();
        let group = context.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(dispatch.kernel.shader().name),
            layout: context.pipelines.layout(dispatch.kernel),
            entries: &entries,
        });
        self.groups.insert(key, group);
        Ok(())
    }
}

fn params_buffer(context: &GpuContext, stride: usize, dispatches: usize) -> wgpu::Buffer {
    context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("parameters"),
        size: (stride * dispatches) as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
