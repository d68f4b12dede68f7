//! The build step is tested here, on small shaders: a build script has no tests of its own.

use crate::{ALL, Binding, include, validate};

const GOOD: &str = "
@group(0) @binding(0) var<uniform> count: u32;
@group(0) @binding(1) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < count) { data[id.x] = 1.0; }
}";

/// The build step over files given as (name, text); the first is the shader.
fn build(files: &[(&str, &str)]) -> Result<validate::Facts, String> {
    let read = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| text.to_string()).ok_or_else(|| "no such file".to_string())
    };
    validate::validate(&include::expand(files[0].0, &read)?)
}

#[test]
fn a_good_shader_tells_its_bindings() {
    let facts = build(&[("good.wgsl", GOOD)]).expect("a good shader");
    assert_eq!((facts.workgroup_size, facts.bindings), (64, vec!["Uniform", "ReadWrite"]));
}

#[test]
fn errors_name_the_file_and_line_that_someone_wrote() {
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 6] = [
        ("syntax", &[("a.wgsl", "fn main() {\n  let x = ;\n}")], "shaders/a.wgsl:2: "),
        (
            "in an include",
            &[
                ("a.wgsl", "// one\n#include \"b.wgsl\"\nfn main() {}"),
                ("b.wgsl", "fn f() {}\nfn g() { let x = ; }"),
            ],
            "shaders/b.wgsl:2: ",
        ),
        (
            "after an include",
            &[("a.wgsl", "#include \"b.wgsl\"\n\nfn g() { let x = ; }"), ("b.wgsl", "fn f() {}\n\n")],
            "shaders/a.wgsl:3: ",
        ),
        (
            "missing include",
            &[("a.wgsl", "\n#include \"b.wgsl\"")],
            "shaders/a.wgsl:2: cannot include b.wgsl",
        ),
        ("malformed include", &[("a.wgsl", "#include <b.wgsl>")], "shaders/a.wgsl:1: an include is written"),
        ("no entry point", &[("a.wgsl", "fn f() {}")], "shaders/a.wgsl:1: a file holds one entry point"),
    ];
    for (what, files, start) in cases {
        let error = build(files).expect_err(what);
        assert!(error.starts_with(start), "{what}: {error}");
    }
}

#[test]
fn what_baseline_webgpu_lacks_is_refused() {
    let with = |from: &str, to: &str| GOOD.replace(from, to);
    let buffers: String =
        (2..10).map(|i| format!("@group(0) @binding({i}) var<storage, read> b{i}: array<u32>;\n")).collect();
    let cases = [
        ("f16", format!("enable f16;\n{}", with("array<f32>", "array<f16>").replace("1.0", "1.0h")), "f16"),
        ("subgroups", with("data[id.x] = 1.0", "data[id.x] = subgroupAdd(1.0)"), "SUBGROUP"),
        ("invocations", with("(64)", "(512)"), "512 invocations"),
        (
            "workgroup memory",
            with("@compute", "var<workgroup> big: array<f32, 5000>;\n@compute"),
            "20000 bytes",
        ),
        ("storage buffers", with("@compute", &(buffers + "@compute")), "9 storage buffers"),
        ("gaps", with("@binding(1)", "@binding(2)"), "without gaps"),
    ];
    for (what, source, expected) in cases {
        let error = build(&[("a.wgsl", &source)]).expect_err(what);
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn a_part_is_included_once() {
    let files = [
        ("a.wgsl", "#include \"b.wgsl\"\n#include \"c.wgsl\"\n"),
        ("b.wgsl", "#include \"c.wgsl\"\n// b\n"),
        ("c.wgsl", "// c\n"),
    ];
    let read = |path: &str| Ok(files.iter().find(|(name, _)| *name == path).expect("a file").1.to_string());
    assert_eq!(include::expand("a.wgsl", &read).expect("files").source, "// c\n// b\n");
}

#[test]
fn shaders_are_sorted_and_complete() {
    let names: Vec<_> = ALL.iter().map(|shader| shader.name).collect();
    let expected =
        ["add", "attention", "embed", "matmul", "matvec", "rms_norm", "rope", "store_kv", "swiglu", "top_k"];
    assert_eq!(names, expected);
    for shader in ALL {
        assert_eq!(shader.bindings[0], Binding::Uniform, "{}", shader.name);
        assert!(!shader.source.contains("#include"), "{}", shader.name);
    }
}
