//! The three places where templates rely on what Python's Jinja does and minijinja does not, or does
//! in a way that we cannot use.
//!
//! `{% generation %}` marks the model's words for training; only Hugging Face's own Jinja knows it. It
//! becomes a condition that always holds. A backslash at the end of a line inside a string literal
//! joins the lines, as in Python. And an assignment to an attribute becomes a call, because the
//! namespaces are our own; see [`super::namespace`]. An assignment that stays unseen here can only
//! fail: minijinja finds no namespace of its own to assign to.
//!
//! What minijinja compiles by recursion without counting, long chains of operators and of `elif`, is
//! counted here.

use super::namespace::SET_ATTRIBUTE;
use crate::{Error, ErrorKind, Result};

/// Words and signs that there may be in one tag, where a string literal counts as one. The largest in public templates have a few hundred.
const MOST_TOKENS: usize = 1000;
/// Tags that there may be in a template. Large public templates have several hundred.
const MOST_TAGS: usize = 2000;
/// Tags among them that may be `{% elif %}`.
const MOST_ALTERNATIVES: usize = 200;

/// Where the text of a `{% set namespace.name %}` block waits for its assignment.
const BLOCK_TEXT: &str = "__block_text__";

/// The template as minijinja understands it.
pub(super) fn translate(source: &str) -> Result<String> {
    let mut translation = Translation { out: String::with_capacity(source.len()), blocks: Vec::new() };
    let mut rest = source;
    let (mut tags, mut alternatives) = (0, 0);
    while let Some(at) = find_tag(rest) {
        let (text, tag) = rest.split_at(at);
        tags += 1;
        alternatives += usize::from(
            tag[2..]
                .trim_start_matches(|letter: char| letter.is_ascii_whitespace() || "-+".contains(letter))
                .starts_with("elif"),
        );
        if tags > MOST_TAGS || alternatives > MOST_ALTERNATIVES {
            return Err(Error::new(
                ErrorKind::ChatTemplate,
                format!(
                    "the chat template of this model has more than {MOST_TAGS} tags or {MOST_ALTERNATIVES} elif"
                ),
            ));
        }
        translation.out.push_str(text);
        rest = translation.tag(tag)?;
    }
    Ok(translation.out + rest)
}

/// Where the next tag or comment begins.
fn find_tag(text: &str) -> Option<usize> {
    let second = |at: usize| text.as_bytes().get(at + 1);
    text.match_indices('{').map(|(at, _)| at).find(|&at| matches!(second(at), Some(b'%' | b'{' | b'#')))
}

/// What has been translated so far.
struct Translation<'a> {
    out: String,
    /// The `{% set %}` blocks that are open; for those that assign to an attribute, which it is.
    blocks: Vec<Option<Attribute<'a>>>,
}

impl<'a> Translation<'a> {
    /// Translates the tag at the beginning of `text` and returns what comes after it.
    fn tag(&mut self, text: &'a str) -> Result<&'a str> {
        let raw = raw_length(text);
        let length = match &text[..2] {
            "{#" => text[2..].find("#}").map_or(text.len(), |end| end + 4),
            "{{" => tag_length(text, "}}")?,
            _ => raw.map_or_else(|| tag_length(text, "%}"), Ok)?,
        };
        let (tag, after) = text.split_at(length);
        match &tag[..2] {
            "{%" if raw.is_none() => self.statement(tag),
            "{{" => join_lines(tag, &mut self.out),
            _ => self.out.push_str(tag),
        }
        Ok(after)
    }

    fn statement(&mut self, tag: &'a str) {
        let Some((open, inside, close)) = split_tag(tag) else {
            return self.out.push_str(tag);
        };
        match inside.trim() {
            "generation" => self.out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => self.out.push_str(&tag.replace("endgeneration", "endif")),
            "endset" => {
                self.out += &format!("{open}{inside}");
                if let Some(attribute) = self.blocks.pop().flatten() {
                    self.out += &format!("%}}{{% {} ", attribute.assignment(BLOCK_TEXT));
                }
                self.out += close;
            }
            _ => match parse_set(inside) {
                Some((attribute, Assigned::Block(filters))) => {
                    if attribute.is_some() {
                        self.out += &format!("{open} set {BLOCK_TEXT} {} {close}", joined(filters));
                    } else {
                        join_lines(tag, &mut self.out);
                    }
                    self.blocks.push(attribute);
                }
                Some((Some(attribute), Assigned::Value(value))) => {
                    // Errors name the line, so no line may get lost.
                    let lines = inside.matches('\n').count() - value.matches('\n').count();
                    let lines = "\n".repeat(lines);
                    self.out += &format!("{open} {lines}{} {close}", attribute.assignment(&joined(value)));
                }
                _ => join_lines(tag, &mut self.out),
            },
        }
    }
}

/// The target of `{% set namespace.name = ... %}`.
struct Attribute<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Attribute<'_> {
    /// The statement that assigns an expression to it.
    fn assignment(&self, expression: &str) -> String {
        format!("do {SET_ATTRIBUTE}({}, \"{}\", ({expression}))", self.namespace, self.name)
    }
}

/// What a `{% set %}` tag assigns.
enum Assigned<'a> {
    /// The value of an expression.
    Value(&'a str),
    /// The text up to `{% endset %}`, through these filters.
    Block(&'a str),
}

/// What stands inside of a `{% set %}` tag, and the attribute that it assigns to, if it is one.
fn parse_set(inside: &str) -> Option<(Option<Attribute<'_>>, Assigned<'_>)> {
    let inside = inside.trim_start().strip_prefix("set")?;
    let in_target = |letter: char| is_name(letter) || letter.is_whitespace() || "().,".contains(letter);
    if inside.starts_with(is_name) {
        return None;
    }
    let (target, rest) = inside.split_at(inside.find(|letter| !in_target(letter)).unwrap_or(inside.len()));
    let assigned = match rest.chars().next() {
        None | Some('|') => Assigned::Block(rest),
        Some('=') if !rest[1..].trim().is_empty() => Assigned::Value(&rest[1..]),
        _ => return None,
    };
    let attribute = target.rsplit_once('.').and_then(|(namespace, name)| {
        let (namespace, name) = (namespace.trim(), name.trim());
        let is_attribute = name.chars().all(is_name) && !namespace.contains(['(', ')', ',']);
        is_attribute.then_some(Attribute { namespace, name })
    });
    Some((attribute, assigned))
}

/// The opening mark of a statement, what is inside, and the closing mark, with the signs that remove
/// or keep white space.
fn split_tag(tag: &str) -> Option<(&str, &str, &str)> {
    let inside = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    let open = tag.len() - "%}".len() - inside.len();
    let inside = inside.strip_suffix(['-', '+']).unwrap_or(inside);
    Some((&tag[..open], inside, &tag[open + inside.len()..]))
}

/// The length of the raw block at the beginning of `text`, if there is one, with both of its tags.
fn raw_length(text: &str) -> Option<usize> {
    let mut length = named_tag_length(text, "raw")?;
    while let Some(at) = text[length..].find("{%") {
        length += at;
        match named_tag_length(&text[length..], "endraw") {
            Some(end) => return Some(length + end),
            None => length += "{%".len(),
        }
    }
    Some(text.len())
}

/// The length of the tag at the beginning of `text`, if it is `{% name %}`.
fn named_tag_length(text: &str, name: &str) -> Option<usize> {
    let rest = text.strip_prefix("{%")?;
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_ascii_start();
    let rest = rest.strip_prefix(name)?.trim_ascii_start();
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(text.len() - rest.len())
}

/// The length of the tag at the beginning of `text`; what looks like its end inside a string literal
/// or inside of brackets is not.
fn tag_length(text: &str, close: &str) -> Result<usize> {
    let mut quote = None;
    let mut brackets = 0;
    let mut tokens = 0;
    let mut in_word = false;
    let mut letters = text.char_indices().skip(2);
    while let Some((at, letter)) = letters.next() {
        if quote.is_none() {
            let continues_word = in_word && is_name(letter);
            tokens += usize::from(!continues_word && !letter.is_whitespace());
            in_word = is_name(letter);
        }
        match (quote, letter) {
            _ if tokens > MOST_TOKENS => {
                let message = format!(
                    "a tag in the chat template of this model has more than {MOST_TOKENS} words and signs"
                );
                return Err(Error::new(ErrorKind::ChatTemplate, message));
            }
            (None, _) if brackets == 0 && text[at..].starts_with(close) => return Ok(at + close.len()),
            (None, '"' | '\'') => quote = Some(letter),
            (None, '(' | '[' | '{') => brackets += 1,
            (None, ')' | ']' | '}') => brackets -= 1,
            (Some(_), '\\') => drop(letters.next()),
            (Some(open), _) if letter == open => quote = None,
            _ => {}
        }
    }
    Ok(text.len())
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The text with its lines joined.
fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    join_lines(text, &mut out);
    out
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
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::translate;

    #[test]
    fn training_marks_become_conditions() {
        let cases = [
            ("a{% generation %}b{%- endgeneration -%} c", "a{% if true %}b{%- endif -%} c"),
            ("{%-generation-%}{% set generation = 1 %}", "{%-if true-%}{% set generation = 1 %}"),
            ("{{ generation }}{# {% generation %} #}", "{{ generation }}{# {% generation %} #}"),
        ];
        for (source, expected) in cases {
            assert_eq!(translate(source).unwrap(), expected);
        }
    }

    #[test]
    fn assignments_to_attributes_become_calls() {
        let cases = [
            ("{% set n.a = 1 %}", r#"{% do __setattr__(n, "a", ( 1 )) %}"#),
            ("{%- set n.a=n.b + '%}' -%}", r#"{%- do __setattr__(n, "a", (n.b + '%}' )) -%}"#),
            ("{%+set n . a = 1, 2+%}", r#"{%+ do __setattr__(n, "a", ( 1, 2)) +%}"#),
            ("{% set\nn.m.a = [\n1] %}", "{% \ndo __setattr__(n.m, \"a\", ( [\n1] )) %}"),
            ("{% set n.a = {'b': {}} %}", r#"{% do __setattr__(n, "a", ( {'b': {}} )) %}"#),
            (
                "{% set n.a | trim %} x {% set b %}{% endset %} {%- endset -%}",
                "{% set __block_text__ | trim  %} x {% set b %}{% endset %} \
                 {%- endset %}{% do __setattr__(n, \"a\", (__block_text__)) -%}",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(translate(source).unwrap(), expected);
        }
    }

    #[test]
    fn what_only_looks_like_an_assignment_stays() {
        let sources = [
            "{% set a = n.a %}",
            "{% set a %}{% endset %}",
            "{% set n.a = %}",
            "{% set n.a, n.b = 1, 2 %}",
            "{% settle n.a = 1 %}",
            "{{ 'n.a = 1' }}{# {% set n.a = 1 %} #}",
            "{#}{% set n.a = 1 %}#}",
            "{%- raw -%}{% set n.a = 1 %}{{{%- endraw +%}",
            "{% raw %}{% set n.a = 1 %}",
            "{{ {'a': {}} ~ '{% set n.a = 1 %}' }}",
        ];
        for source in sources {
            assert_eq!(translate(source).unwrap(), source);
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
            assert_eq!(translate(source).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_not_a_template_is_left_alone() {
        for source in ["", "{", "{%", "{{ 'never closed \\", "{# never closed", "é{%é", "%} }} #}"] {
            assert_eq!(translate(source).unwrap(), source);
        }
    }
}
