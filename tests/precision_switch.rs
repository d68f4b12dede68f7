//! Switching the precision in the middle changes the weights of the next token and nothing else.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use otaro::{CancelToken, ErrorKind, Model, Precision, Session, cpu::CpuOptions};
use otaro_tests::{reference::stories260k, temporary_folder, tiny};

/// Computes tokens one by one, each at its own precision; returns the logits after each.
fn run(session: &mut Session, tokens: &[u32], precisions: &[Precision]) -> Vec<Vec<f32>> {
    let step = |(&token, &precision): (&u32, &Precision)| {
        session.set_precision(precision).unwrap();
        session.logits(&[token], &CancelToken::new()).unwrap()
    };
    tokens.iter().zip(precisions).map(step).collect()
}

/// Two sessions walk the same tokens through the same precisions up to a switch and part after it:
/// the tokens before the switch are equal, the token after it is what a fresh session, forced
/// through the same precisions, computes from the same cache.
fn check(model: &Model) {
    use Precision::{E5M3, E5M4, E5M6, E5M8};
    let tokens = [1, 17, 42, 5, 33, 8, 90, 11];
    let steady = [E5M6; 8];
    let switched = [E5M6, E5M6, E5M6, E5M6, E5M3, E5M3, E5M8, E5M4];

    let mut session = model.session(E5M6).unwrap();
    let first = run(&mut session, &tokens, &switched);
    let again = run(&mut model.session(E5M8).unwrap(), &tokens, &switched);
    assert_eq!(first, again, "the precision a session started with leaves no trace");

    let unswitched = run(&mut model.session(E5M6).unwrap(), &tokens, &steady);
    assert_eq!(first[..4], unswitched[..4], "tokens before the switch are untouched");
    for index in 4..tokens.len() {
        assert_ne!(first[index], unswitched[index], "token {index} is computed at another precision");
    }

    // The cache stays valid: rolled back to the switch, the session computes the same again, and at
    // the old precision what a session does that never switched.
    session.truncate(4);
    assert_eq!(run(&mut session, &tokens[4..], &switched[4..]), first[4..]);
    session.truncate(4);
    assert_eq!(run(&mut session, &tokens[4..], &steady[4..]), unswitched[4..]);
}

#[test]
fn a_switch_changes_the_next_token_and_nothing_else() {
    let folder = temporary_folder();
    for architecture in [tiny::irregular(), tiny::regular()] {
        let checkpoint = tiny::checkpoint(&folder.path().join("model.sefp.safetensors"), &architecture, 7);
        check(&Model::on_cpu(Arc::new(checkpoint), None, &CpuOptions::default()).unwrap());
    }
}

#[test]
fn a_real_model_switches_too() {
    let Some((_folder, checkpoint)) = stories260k() else { return };
    check(&Model::on_cpu(Arc::new(checkpoint), None, &CpuOptions::default()).unwrap());
}

/// A prompt in one call, in pieces, or token by token: the same cache and the same logits.
#[test]
fn batches_do_not_change_the_numbers() {
    let folder = temporary_folder();
    let checkpoint = tiny::checkpoint(&folder.path().join("model.sefp.safetensors"), &tiny::irregular(), 8);
    let model = Model::on_cpu(Arc::new(checkpoint), None, &CpuOptions::default()).unwrap();
    let cancel = CancelToken::new();
    let tokens: Vec<u32> = (0..250).map(|i| i * 7 % 99).collect();
    let mut whole = model.session(Precision::E5M5).unwrap();
    let expected = whole.logits(&tokens, &cancel).unwrap();
    let mut pieces = model.session(Precision::E5M5).unwrap();
    for piece in tokens[..249].chunks(13) {
        pieces.prefill(piece, &cancel).unwrap();
    }
    assert_eq!(pieces.logits(&tokens[249..], &cancel).unwrap(), expected);
    let mut every = Vec::new();
    let mut session = model.session(Precision::E5M5).unwrap();
    session
        .all_logits(&tokens, &cancel, |row| {
            every.push(row.to_vec());
            Ok(())
        })
        .unwrap();
    assert_eq!((every.len(), &every[249]), (250, &expected));
    let best = model.session(Precision::E5M5).unwrap().top_k(&tokens, 3, &cancel).unwrap();
    let argmax = (0..99).max_by(|&a: &usize, &b| expected[a].total_cmp(&expected[b])).unwrap();
    assert_eq!(best[0].token as usize, argmax);
    assert!(best.windows(2).all(|pair| pair[0].logit >= pair[1].logit));
}

#[test]
fn a_session_refuses_what_it_cannot_do_and_stays_usable() {
    let folder = temporary_folder();
    let checkpoint = tiny::checkpoint(&folder.path().join("model.sefp.safetensors"), &tiny::regular(), 9);
    let model = Model::on_cpu(Arc::new(checkpoint), None, &CpuOptions::default()).unwrap();
    let cancel = CancelToken::new();
    let mut session = model.session(Precision::E5M8).unwrap();
    let kind = |result: otaro::Result<Vec<f32>>| result.unwrap_err().kind();
    assert_eq!(kind(session.logits(&[], &cancel)), ErrorKind::InvalidArgument);
    assert_eq!(kind(session.logits(&[128], &cancel)), ErrorKind::InvalidArgument);
    assert_eq!(kind(session.logits(&[0; 257], &cancel)), ErrorKind::ContextFull);
    cancel.cancel();
    assert_eq!(kind(session.logits(&[1, 2], &cancel)), ErrorKind::Cancelled);
    assert_eq!(session.position(), 0);
    cancel.reset();
    session.prefill(&[1; 256], &cancel).unwrap();
    assert_eq!(session.position(), session.context_length());
    assert_eq!(kind(session.logits(&[1], &cancel)), ErrorKind::ContextFull);
    session.truncate(255);
    session.logits(&[1], &cancel).unwrap();
}
