use otaro::{ChatTemplate, Message, Role, TextFiles};
use serde_json::json;

use super::{FILES, VOCAB_SIZE, encoder, template};
use crate::data::{Document, Encoder, Example, SpecialToken};

fn conversation() -> Vec<Message> {
    vec![
        Message::new(Role::System, "Be happy."),
        Message::new(Role::User, "The dog?"),
        Message::new(Role::Assistant, "It was red."),
        Message::new(Role::User, "The cat?"),
        Message::new(Role::Assistant, "\u{1f600} It saw 12 balls!"),
    ]
}

fn chat(encoder: &Encoder, messages: Vec<Message>) -> anyhow::Result<Example> {
    Ok(encoder.encode(&[Document::Chat(messages)])?.remove(0))
}

/// The texts of the tokens that count, one per run of them.
fn scored_texts(example: &Example) -> Vec<String> {
    let tokenizer = FILES.tokenizer().unwrap();
    let tokens: Vec<_> = example.tokens.iter().zip(&example.scored).collect();
    let runs = tokens.chunk_by(|one, two| one.1 == two.1).filter(|run| *run[0].1);
    let text = |run: &[(&u32, &bool)]| {
        let ids: Vec<u32> = run.iter().map(|(id, _)| **id).collect();
        assert_eq!(ids.last(), Some(&SpecialToken::End.id()));
        tokenizer.decode(&ids).unwrap()
    };
    runs.map(text).collect()
}

#[test]
fn a_text_counts_from_its_first_token_to_its_end() {
    let documents = [Document::Text("The dog saw it.".to_owned())];
    let example = encoder().encode(&documents).unwrap().remove(0);
    let inside = FILES.tokenizer().unwrap().encode_rendered("The dog saw it.").unwrap();
    assert_eq!(example.tokens[0], SpecialToken::Begin.id());
    assert_eq!(example.tokens[1..=inside.len()], inside);
    assert_eq!(example.tokens[inside.len() + 1..], [SpecialToken::End.id()]);
    assert!(!example.scored[0] && example.scored[1..].iter().all(|scored| *scored));
}

#[test]
fn answers_count_with_what_ends_them() {
    let example = chat(&encoder(), conversation()).unwrap();
    assert_eq!(scored_texts(&example), ["It was red.", "\u{1f600} It saw 12 balls!"]);
    let whole = template(&FILES).render(&conversation(), false, std::time::SystemTime::now()).unwrap();
    assert_eq!(example.tokens, FILES.tokenizer().unwrap().encode_rendered(&whole).unwrap());
}

#[test]
fn what_follows_the_last_answer_is_left_out() {
    let mut longer = conversation();
    longer.push(Message::new(Role::User, "Why?"));
    assert_eq!(chat(&encoder(), longer).unwrap(), chat(&encoder(), conversation()).unwrap());
    let question = vec![Message::new(Role::User, "Why?")];
    assert_eq!(chat(&encoder(), question).unwrap(), Example::default());
}

#[test]
fn score_all_counts_everything_but_the_first_token() {
    let example = chat(&encoder().score_all(true), conversation()).unwrap();
    assert_eq!(example.tokens, chat(&encoder(), conversation()).unwrap().tokens);
    assert_eq!(example, Example::all_scored(example.tokens.clone()));
}

#[test]
fn examples_keep_the_order_of_their_documents() {
    let documents: Vec<Document> = (0..103).map(|n| Document::Text(format!("dog {n}"))).collect();
    let together = encoder().encode(&documents).unwrap();
    assert_eq!(together.len(), 103);
    for (document, example) in documents.iter().zip(&together) {
        assert_eq!(&encoder().encode(std::slice::from_ref(document)).unwrap()[0], example);
    }
    assert!(encoder().encode(&[]).unwrap().is_empty());
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let error = Encoder::new(FILES.tokenizer().unwrap(), None, VOCAB_SIZE - 1).unwrap_err().to_string();
    assert!(error.contains("296") && error.contains("295"), "{error}");
}

/// An encoder with another chat template.
fn with_template(source: &str) -> Encoder {
    let config = json!({"chat_template": source, "bos_token": "<|bos|>", "eos_token": "<|end|>"}).to_string();
    let files = TextFiles { tokenizer_config: Some(config.as_bytes()), ..FILES.text_files() };
    let template = ChatTemplate::new(&files).unwrap();
    Encoder::new(FILES.tokenizer().unwrap(), template, VOCAB_SIZE).unwrap()
}

#[test]
fn errors_name_the_document() {
    let documents = [Document::Text("dog".to_owned()), Document::Chat(conversation())];
    let without = Encoder::new(FILES.tokenizer().unwrap(), None, VOCAB_SIZE).unwrap();
    let rewriting =
        with_template("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}");
    let refusing = with_template("{{ raise_exception('alternate!') }}");
    let cases =
        [(without, "no chat template"), (rewriting, "cannot be told apart"), (refusing, "alternate!")];
    for (encoder, words) in cases {
        let error = format!("{:#}", encoder.encode(&documents).unwrap_err());
        assert!(error.starts_with("document 2: ") && error.contains(words), "{error}");
    }
}

#[test]
fn tokens_across_the_start_of_an_answer_are_cut_there() {
    // Without a special token between them, "re" of the prompt and "d" of the answer would merge.
    let glued = with_template("{% for m in messages %}{{ m.content }}{% endfor %}");
    let messages = vec![Message::new(Role::User, "saw re"), Message::new(Role::Assistant, "d balls")];
    let example = chat(&glued, messages).unwrap();
    let tokenizer = FILES.tokenizer().unwrap();
    let (prompt, answer) = (tokenizer.encode_rendered("saw re").unwrap(), "d balls");
    assert_eq!(example.tokens[..prompt.len()], prompt);
    assert_eq!(example.tokens[prompt.len()..], tokenizer.encode_rendered(answer).unwrap());
    assert_eq!(example.scored.iter().position(|scored| *scored), Some(prompt.len()));
}
