//! `#include "shared/part.wgsl"`: replaced by that file, the first time it is met. Remembers where
//! every line came from, so that an error points into the file that someone wrote.

/// A shader with its includes expanded.
#[derive(Debug)]
pub(crate) struct Expanded {
    /// The text that is given to the compiler.
    pub(crate) source: String,
    /// File and line (from 1) of every line of `source`.
    origins: Vec<(String, u32)>,
}

impl Expanded {
    /// `file:line` of a line of `source`, counted from 1.
    pub(crate) fn origin(&self, line: u32) -> String {
        let index = (line.max(1) as usize - 1).min(self.origins.len().saturating_sub(1));
        self.origins.get(index).map_or_else(String::new, |(file, line)| format!("shaders/{file}:{line}"))
    }
}

/// Expands the includes of `file`; `read` gives the text of a file.
pub(crate) fn expand(file: &str, read: &dyn Fn(&str) -> Result<String, String>) -> Result<Expanded, String> {
    let mut expanded = Expanded { source: String::new(), origins: Vec::new() };
    let mut seen = vec![file.to_string()];
    let text = read(file).map_err(|error| format!("shaders/{file}: {error}"))?;
    append(file, &text, read, &mut seen, &mut expanded)?;
    Ok(expanded)
}

fn append(
    file: &str,
    text: &str,
    read: &dyn Fn(&str) -> Result<String, String>,
    seen: &mut Vec<String>,
    expanded: &mut Expanded,
) -> Result<(), String> {
    for (line, number) in text.lines().zip(1..) {
        let Some(rest) = line.trim_start().strip_prefix("#include") else {
            expanded.source.push_str(line);
            expanded.source.push('\n');
            expanded.origins.push((file.to_string(), number));
            continue;
        };
        let fail = |what: String| format!("shaders/{file}:{number}: {what}");
        let part = rest.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let part = part.ok_or_else(|| fail("an include is written #include \"shared/part.wgsl\"".into()))?;
        if seen.iter().any(|name| name == part) {
            continue;
        }
        seen.push(part.to_string());
        let text = read(part).map_err(|error| fail(format!("cannot include {part}: {error}")))?;
        append(part, &text, read, seen, expanded)?;
    }
    Ok(())
}
