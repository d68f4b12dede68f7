//! The chat template of a model: a Jinja program that writes a conversation as one text.
//!
//! It is rendered as Hugging Face's `apply_chat_template` does it: blocks trimmed, Python's methods
//! on strings and maps, `raise_exception`, `strftime_now` and `tojson` with Python's spelling. The
//! program comes from a file, so what it may spend is bounded: steps, recursion, size of the output,
//! and what a namespace carries from one turn of a loop to the next. What it builds within one turn
//! is not: a hostile template can still ask for much memory, or nest lists thousands deep by macros.

mod dialect;
mod functions;
mod json;
mod namespace;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    time::SystemTime,
};

use minijinja::{Environment, UndefinedBehavior, Value, syntax::SyntaxConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    TextFiles,
    tokenizer::{parse_config, special_token},
};
use crate::{Error, ErrorKind, Result};

/// Steps that one rendering may take: thousands of messages, well under a second.
const MOST_STEPS: u64 = 5_000_000;
/// Bytes that one rendering may write.
const MOST_OUTPUT: usize = 16 << 20;
/// How deep macros may call each other.
const DEEPEST_CALL: usize = 100;
/// The special tokens that templates know by name.
const TOKEN_NAMES: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name that templates use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// The chat template of a model, compiled.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    tokens: Vec<(&'static str, String)>,
}

impl ChatTemplate {
    /// The chat template among the files of a model: `chat_template.jinja`, or `chat_template` in
    /// `tokenizer_config.json` (of several named ones, `default`). `None` if the model has none.
    ///
    /// # Errors
    /// [`ErrorKind::ChatTemplate`] if it is not a template, [`ErrorKind::Tokenizer`] if
    /// `tokenizer_config.json` is not JSON.
    pub fn new(files: &TextFiles<'_>) -> Result<Option<Self>> {
        let config = parse_config("tokenizer_config.json", files.tokenizer_config)?;
        let source = match files.chat_template {
            Some(bytes) => Some(String::from_utf8(bytes.to_vec()).map_err(|source| {
                Error::new(ErrorKind::ChatTemplate, "chat_template.jinja is not UTF-8 text")
                    .with_source(source)
            })?),
            None => configured_template(&config["chat_template"]),
        };
        let Some(source) = source else { return Ok(None) };
        let mut environment = environment();
        environment
            .add_template_owned("chat_template", dialect::translate(&source)?)
            .map_err(|error| explain(&error))?;
        let token = |name| Some((name, special_token(&config, name)?));
        Ok(Some(Self { environment, tokens: TOKEN_NAMES.into_iter().filter_map(token).collect() }))
    }

    /// The conversation as one text. With `add_generation_prompt` it ends where the model's answer
    /// begins. `now` is what the template may write as today's date (in UTC).
    ///
    /// Special tokens written inside a message are not told apart from those of the template.
    ///
    /// # Errors
    /// [`ErrorKind::ChatTemplate`] with the template's own words if it refuses the conversation (many
    /// want user and assistant to alternate), or with what is wrong with the template.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        now: SystemTime,
    ) -> Result<String> {
        let message = |message: &Message| {
            Value::from_pairs([("role", message.role.name()), ("content", message.content.as_str())])
        };
        let mut variables = vec![
            ("messages", messages.iter().map(message).collect::<Value>()),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("strftime_now", functions::strftime_now(now)),
        ];
        variables.extend(self.tokens.iter().map(|(name, token)| (*name, Value::from(token.as_str()))));

        let mut output = Capped(Vec::new());
        let template = self.environment.get_template("chat_template").map_err(|error| explain(&error))?;
        template
            .render_captured_to(Value::from_pairs(variables), &mut output)
            .map_err(|error| explain(&error))?;
        String::from_utf8(output.0).map_err(|source| {
            Error::new(ErrorKind::ChatTemplate, "the chat template wrote broken UTF-8").with_source(source)
        })
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().unwrap_or_default(),
    );
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_recursion_limit(DEEPEST_CALL);
    environment.add_function("raise_exception", functions::raise_exception);
    environment.add_function("namespace", namespace::namespace);
    environment.add_function(namespace::SET_ATTRIBUTE, namespace::set_attribute);
    environment.add_filter("tojson", json::tojson);
    environment
}

/// `chat_template` of `tokenizer_config.json`: a string, or a list of named ones.
fn configured_template(value: &Json) -> Option<String> {
    let named = |template: &&Json| template["name"] == "default";
    let template = match value.as_array() {
        Some(templates) => &templates.iter().find(named)?["template"],
        None => value,
    };
    template.as_str().map(str::to_owned)
}

/// An error of the template engine in our words.
fn explain(error: &minijinja::Error) -> Error {
    let line = error.line().map(|line| format!(" at line {line}")).unwrap_or_default();
    let message = if let Some(words) = functions::raised(error) {
        format!("the chat template of this model refuses the conversation: {words}")
    } else if error.kind() == minijinja::ErrorKind::OutOfFuel {
        format!("the chat template of this model takes more than {MOST_STEPS} steps: it may never end")
    } else {
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("the chat template of this model failed{line}: {}{detail}", error.kind())
    };
    Error::new(ErrorKind::ChatTemplate, message)
}

/// A buffer that refuses to grow beyond [`MOST_OUTPUT`].
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_OUTPUT {
            return Err(io::Error::other(format!("its output is larger than {MOST_OUTPUT} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
