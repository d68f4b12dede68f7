//! Packing: every form of a Hugging Face folder gives the same model, what is not a LLaMA is
//! refused by name, and a packing that fails leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, path::Path, sync::Arc};

use half::{bf16, f16};
use otaro::{
    Architecture, CancelToken, Checkpoint, Error, ErrorKind, Model, Norm, Precision, Result, WeightMatrix,
    checkpoint::{WeightSource, write_checkpoint},
    cpu::CpuOptions,
    pack::{PackOptions, RandomWeights, pack_folder},
};
use otaro_tests::{
    huggingface::{self, Form},
    temporary_folder, tiny,
};
use safetensors::Dtype;
use serde_json::{Value, json};

/// Random weights as a folder of some type holds them.
struct Rounded(RandomWeights, Dtype);

impl Rounded {
    fn round(&self, mut values: Vec<f32>) -> Vec<f32> {
        for value in &mut values {
            *value = match self.1 {
                Dtype::F16 => f16::from_f32(*value).to_f32(),
                Dtype::BF16 => bf16::from_f32(*value).to_f32(),
                _ => *value,
            };
        }
        values
    }
}

impl WeightSource for Rounded {
    fn rows(&mut self, matrix: WeightMatrix, rows: std::ops::Range<usize>) -> Result<Vec<f32>> {
        self.0.rows(matrix, rows).map(|values| self.round(values))
    }

    fn norm(&mut self, norm: Norm) -> Result<Vec<f32>> {
        self.0.norm(norm).map(|values| self.round(values))
    }
}

/// Everything that decides what a model computes.
fn planes(checkpoint: &Checkpoint) -> Vec<Vec<u8>> {
    let architecture = checkpoint.architecture();
    let mut planes: Vec<Vec<u8>> = Norm::all(architecture)
        .map(|norm| checkpoint.norm(norm).unwrap().iter().flat_map(|weight| weight.to_le_bytes()).collect())
        .collect();
    for matrix in WeightMatrix::all(architecture) {
        planes.push(checkpoint.scales(matrix).unwrap().to_vec());
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        planes.push(words(checkpoint.base(matrix).unwrap()));
        planes.extend((0..5).map(|plane| words(checkpoint.bit_plane(matrix, plane).unwrap())));
    }
    planes
}

fn pack(folder: &Path, output: &Path) -> Result<Checkpoint> {
    pack_folder(folder, output, &PackOptions::default(), &mut |_| Ok(()))?;
    Checkpoint::open(output)
}

#[test]
fn every_form_of_a_folder_packs_to_the_same_planes() {
    let head = WeightMatrix::Head.to_string();
    let cases = [
        (tiny::irregular(), Form::default()),
        (tiny::irregular(), Form { dtype: Dtype::F16, ..Form::default() }),
        (tiny::irregular(), Form { dtype: Dtype::BF16, shards: 3, ..Form::default() }),
        (tiny::irregular(), Form { shards: 4, ..Form::default() }),
        (tiny::regular(), Form::default()),
        (tiny::regular(), Form { embedding: head.clone(), ..Form::default() }),
        (tiny::regular(), Form { embedding: head, dtype: Dtype::F16, shards: 2 }),
    ];
    for (architecture, form) in cases {
        let folder = temporary_folder();
        huggingface::write(folder.path(), &architecture, 11, &form);
        let packed = pack(folder.path(), &folder.path().join("packed.sefp.safetensors")).unwrap();
        assert_eq!(packed.architecture(), &architecture, "{form:?}");
        assert_eq!(
            packed.blob("config.json").unwrap().unwrap(),
            fs::read(folder.path().join("config.json")).unwrap()
        );
        assert!(packed.blob("chat_template.jinja").unwrap().is_none());

        let expected = folder.path().join("expected.sefp.safetensors");
        let mut weights = Rounded(RandomWeights::new(&architecture, 11), form.dtype);
        write_checkpoint(&expected, &tiny::manifest(&architecture), &mut weights, &mut |_| Ok(())).unwrap();
        assert!(planes(&packed) == planes(&Checkpoint::open(&expected).unwrap()), "{form:?}");
        Model::on_cpu(Arc::new(packed), None, &CpuOptions::default())
            .unwrap()
            .session(Precision::E5M4)
            .unwrap()
            .logits(&[1, 2, 3], &CancelToken::new())
            .unwrap();
    }
}

#[test]
fn packing_twice_gives_the_same_bytes() {
    let folder = temporary_folder();
    huggingface::write(folder.path(), &tiny::irregular(), 12, &Form::default());
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    for path in &paths {
        pack(folder.path(), path).unwrap();
    }
    assert!(fs::read(&paths[0]).unwrap() == fs::read(&paths[1]).unwrap());
}

/// Any safetensors reader can list the file.
#[test]
fn the_file_is_valid_safetensors_with_aligned_sections() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    let checkpoint = tiny::checkpoint(&path, &tiny::irregular(), 13);
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let name = format!("{}.base", WeightMatrix::Embedding);
    assert_eq!(tensors.tensor(&name).unwrap().shape(), [7 * 2, 128]);
    assert_eq!(checkpoint.data_start() % 16384, 0);
    for section in checkpoint.sections() {
        assert_eq!(section.begin % 16384, 0, "{}", section.name);
    }
    let start = bytes.as_ptr() as usize;
    for (name, tensor) in tensors.iter().filter(|(name, _)| !name.starts_with("padding")) {
        assert_eq!((tensor.data().as_ptr() as usize - start) % 64, 0, "{name}");
    }
}

fn refused(change: impl FnOnce(&mut Value, &Path)) -> Error {
    let folder = temporary_folder();
    huggingface::write(folder.path(), &tiny::irregular(), 14, &Form::default());
    let mut config = huggingface::config(&tiny::irregular());
    change(&mut config, folder.path());
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let output = folder.path().join("packed");
    let error = pack(folder.path(), &output).unwrap_err();
    assert!(!output.exists());
    error
}

#[test]
fn what_is_not_a_llama_is_refused_by_name() {
    let cases: [(&str, Value, &str); 14] = [
        ("model_type", json!("mistral"), "model_type 'mistral'"),
        ("model_type", Value::Null, "without model_type"),
        ("hidden_act", json!("gelu"), "hidden_act 'gelu'"),
        ("attention_bias", json!(true), "attention_bias"),
        ("mlp_bias", json!(true), "mlp_bias"),
        ("quantization_config", json!({"bits": 4}), "quantization_config"),
        ("rope_scaling", json!({"type": "yarn", "factor": 4.0}), "rope_scaling of type 'yarn'"),
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), "has no low_freq_factor"),
        ("head_dim", json!(11), "head_dim is 11"),
        ("num_key_value_heads", json!(4), "not a multiple of num_key_value_heads"),
        ("hidden_size", json!(80), "has the shape [72], config.json asks for [80]"),
        ("num_hidden_layers", json!(3), "model.layers.2.input_layernorm.weight is in none"),
        ("vocab_size", json!(0), "vocab_size is 0"),
        ("rope_theta", json!(-1.0), "rope_theta is -1"),
    ];
    for (field, value, message) in cases {
        let error = refused(|config, _| config[field] = value.clone());
        assert!(error.to_string().contains(message), "{field} = {value}: {error}");
        assert!(matches!(error.kind(), ErrorKind::UnsupportedModel | ErrorKind::Corrupt), "{error:?}");
    }
}

#[test]
fn incomplete_and_damaged_folders_are_refused_by_file() {
    let cases: [(&str, Option<&[u8]>, &str); 5] = [
        ("model.safetensors", None, "neither model.safetensors nor model.safetensors.index.json"),
        ("model.safetensors", Some(b"not tensors at all"), "not a valid safetensors file"),
        ("tokenizer.json", None, "tokenizer.json is not there"),
        ("model.safetensors.index.json", Some(b"{"), "not a shard index"),
        (
            "model.safetensors.index.json",
            Some(br#"{"weight_map": {"x": "../../elsewhere.safetensors"}}"#),
            "is not the name of a file in this folder",
        ),
    ];
    for (file, content, message) in cases {
        let error = refused(|_, folder| match content {
            Some(bytes) => fs::write(folder.join(file), bytes).unwrap(),
            None => fs::remove_file(folder.join(file)).unwrap(),
        });
        assert!(error.to_string().contains(message), "{file}: {error}");
    }
    let error = pack(Path::new("/nowhere"), &temporary_folder().path().join("x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

/// A source whose weight 70 of the second layer's gate is not a number.
struct Poisoned(RandomWeights);

impl WeightSource for Poisoned {
    fn rows(&mut self, matrix: WeightMatrix, rows: std::ops::Range<usize>) -> Result<Vec<f32>> {
        let mut weights = self.0.rows(matrix, rows)?;
        if matrix.to_string() == "model.layers.1.mlp.gate_proj.weight" {
            weights[5 * 72 + 70] = f32::NAN;
        }
        Ok(weights)
    }

    fn norm(&mut self, norm: Norm) -> Result<Vec<f32>> {
        self.0.norm(norm)
    }
}

fn files_in(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_failed_or_cancelled_packing_leaves_no_file_and_keeps_the_old_one() {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    let architecture: Architecture = tiny::irregular();
    tiny::checkpoint(&path, &architecture, 15);
    let before = fs::read(&path).unwrap();

    let mut poisoned = Poisoned(RandomWeights::new(&architecture, 15));
    let manifest = tiny::manifest(&architecture);
    let error = write_checkpoint(&path, &manifest, &mut poisoned, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidWeight);
    let place = "model.layers.1.mlp.gate_proj.weight: the weight at row 5, column 70 is NaN";
    assert_eq!(error.to_string(), place);

    let mut calls = 0;
    let error =
        write_checkpoint(&path, &manifest, &mut RandomWeights::new(&architecture, 16), &mut |progress| {
            calls += 1;
            let stop = progress.done > progress.total / 2;
            if stop { Err(Error::new(ErrorKind::Cancelled, "enough")) } else { Ok(()) }
        })
        .unwrap_err();
    assert_eq!((error.kind(), calls > 3), (ErrorKind::Cancelled, true));

    assert_eq!(files_in(folder.path()), 1, "no temporary file is left");
    assert!(fs::read(&path).unwrap() == before, "the old file is untouched");
}

/// A packed model is a file like any other: whoever may read a new file may read it.
#[cfg(unix)]
#[test]
fn a_packed_file_has_the_permissions_of_a_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    tiny::checkpoint(&path, &tiny::regular(), 18);
    let other = folder.path().join("other");
    fs::write(&other, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&other));
}

/// A folder in which no file can be made.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_an_io_error() {
    let mut weights = RandomWeights::new(&tiny::regular(), 17);
    let path = Path::new("/proc/otaro.sefp.safetensors");
    let error =
        write_checkpoint(path, &tiny::manifest(&tiny::regular()), &mut weights, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
