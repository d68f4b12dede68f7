//! Hostile chat templates. Input: one byte that picks a conversation (lowest bit: whether an answer
//! follows), then the template.

use std::time::SystemTime;

use otaro::{ChatTemplate, Message, Role, TextFiles};

/// Compiles the template and renders a conversation.
pub fn run(data: &[u8]) {
    let Some((&choice, template)) = data.split_first() else { return };
    let config = br#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}}"#;
    let files =
        TextFiles { chat_template: Some(template), tokenizer_config: Some(config), ..TextFiles::default() };
    let Ok(Some(template)) = ChatTemplate::new(&files) else { return };
    let _ = template.render(&conversation(choice >> 1), choice & 1 == 1, SystemTime::UNIX_EPOCH);
}

/// None to three messages, each in one of the three roles.
fn conversation(choice: u8) -> Vec<Message> {
    let roles = [Role::System, Role::User, Role::Assistant];
    let texts = ["", "Hello!", " {{ messages }} \u{1f600}\n"];
    let digits = [choice / 4 % 3, choice / 12 % 3, choice / 36 % 3].map(usize::from);
    let messages =
        digits.iter().enumerate().map(|(i, &digit)| Message::new(roles[digit], texts[(i + digit) % 3]));
    messages.take(usize::from(choice % 4)).collect()
}
