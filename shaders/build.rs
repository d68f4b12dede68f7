//! Puts every `*.wgsl` of this directory together with what it includes, validates it against
//! baseline WebGPU and writes `shaders.rs`: one typed constant per shader, sorted by name. A shader
//! that is wrong is a build error with file and line.

use std::{env, fmt::Write, fs, io, path::Path, process::ExitCode};

#[path = "build/include.rs"]
mod include;
#[path = "build/validate.rs"]
mod validate;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=.");
    match generate() {
        Ok(source) => {
            let target = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("shaders.rs");
            if let Err(error) = fs::write(&target, source) {
                println!("cargo::error=cannot write {}: {error}", target.display());
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(errors) => {
            for line in errors.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The Rust source of all shaders, or every error found.
fn generate() -> Result<String, String> {
    let mut files = shader_files().map_err(|error| format!("cannot list the shaders: {error}"))?;
    files.sort();
    let (mut source, mut names, mut errors) = (String::new(), Vec::new(), Vec::new());
    let read = |path: &str| fs::read_to_string(path).map_err(|error| error.to_string());
    for file in files {
        let name = file.trim_end_matches(".wgsl");
        match include::expand(&file, &read).and_then(|text| Ok((validate::validate(&text)?, text))) {
            Ok((facts, text)) => {
                constant(&mut source, name, &facts, &text.source);
                names.push(name.to_uppercase());
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors.join("\n"));
    }
    let _ = writeln!(
        source,
        "/// Every shader, sorted by name.\npub const ALL: &[Shader] = &[{}];",
        names.join(", ")
    );
    Ok(source)
}

fn shader_files() -> io::Result<Vec<String>> {
    let entries: Vec<_> = fs::read_dir(".")?.collect::<io::Result<_>>()?;
    let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.ends_with(".wgsl")).collect())
}

fn constant(out: &mut String, name: &str, facts: &validate::Facts, text: &str) {
    let bindings: Vec<_> = facts.bindings.iter().map(|binding| format!("Binding::{binding}")).collect();
    let _ = writeln!(
        out,
        "/// `{name}.wgsl`\npub const {}: Shader = Shader {{ name: {name:?}, workgroup_size: {}, bindings: &[{}], \
         source: {text:?} }};\n",
        name.to_uppercase(),
        facts.workgroup_size,
        bindings.join(", "),
    );
}
