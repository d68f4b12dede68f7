//! An opened adapter. Every error of wgpu and the loss of the device become error values here:
//! nothing panics, whatever a driver does.

use std::sync::{Arc, Mutex, PoisonError};

use super::pipelines::Pipelines;
use crate::{DeviceInfo, DeviceKind, Error, ErrorKind, Result};

/// How to choose and open an adapter.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Part of the adapter's name, in any case; without it the fastest kind of adapter is taken.
    pub adapter: Option<String>,
    /// Asks for no more than the default limits of WebGPU, to see that they suffice.
    pub default_limits: bool,
}

/// An adapter of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// Adapter, API and driver, in words.
    pub name: String,
    /// Whether it computes on the CPU.
    pub software: bool,
    /// Why it cannot run the kernels, if it cannot.
    pub unsuitable: Option<String>,
}

/// An opened adapter with compiled kernels. Models and sessions share it.
#[derive(Debug)]
pub struct GpuContext {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: Pipelines,
    limits: wgpu::Limits,
    info: DeviceInfo,
    software: bool,
    faults: Arc<Faults>,
}

/// What was reported outside of any call of ours.
#[derive(Debug, Default)]
struct Faults {
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<String>>,
}

impl GpuContext {
    /// Every adapter of this machine, the one that [`open`](Self::open) takes first.
    pub fn adapters() -> Vec<AdapterSummary> {
        enumerate().iter().map(summary).collect()
    }

    /// Opens an adapter and compiles the kernels.
    ///
    /// # Errors
    /// [`NoAdapter`](ErrorKind::NoAdapter) when there is none, none of that name, or none that can
    /// run the kernels; [`Device`](ErrorKind::Device) when the adapter refuses.
    pub fn open(options: &GpuOptions) -> Result<Arc<Self>> {
        let adapter = choose(enumerate(), options)?;
        let software = summary(&adapter).software;
        // A GPU needs more invocations than a matrix has rows to be busy; on a CPU that computes
        // as a GPU, invocations that wait for each other are dear.
        Self::open_adapter(&adapter, options, if software { 1 } else { 16 })
    }

    /// Opens an adapter with this many invocations of `matvec` to four rows.
    pub(super) fn open_adapter(
        adapter: &wgpu::Adapter,
        options: &GpuOptions,
        matvec_split: u32,
    ) -> Result<Arc<Self>> {
        let software = summary(adapter).software;
        let name = describe(&adapter.get_info());
        let refused = |what: &str, error: String| {
            Error::new(ErrorKind::Device, format!("{name} cannot {what}: {error}"))
        };
        let limits = required_limits(&adapter.limits(), options.default_limits);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("otaro"),
            required_limits: limits.clone(),
            // Blocks set aside for later would be memory that the app does not have.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| refused("be opened", error.to_string()))?;
        let faults = Arc::new(Faults::default());
        faults.listen(&device);
        let pipelines = captured(&device, || Pipelines::new(&device, matvec_split))
            .map_err(|error| refused("compile the kernels", error))?;
        let info = DeviceInfo { kind: DeviceKind::Gpu, name };
        Ok(Arc::new(Self { device, queue, pipelines, limits, info, software, faults }))
    }

    /// The adapter, API and driver.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Whether the adapter computes on the CPU.
    pub fn is_software(&self) -> bool {
        self.software
    }

    /// The largest buffer that can be bound, in bytes.
    pub(super) fn max_binding_bytes(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// The distance at which uniforms can be bound.
    pub(super) fn uniform_alignment(&self) -> usize {
        self.limits.min_uniform_buffer_offset_alignment as usize
    }

    /// Does work on the device; what the device has against it is an error that says `doing`.
    pub(super) fn guard<T>(&self, doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check(doing)?;
        let result = captured(&self.device, work).map_err(|error| self.error(doing, &error))?;
        self.check(doing)?;
        result
    }

    /// An error of this device.
    pub(super) fn error(&self, doing: &str, what: &str) -> Error {
        Error::new(ErrorKind::Device, format!("{}, {doing}: {what}", self.info.name))
    }

    /// Waits until everything submitted is done.
    pub(super) fn wait(&self, doing: &str) -> Result<()> {
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        waited.map(|_| ()).map_err(|error| self.error(doing, &error.to_string()))
    }

    /// The device being lost is for good; other faults are reported once.
    fn check(&self, doing: &str) -> Result<()> {
        if let Some(reason) = &*self.faults.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(self.error(doing, &format!("the device was lost ({reason}); open it again")));
        }
        match self.faults.uncaptured.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(self.error(doing, &error)),
            None => Ok(()),
        }
    }
}

impl Faults {
    /// Registers for what wgpu would otherwise panic about or only log.
    fn listen(self: &Arc<Self>, device: &wgpu::Device) {
        let faults = Arc::clone(self);
        device.set_device_lost_callback(move |reason, message| {
            let mut lost = faults.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.get_or_insert(format!("{reason:?}: {message}"));
        });
        let faults = Arc::clone(self);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let mut uncaptured = faults.uncaptured.lock().unwrap_or_else(PoisonError::into_inner);
            uncaptured.get_or_insert(error.to_string());
        }));
    }
}

/// Runs `work` in error scopes; the first error that the device reports wins over its result.
fn captured<T>(device: &wgpu::Device, work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let value = work();
    let errors = [internal, validation, memory].map(|scope| pollster::block_on(scope.pop()));
    match errors.into_iter().flatten().next() {
        Some(error) => Err(error.to_string()),
        None => Ok(value),
    }
}

/// All adapters, the best kind first.
pub(super) fn enumerate() -> Vec<wgpu::Adapter> {
    // No flags: debug builds are for chatting too, and validation layers would slow them down.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

pub(super) fn choose(adapters: Vec<wgpu::Adapter>, options: &GpuOptions) -> Result<wgpu::Adapter> {
    let none = |what: String| Error::new(ErrorKind::NoAdapter, what);
    let wanted = options.adapter.as_deref().unwrap_or_default().to_lowercase();
    let mut found: Vec<String> = Vec::new();
    for adapter in adapters {
        let AdapterSummary { name, unsuitable, .. } = summary(&adapter);
        match unsuitable {
            None if name.to_lowercase().contains(&wanted) => return Ok(adapter),
            None => found.push(name),
            Some(reason) => found.push(format!("{name} ({reason})")),
        }
    }
    Err(none(match (found.is_empty(), wanted.is_empty()) {
        (true, _) => "no GPU adapter was found: install a driver (on Debian and Ubuntu the package \
                      mesa-vulkan-drivers has one that needs no GPU) or use the CPU"
            .to_string(),
        (false, true) => format!("no GPU adapter can run the kernels; found: {}", found.join("; ")),
        (false, false) => format!("no usable GPU adapter is named '{wanted}'; found: {}", found.join("; ")),
    }))
}

fn summary(adapter: &wgpu::Adapter) -> AdapterSummary {
    let info = adapter.get_info();
    AdapterSummary {
        name: describe(&info),
        software: info.device_type == wgpu::DeviceType::Cpu,
        unsuitable: unsuitable(adapter),
    }
}

/// `llvmpipe (LLVM 15.0.6, 256 bits), Vulkan, Mesa 22.3.6`
fn describe(info: &wgpu::AdapterInfo) -> String {
    let backend = match info.backend {
        wgpu::Backend::Vulkan => "Vulkan",
        wgpu::Backend::Metal => "Metal",
        wgpu::Backend::Dx12 => "Direct3D 12",
        wgpu::Backend::Gl => "OpenGL",
        wgpu::Backend::BrowserWebGpu => "WebGPU",
        wgpu::Backend::Noop => "no backend",
    };
    let driver = [info.driver_info.as_str(), info.driver.as_str()].into_iter().find(|text| !text.is_empty());
    let words = [Some(info.name.as_str()), Some(backend), driver];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What the kernels need and the adapter lacks.
fn unsuitable(adapter: &wgpu::Adapter) -> Option<String> {
    let flags = adapter.get_downlevel_capabilities().flags;
    let needed = wgpu::DownlevelFlags::COMPUTE_SHADERS | wgpu::DownlevelFlags::SHADER_F16_IN_F32;
    if !flags.contains(needed) {
        return Some(format!("it lacks {:?}", needed - flags));
    }
    let (has, needs) = (adapter.limits(), wgpu::Limits::default());
    let limits = [
        (
            "storage buffers per shader",
            has.max_storage_buffers_per_shader_stage,
            needs.max_storage_buffers_per_shader_stage,
        ),
        ("bytes of workgroup memory", has.max_compute_workgroup_storage_size, 4096),
        ("invocations per workgroup", has.max_compute_invocations_per_workgroup, 64),
    ];
    let (what, has, needs) = limits.into_iter().find(|(_, has, needs)| has < needs)?;
    Some(format!("it has {has} {what}, {needs} are needed"))
}

/// The default limits of WebGPU, less where the adapter has less and more only of what a long
/// context or a large vocabulary can use: the size of a buffer.
fn required_limits(adapter: &wgpu::Limits, default_limits: bool) -> wgpu::Limits {
    let mut limits = wgpu::Limits::default().or_worse_values_from(adapter);
    if !default_limits {
        limits.max_storage_buffer_binding_size = adapter.max_storage_buffer_binding_size;
        limits.max_buffer_size = adapter.max_buffer_size;
    }
    limits
}
