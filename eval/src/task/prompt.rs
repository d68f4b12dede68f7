//! How a question is put to a model, as the tasks of lm-evaluation-harness do it, without examples.

use super::{
    Task,
    questions::{BLANK, Question},
};

/// What is scored for one choice: the likelihood of `continuation` after `context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What the model is given.
    pub context: String,
    /// What it is to find likely, with the space before it.
    pub continuation: String,
}

impl Task {
    /// The prompts of a question, one for each choice.
    pub fn prompts(self, question: &Question) -> Vec<Prompt> {
        if self == Self::WinoGrande {
            return partial(question);
        }
        let Question { query, passage, .. } = question;
        let context = match self {
            Self::ArcEasy | Self::ArcChallenge | Self::Piqa => format!("Question: {query}\nAnswer:"),
            Self::BoolQ => format!("{passage}\nQuestion: {query}?\nAnswer:"),
            Self::SciQ => format!("{}\nQuestion: {query}\nAnswer:", passage.trim_start()),
            Self::OpenBookQa | Self::HellaSwag | Self::WinoGrande => query.clone(),
        };
        let prompt =
            |choice: &String| Prompt { context: context.clone(), continuation: format!(" {choice}") };
        question.choices.iter().map(prompt).collect()
    }
}

/// The choice stands in the context, and the rest of the sentence is scored, which is the same for all
/// (Trinh and Le, arXiv 1806.02847).
fn partial(question: &Question) -> Vec<Prompt> {
    let (before, after) = question.query.split_once(BLANK).unwrap_or((&question.query, ""));
    let prompt = |choice: &String| Prompt {
        context: format!("{before}{choice}"),
        continuation: format!(" {}", after.trim()),
    };
    question.choices.iter().map(prompt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(task: Task) -> Vec<(String, String)> {
        let question = Question {
            query: if task == Task::WinoGrande { "So _ fell ." } else { "is it" }.to_string(),
            passage: " It is so.".to_string(),
            choices: vec!["no".to_string(), "yes".to_string()],
            gold: 1,
        };
        task.prompts(&question).into_iter().map(|prompt| (prompt.context, prompt.continuation)).collect()
    }

    #[test]
    fn every_task_asks_in_its_own_way() {
        let same = |context: &str| [" no", " yes"].map(|choice| (context.to_string(), choice.to_string()));
        for task in [Task::ArcEasy, Task::ArcChallenge, Task::Piqa] {
            assert_eq!(prompts(task), same("Question: is it\nAnswer:"));
        }
        for task in [Task::OpenBookQa, Task::HellaSwag] {
            assert_eq!(prompts(task), same("is it"));
        }
        assert_eq!(prompts(Task::BoolQ), same(" It is so.\nQuestion: is it?\nAnswer:"));
        assert_eq!(prompts(Task::SciQ), same("It is so.\nQuestion: is it\nAnswer:"));
        let partial = ["So no", "So yes"].map(|context| (context.to_string(), " fell .".to_string()));
        assert_eq!(prompts(Task::WinoGrande), partial);
    }
}
