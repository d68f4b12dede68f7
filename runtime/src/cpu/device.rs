//! Puts the twins behind the operations of a [`Device`].

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sefp::{Precision, Reconstruction};

use super::{
    add::add,
    attention::{Heads, attention},
    blocked_attention::blocked_attention,
    embed::embed,
    kv_cache::{KvKind, KvRows},
    kv_format::KvFormat,
    options::{CpuKernel, CpuOptions},
    pool::Pool,
    products::Products,
    rms_norm::rms_norm,
    rope::rope,
    rope_store_kv::rope_store_kv,
    slots::Slots,
    swiglu::{fast_swiglu, swiglu},
    top_k::top_k,
    weights::{FullWeights, Weights},
};
use crate::{
    Backend, Batch, Checkpoint, Device, DeviceInfo, DeviceKind, MatrixPrecisions, Norm, Output,
    PrecisionProfile, Readback, Result, Slot, WeightMatrix, device::MAX_LOGITS_BYTES, rope::Rope,
};

/// Tokens of a pass: enough that the decoding of a tile does not count beside the multiplying.
const MAX_BATCH: usize = 128;

/// The CPU as a backend: planes are used straight from the memory map.
#[derive(Debug)]
pub struct CpuBackend {
    weights: Arc<Weights>,
    pool: Arc<Pool>,
    kv_format: KvFormat,
    kernel: CpuKernel,
    read: Arc<PlanesRead>,
    info: DeviceInfo,
}

impl CpuBackend {
    /// A backend over the planes of a checkpoint.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for kernels that the processor does not have,
    /// [`Device`](crate::ErrorKind::Device) when the system has no threads to give.
    pub fn new(
        checkpoint: Arc<Checkpoint>,
        reconstruction: Reconstruction,
        options: &CpuOptions,
    ) -> Result<Self> {
        Self::with(Weights::Packed { checkpoint, reconstruction }, options)
    }

    /// A backend over unquantised weights with an unquantised KV cache: the reference. It ignores
    /// the precision of a pass. Of the options it takes the threads, and [`CpuKernel::Plain`] for the
    /// twins; anything else means [`CpuKernel::Exact`], whose products of unquantised weights are those of the
    /// twins but for their rounding: multiply-adds are fused where the processor has them.
    ///
    /// # Errors
    /// [`Device`](crate::ErrorKind::Device) when the system has no threads to give.
    pub fn full_precision(weights: FullWeights, options: &CpuOptions) -> Result<Self> {
        let kernel = match options.kernel {
            Some(CpuKernel::Plain) => CpuKernel::Plain,
            _ => CpuKernel::Exact,
        };
        let options = CpuOptions { kv_format: KvFormat::F32, kernel: Some(kernel), ..*options };
        Self::with(Weights::Full(Box::new(weights)), &options)
    }

    fn with(weights: Weights, options: &CpuOptions) -> Result<Self> {
        let kernel = options.available_kernel()?;
        let pool = Pool::new(options.thread_count())?;
        let name = format!("{kernel} kernels, {} threads", pool.threads());
        let info = DeviceInfo { kind: DeviceKind::Cpu, name };
        Ok(Self {
            weights: Arc::new(weights),
            pool: Arc::new(pool),
            kv_format: options.kv_format,
            kernel,
            read: Arc::default(),
            info,
        })
    }
}

impl Backend for CpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn device(&self) -> Result<Box<dyn Device>> {
        let architecture = self.weights.architecture();
        let rows = |kind| KvRows::new(kind, architecture.kv_heads, architecture.head_dim, self.kv_format);
        Ok(Box::new(CpuDevice {
            rope: Rope::new(architecture),
            slots: Slots::new(architecture),
            products: Products::new(self.kernel),
            kv: (0..architecture.layers).map(|_| (rows(KvKind::Keys), rows(KvKind::Values))).collect(),
            weights: Arc::clone(&self.weights),
            pool: Arc::clone(&self.pool),
            plain: self.kernel == CpuKernel::Plain,
            read: Arc::clone(&self.read),
            pass: Pass {
                tokens: Vec::new(),
                position: 0,
                precisions: Arc::new(PrecisionProfile::from(Precision::MAX).resolve(architecture)?),
                rope_table: Vec::new(),
            },
        }))
    }

    /// Asks the system to read ahead.
    fn prepare(&self, precisions: &MatrixPrecisions) -> Result<()> {
        match &*self.weights {
            Weights::Packed { checkpoint, .. } => checkpoint.read_ahead(precisions),
            Weights::Full(_) => Ok(()),
        }
    }

    fn trim(&self, precisions: &MatrixPrecisions) {
        if let Weights::Packed { checkpoint, .. } = &*self.weights {
            checkpoint.trim(precisions);
            self.read.trim(precisions);
        }
    }

    /// Bytes of the planes that passes have read since they were last given back.
    fn resident_bytes(&self) -> u64 {
        self.read.lock().as_ref().map_or(0, |read| self.weights.bytes(read))
    }
}

/// The planes that passes have read since they were last given back; `None` before the first pass.
#[derive(Debug, Default)]
struct PlanesRead(Mutex<Option<MatrixPrecisions>>);

impl PlanesRead {
    fn lock(&self) -> MutexGuard<'_, Option<MatrixPrecisions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass reads these.
    fn add(&self, precisions: &MatrixPrecisions) {
        let mut read = self.lock();
        match &*read {
            Some(already) if already.covers(precisions) => {}
            Some(already) => *read = Some(already.union(precisions)),
            None => *read = Some(precisions.clone()),
        }
    }

    fn trim(&self, precisions: &MatrixPrecisions) {
        let mut read = self.lock();
        *read = read.as_ref().map(|read| read.intersection(precisions));
    }
}

/// Activations and KV cache of one session on the CPU.
#[derive(Debug)]
struct CpuDevice {
    weights: Arc<Weights>,
    pool: Arc<Pool>,
    /// Whether only twins compute.
    plain: bool,
    read: Arc<PlanesRead>,
    rope: Rope,
    slots: Slots,
    products: Products,
    /// Keys and values of each layer.
    kv: Vec<(KvRows, KvRows)>,
    pass: Pass,
}

/// What [`Device::begin`] was given.
#[derive(Debug)]
struct Pass {
    tokens: Vec<u32>,
    position: usize,
    precisions: Arc<MatrixPrecisions>,
    rope_table: Vec<[f32; 2]>,
}

impl CpuDevice {
    fn rows(&self) -> usize {
        self.pass.tokens.len()
    }

    fn heads(&self) -> Heads {
        let architecture = self.weights.architecture();
        Heads { query: architecture.heads, kv: architecture.kv_heads, dim: architecture.head_dim }
    }
}

impl Device for CpuDevice {
    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    fn runs_at_once(&self) -> bool {
        true
    }

    fn max_logits_rows(&self) -> usize {
        let row_bytes = self.weights.architecture().vocab_size * size_of::<f32>();
        (MAX_LOGITS_BYTES / row_bytes).clamp(1, MAX_BATCH)
    }

    fn kv_bytes(&self) -> u64 {
        self.kv.iter().map(|(keys, values)| (keys.bytes() + values.bytes()) as u64).sum()
    }

    fn begin(&mut self, batch: Batch<'_>) -> Result<()> {
        let rows = batch.tokens.len();
        for slot in Slot::ALL.into_iter().filter(|&slot| slot != Slot::Logits) {
            self.slots.get_mut(slot).grow(rows);
        }
        for (keys, values) in &mut self.kv {
            keys.grow(batch.position + rows);
            values.grow(batch.position + rows);
        }
        self.read.add(batch.precisions);
        self.pass = Pass {
            tokens: batch.tokens.to_vec(),
            position: batch.position,
            precisions: Arc::clone(batch.precisions),
            rope_table: self.rope.table(batch.position, rows),
        };
        Ok(())
    }

    fn embed(&mut self) -> Result<()> {
        let embedding = self.weights.matrix(WeightMatrix::Embedding, self.pass.precisions.embedding())?;
        embed(&self.pool, &embedding, &self.pass.tokens, self.slots.get_mut(Slot::Hidden));
        Ok(())
    }

    fn rms_norm(&mut self, weight: Norm) -> Result<()> {
        let rows = self.rows();
        let epsilon = self.weights.architecture().rms_norm_eps;
        let weight = self.weights.norm(weight)?;
        let mut output = self.slots.take(Slot::Normed);
        let quantised = self.products.quantises().then(|| self.products.buffer(output.stride, rows));
        rms_norm(&self.pool, self.slots.get(Slot::Hidden), weight, epsilon, rows, &mut output, quantised);
        self.slots.put(Slot::Normed, output);
        if self.products.quantises() {
            self.products.filled(&self.slots, Slot::Normed, 0..rows);
        }
        Ok(())
    }

    fn matmul(&mut self, weight: WeightMatrix, input: Slot, rows: Range<usize>, output: Slot) -> Result<()> {
        self.matmuls(&[(weight, output)], input, rows)
    }

    fn matmuls(&mut self, products: &[(WeightMatrix, Slot)], input: Slot, rows: Range<usize>) -> Result<()> {
        let matrices = products
            .iter()
            .map(|&(weight, output)| {
                let precision = self.pass.precisions.product(weight);
                Ok((self.weights.matrix(weight, precision)?, output))
            })
            .collect::<Result<Vec<_>>>()?;
        self.products.compute(&self.pool, &matrices, &mut self.slots, input, rows);
        Ok(())
    }

    fn rope(&mut self) -> Result<()> {
        let head_dim = self.weights.architecture().head_dim;
        let rows = self.rows();
        for slot in [Slot::Query, Slot::Key] {
            rope(&self.pass.rope_table, head_dim, rows, self.slots.get_mut(slot));
        }
        Ok(())
    }

    fn store_kv(&mut self, layer: usize) -> Result<()> {
        let (position, rows) = (self.pass.position, self.rows());
        let (keys, values) = &mut self.kv[layer];
        keys.store(self.slots.get(Slot::Key), position, rows);
        values.store(self.slots.get(Slot::Value), position, rows);
        Ok(())
    }

    fn rope_store_kv(&mut self, layer: usize) -> Result<()> {
        if self.plain {
            self.rope()?;
            return self.store_kv(layer);
        }
        let heads = self.heads();
        let (keys, values) = &mut self.kv[layer];
        let (mut query, mut key) = (self.slots.take(Slot::Query), self.slots.take(Slot::Key));
        let slots = (&mut query, &mut key, self.slots.get(Slot::Value));
        rope_store_kv(&self.pool, heads, &self.pass.rope_table, slots, (keys, values), self.pass.position);
        self.slots.put(Slot::Query, query);
        self.slots.put(Slot::Key, key);
        Ok(())
    }

    fn attention(&mut self, layer: usize) -> Result<()> {
        let heads = self.heads();
        let (position, rows) = (self.pass.position, self.rows());
        let (keys, values) = &self.kv[layer];
        let mut output = self.slots.take(Slot::Attended);
        let attention = if self.plain { attention } else { blocked_attention };
        attention(
            &self.pool,
            heads,
            self.slots.get(Slot::Query),
            (keys, values),
            position,
            rows,
            &mut output,
        );
        self.slots.put(Slot::Attended, output);
        Ok(())
    }

    fn swiglu(&mut self) -> Result<()> {
        let rows = self.rows();
        let mut gate = self.slots.take(Slot::Gate);
        match self.plain {
            true => swiglu(&mut gate, self.slots.get(Slot::Up), rows),
            false => fast_swiglu(&self.pool, &mut gate, self.slots.get(Slot::Up), rows),
        }
        self.slots.put(Slot::Gate, gate);
        Ok(())
    }

    fn add(&mut self) -> Result<()> {
        let rows = self.rows();
        let mut hidden = self.slots.take(Slot::Hidden);
        add(&mut hidden, self.slots.get(Slot::Projected), rows);
        self.slots.put(Slot::Hidden, hidden);
        Ok(())
    }

    fn finish(&mut self, readback: Readback) -> Result<Output> {
        Ok(match readback {
            Readback::Nothing => Output::Nothing,
            Readback::TopK(k) => Output::TopK(top_k(self.slots.get(Slot::Logits).row(0), k)),
            Readback::Rows(slot, rows) => {
                let slot = self.slots.get(slot);
                Output::Rows(rows.flat_map(|row| slot.row(row)).copied().collect())
            }
        })
    }
}
