//! The filter `tojson` of chat templates, in Python's spelling.

use std::fmt::Write;

use minijinja::{
    Error, ErrorKind, Value,
    value::{Kwargs, ValueKind},
};

/// How deep a value may be nested that is written as JSON.
const DEEPEST_JSON: usize = 64;

/// `tojson(value, indent=None)`: JSON as Python's `json.dumps(value, ensure_ascii=False)` spells it:
/// a space after commas and colons, characters as they are, nothing escaped for HTML.
pub(super) fn tojson(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<Value>>("indent")?,
    };
    let indent = match indent.filter(|indent| !indent.is_none()) {
        Some(indent) if indent.as_str().is_some() => indent.as_str().map(str::to_owned),
        Some(indent) => Some(" ".repeat(usize::try_from(indent)?.min(64))),
        None => None,
    };
    let mut json = Json {
        indent,
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sorted: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        out: String::new(),
    };
    options.assert_all_used()?;
    json.value(value, 0)?;
    Ok(Value::from(json.out))
}

/// Writes JSON in Python's manner.
struct Json {
    indent: Option<String>,
    ascii: bool,
    sorted: bool,
    out: String,
}

impl Json {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST_JSON || self.out.len() > super::MOST_OUTPUT {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "tojson: the value is too deep or too large",
            ));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.out.push_str(&value.to_string()),
            ValueKind::Number => self.out.push_str(&python_float(f64::try_from(value.clone())?)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            kind => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("tojson: a {kind} value is not JSON"),
                ));
            }
        }
        Ok(())
    }

    fn list(&mut self, list: &Value, depth: usize) -> Result<(), Error> {
        let mut empty = true;
        self.out.push('[');
        for item in list.try_iter()? {
            self.separate(&mut empty, depth);
            self.value(&item, depth + 1)?;
        }
        self.close(']', empty, depth);
        Ok(())
    }

    fn map(&mut self, map: &Value, depth: usize) -> Result<(), Error> {
        let mut empty = true;
        let mut keys: Vec<Value> = map.try_iter()?.collect();
        if self.sorted {
            keys.sort();
        }
        self.out.push('{');
        for key in keys {
            self.separate(&mut empty, depth);
            match key.as_str() {
                Some(key) => self.string(key),
                None => self.string(&key.to_string()),
            }
            self.out.push_str(": ");
            self.value(&map.get_item(&key)?, depth + 1)?;
        }
        self.close('}', empty, depth);
        Ok(())
    }

    /// What stands before an element: a comma unless it is the first, a line of its own if indented.
    fn separate(&mut self, empty: &mut bool, depth: usize) {
        let first = std::mem::replace(empty, false);
        match &self.indent {
            Some(indent) => {
                self.out.push_str(if first { "\n" } else { ",\n" });
                (0..=depth).for_each(|_| self.out.push_str(indent));
            }
            None if first => {}
            None => self.out.push_str(", "),
        }
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) {
        if let Some(indent) = self.indent.as_ref().filter(|_| !empty) {
            self.out.push('\n');
            (0..depth).for_each(|_| self.out.push_str(indent));
        }
        self.out.push(bracket);
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                letter if letter < ' ' || self.ascii && !letter.is_ascii() => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        // Writing to a String cannot fail.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                letter => self.out.push(letter),
            }
        }
        self.out.push('"');
    }
}

/// A float as Python prints it: the shortest digits, `1e+16` from sixteen places on.
fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Infinity" } else { "Infinity" }.to_owned();
    }
    let digits = format!("{value:?}");
    match digits.split_once('e') {
        None => digits,
        Some((mantissa, exponent)) => {
            let (sign, places) = match exponent.strip_prefix('-') {
                Some(places) => ('-', places),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{places:0>2}")
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn floats_are_spelled_as_python_does() {
        let cases =
            [(1.0, "1.0"), (0.1, "0.1"), (1e15, "1000000000000000.0"), (1e16, "1e+16"), (1.5e-7, "1.5e-07")];
        for (value, expected) in cases {
            assert_eq!(python_float(value), expected);
        }
        assert_eq!(python_float(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn json_is_spelled_as_python_does() {
        let environment = {
            let mut environment = minijinja::Environment::new();
            environment.add_filter("tojson", tojson);
            environment
        };
        let cases = [
            (
                r#"{{ {"b": 1, "a": [true, none, 1.5, "é<&>"], "c": {}, "d": []} | tojson }}"#,
                r#"{"b": 1, "a": [true, null, 1.5, "é<&>"], "c": {}, "d": []}"#,
            ),
            (
                r#"{{ {"b": [1, 2], "a": {}} | tojson(indent=2) }}"#,
                "{\n  \"b\": [\n    1,\n    2\n  ],\n  \"a\": {}\n}",
            ),
            (r#"{{ [1] | tojson(4) }}"#, "[\n    1\n]"),
            (r#"{{ {"b": 1, "a": 2} | tojson(sort_keys=true) }}"#, r#"{"a": 2, "b": 1}"#),
            (r#"{{ "é😀" | tojson(ensure_ascii=true) }}"#, r#""\u00e9\ud83d\ude00""#),
            (r#"{{ "a\"\\\n\t" | tojson }}"#, r#""a\"\\\n\t""#),
            (r#"{{ (1, 2) | tojson(indent=none) }}"#, "[1, 2]"),
        ];
        for (template, expected) in cases {
            assert_eq!(environment.render_str(template, ()).unwrap(), expected, "{template}");
        }
        assert!(environment.render_str("{{ nothing | tojson }}", ()).is_err());
    }
}
