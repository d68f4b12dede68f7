//! The two places where templates rely on what Python's Jinja does and minijinja does not.
//!
//! `{% generation %}` marks the model's words for training; only Hugging Face's own Jinja knows it. It
//! becomes a condition that always holds. And a backslash at the end of a line inside a string
//! literal joins the lines, as in Python.

/// The template as minijinja understands it.
pub(super) fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = ["{%", "{{", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        let length = match &tag[..2] {
            "{%" => translate_tag(tag, "%}", &mut out),
            "{{" => translate_tag(tag, "}}", &mut out),
            _ => {
                let length = tag.find("#}").map_or(tag.len(), |end| end + 2);
                out.push_str(&tag[..length]);
                length
            }
        };
        rest = &tag[length..];
    }
    out + rest
}

/// Translates the tag at the beginning of `text` and returns its length, up to and with `close`.
fn translate_tag(text: &str, close: &str, out: &mut String) -> usize {
    let length = tag_length(text, close);
    let tag = &text[..length];
    match tag.trim_matches(['{', '}', '%', '-', '+', ' ', '\t', '\n']) {
        "generation" if close == "%}" => out.push_str(&tag.replace("generation", "if true")),
        "endgeneration" if close == "%}" => out.push_str(&tag.replace("endgeneration", "endif")),
        _ => join_lines(tag, out),
    }
    length
}

/// The length of the tag at the beginning of `text`; what looks like its end inside a string literal
/// is not.
fn tag_length(text: &str, close: &str) -> usize {
    let mut quote = None;
    let mut letters = text.char_indices().skip(2);
    while let Some((at, letter)) = letters.next() {
        match quote {
            None if text[at..].starts_with(close) => return at + close.len(),
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            Some(_) if letter == '\\' => drop(letters.next()),
            Some(open) if letter == open => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// Leaves out every backslash, not itself escaped, that stands before the end of a line. Outside of
/// string literals there are no backslashes.
fn join_lines(tag: &str, out: &mut String) {
    let mut letters = tag.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('\n') => {}
            next => {
                out.push(letter);
                out.extend(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn training_marks_become_conditions() {
        let cases = [
            ("a{% generation %}b{%- endgeneration -%} c", "a{% if true %}b{%- endif -%} c"),
            ("{%-generation-%}{% set generation = 1 %}", "{%-if true-%}{% set generation = 1 %}"),
            ("{{ generation }}{# {% generation %} #}", "{{ generation }}{# {% generation %} #}"),
        ];
        for (source, expected) in cases {
            assert_eq!(translate(source), expected);
        }
    }

    #[test]
    fn lines_are_joined_inside_tags_only() {
        let cases = [
            ("{% set x = \"a\\\nb\" %}c\\\nd", "{% set x = \"ab\" %}c\\\nd"),
            ("{{ 'a\\\\\nb' }}", "{{ 'a\\\\\nb' }}"),
            ("{{ '}} \\' }}' + 'a\\\nb' }}", "{{ '}} \\' }}' + 'ab' }}"),
        ];
        for (source, expected) in cases {
            assert_eq!(translate(source), expected);
        }
    }

    #[test]
    fn what_is_not_a_template_is_left_alone() {
        for source in ["", "{", "{%", "{{ 'never closed \\", "{# never closed", "é{%é", "%} }} #}"] {
            assert_eq!(translate(source), source);
        }
    }
}
