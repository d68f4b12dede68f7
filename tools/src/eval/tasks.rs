//! Multiple-choice questions for every model.

use anyhow::Context;
use otaro::CancelToken;
use otaro_eval::{
    BosPolicy,
    task::{Answers, EncodedQuestion, Encoder, Task, ask, find, read},
};
use serde_json::json;

use super::{Candidate, Models, arguments::Arguments, describe_bos, report::Report, subjects::Subject};
use crate::progress;

/// The questions of all tasks, as tokens.
pub struct Questions {
    tasks: Vec<(Task, Vec<EncodedQuestion>)>,
    bos: (BosPolicy, Option<u32>),
}

impl Questions {
    /// Reads the questions of the tasks that the command line names, which may be none.
    pub fn open(arguments: &Arguments, subjects: &[&Subject]) -> anyhow::Result<Self> {
        let (mut tasks, mut bos) = (Vec::new(), (arguments.bos, None));
        if let (Some(folder), false) = (&arguments.task_data, arguments.tasks.is_empty()) {
            let encoder = encoder(arguments, subjects)?;
            bos.1 = encoder.bos;
            for &task in &arguments.tasks {
                let path = find(task, folder)?;
                let questions = read(task, &path, arguments.limit)?.into_iter().enumerate();
                let encode = |(index, question)| {
                    let encoded = encoder.encode(task, &question);
                    encoded.with_context(|| format!("{}: question {}", path.display(), index + 1))
                };
                tasks.push((task, questions.map(encode).collect::<anyhow::Result<_>>()?));
            }
        }
        Ok(Self { tasks, bos })
    }

    /// Puts every question to every model, and adds what is finished to the report.
    pub fn measure(
        &self,
        models: &mut Models,
        report: &mut Report,
        cancel: &CancelToken,
    ) -> anyhow::Result<()> {
        for (task, questions) in &self.tasks {
            let mut answers = vec![Answers::default(); models.all().count()];
            let bar = progress::bar((questions.len() * answers.len()) as u64, task.name(), "questions");
            let result = questions.iter().try_for_each(|question| {
                let answer = |candidate: &mut Candidate| -> otaro::Result<Vec<f64>> {
                    let likelihoods = ask(&mut candidate.session, question, cancel)?;
                    bar.inc(1);
                    Ok(likelihoods)
                };
                // A question counts when everyone has answered it.
                let likelihoods = models.all().map(answer).collect::<otaro::Result<Vec<_>>>()?;
                for (answers, likelihoods) in answers.iter_mut().zip(&likelihoods) {
                    answers.add(question, likelihoods);
                }
                otaro::Result::Ok(())
            });
            bar.finish_and_clear();
            self.add_to(report, *task, questions, &answers, models.reference.is_some());
            result?;
        }
        Ok(())
    }

    fn add_to(
        &self,
        report: &mut Report,
        task: Task,
        questions: &[EncodedQuestion],
        answers: &[Answers],
        reference_is_model: bool,
    ) {
        let done = answers.first().map_or(0, |answers| answers.right.len());
        if done == 0 {
            return;
        }
        // Saved logits are of a text: they answer nothing.
        let rows = report.rows.iter_mut().filter(|row| reference_is_model || !row.is_reference);
        rows.zip(answers).for_each(|(row, answers)| row.add_task(task, answers));
        let truncated = questions[..done].iter().filter(|question| question.truncated).count();
        let cut =
            if truncated > 0 { format!(", {truncated} of them cut to the context") } else { String::new() };
        let all =
            if done < questions.len() { format!("{done} of {}", questions.len()) } else { done.to_string() };
        let (policy, bos) = self.bos;
        let described = describe_bos(policy, bos);
        report.conditions.push(format!("{task}: {all} questions{cut}, no examples, {described}"));
        let fields = json!({
            "task": task.name(), "questions": done, "questions_asked_for": questions.len(),
            "truncated": truncated, "bos_policy": policy.name(), "bos": bos,
        });
        report.add_to_list("tasks", fields);
    }
}

fn encoder(arguments: &Arguments, subjects: &[&Subject]) -> anyhow::Result<Encoder> {
    let tokenizer = subjects.iter().find_map(|subject| subject.vocabulary.tokenizer.as_ref());
    let (tokenizer, _) =
        tokenizer.with_context(|| format!("{} holds no tokenizer: questions need one", subjects[0].name))?;
    let limits = subjects.iter().map(|subject| subject.vocabulary.context_length);
    Ok(Encoder {
        tokenizer: tokenizer.clone(),
        bos: arguments.bos.token(tokenizer)?,
        context_length: limits.min().unwrap_or_default(),
    })
}
