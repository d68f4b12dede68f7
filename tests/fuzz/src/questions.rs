//! Arbitrary files of multiple-choice questions. Input: the bytes of one.

use otaro_eval::task::{Task, parse};

/// Reads the file as every task; what is accepted has a prompt for each choice.
pub fn run(data: &[u8]) {
    for task in Task::ALL {
        for question in parse(task, data, Some(64)).unwrap_or_default() {
            assert!(question.gold < question.choices.len());
            let prompts = task.prompts(&question);
            assert_eq!(prompts.len(), question.choices.len());
            assert!(prompts.iter().all(|prompt| !prompt.context.trim().is_empty()), "{prompts:?}");
        }
    }
}
