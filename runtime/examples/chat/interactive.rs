//! The conversation at a terminal.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Write},
};

use otaro::{Answer, CancelToken, Conversation, FinishReason, GenerateOptions, Metrics, PrecisionProfile};

use crate::{
    answer,
    arguments::Arguments,
    commands::{HELP, Input, parse},
    dial::Dial,
    events::{Event, Events},
    report,
};

/// A chat: questions, answers, commands.
pub struct Chat {
    conversation: Conversation,
    options: GenerateOptions,
    system: Option<String>,
    cancel: CancelToken,
    waiting: Waiting,
    last: Option<Metrics>,
    stats: bool,
}

/// What was typed and not dealt with yet.
struct Waiting {
    events: Events,
    dial: Dial,
    /// Lines that were typed while an answer came.
    lines: VecDeque<String>,
    /// Whether commands reach an answer that is being written. Where the input is a file, every
    /// line waits for its turn instead.
    live: bool,
    ended: bool,
}

impl Chat {
    /// A chat that has not begun.
    pub fn new(
        arguments: &Arguments,
        cancel: CancelToken,
        events: Events,
        conversation: Conversation,
        dial: Dial,
    ) -> Self {
        Self {
            conversation,
            options: arguments.generate_options(&cancel),
            system: arguments.system.clone(),
            cancel,
            waiting: Waiting {
                events,
                dial,
                lines: VecDeque::new(),
                live: io::stdin().is_terminal(),
                ended: false,
            },
            last: None,
            stats: arguments.stats,
        }
    }

    /// Goes on until `/quit`, the end of the input, or Ctrl-C twice.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let mut interrupted = false;
        loop {
            self.invite()?;
            match self.waiting.next() {
                Event::End => break,
                Event::Interrupt if interrupted => break,
                Event::Interrupt => {
                    interrupted = true;
                    eprintln!("\nCtrl-C again, /quit or Ctrl-D ends the chat");
                }
                Event::Line(line) => {
                    interrupted = false;
                    if !self.take(&line)? {
                        return Ok(());
                    }
                }
            }
        }
        if self.waiting.live {
            eprintln!();
        }
        Ok(())
    }

    /// The sign that it is the person's turn.
    fn invite(&self) -> anyhow::Result<()> {
        if self.waiting.live && self.waiting.lines.is_empty() {
            print!("> ");
            io::stdout().flush()?;
        }
        Ok(())
    }

    /// Deals with a line; false ends the chat.
    fn take(&mut self, line: &str) -> anyhow::Result<bool> {
        match parse(line) {
            Input::Nothing => {}
            Input::Quit => return Ok(false),
            Input::Help => eprintln!("{HELP}"),
            Input::Unknown(message) => eprintln!("{message}"),
            Input::Stats => self.print_stats(),
            Input::Bits(precision) => {
                let profile = self.waiting.dial.bits(precision);
                self.turn(Ok(profile));
            }
            Input::Profile(source) => self.turn(self.waiting.dial.profile(&source)),
            Input::Reset => {
                self.conversation.reset(self.system.as_deref())?;
                eprintln!("[a new conversation]");
            }
            Input::Question(question) => self.answer(&question)?,
        }
        Ok(true)
    }

    fn turn(&mut self, profile: otaro::Result<PrecisionProfile>) {
        match profile.and_then(|profile| self.conversation.set_profile(profile)) {
            Ok(()) => eprintln!("[{}]", self.conversation.profile()),
            Err(error) => report(&error.into()),
        }
    }

    fn print_stats(&self) {
        if let Some(metrics) = &self.last {
            eprintln!("{metrics}");
        }
        let (held, size) = self.conversation.context();
        eprintln!("context    {held} of {size} tokens, {}", self.conversation.profile());
    }

    fn answer(&mut self, question: &str) -> anyhow::Result<()> {
        self.cancel.reset();
        let mut answer = match self.conversation.ask(question, &self.options) {
            Ok(answer) => answer,
            Err(error) => {
                let full = error.kind() == otaro::ErrorKind::ContextFull;
                report(&error.into());
                if full {
                    eprintln!("      /reset begins a new one");
                }
                return Ok(());
            }
        };
        let (cancel, waiting) = (&self.cancel, &mut self.waiting);
        let result = answer::stream(&mut answer, |answer| {
            waiting.deal_with(answer, cancel);
            Ok(())
        });
        waiting.settle();
        self.last = Some(answer.metrics());
        match result {
            Err(error) if error.is::<otaro::Error>() => {
                println!();
                report(&error);
            }
            result => result?,
        }
        match answer.finish_reason() {
            Some(FinishReason::Cancelled) => eprintln!("[stopped]"),
            Some(FinishReason::Context) => {
                eprintln!("[the context is full: /reset begins a new conversation]")
            }
            Some(FinishReason::MaxTokens) => {
                eprintln!("[cut after {} tokens: --max-tokens allows more]", self.options.max_tokens);
            }
            _ => {}
        }
        if self.stats {
            self.print_stats();
        }
        Ok(())
    }
}

impl Waiting {
    fn next(&mut self) -> Event {
        match self.lines.pop_front() {
            Some(line) => Event::Line(line),
            None if self.ended => Event::End,
            None => self.events.wait(),
        }
    }

    /// The answer is over: Ctrl-C until now was meant for it, lines wait for their turn.
    fn settle(&mut self) {
        while let Some(event) = self.events.poll() {
            match event {
                Event::Interrupt => {}
                Event::End => self.ended = true,
                Event::Line(line) => self.lines.push_back(line),
            }
        }
    }

    /// Deals with what was typed while an answer comes: commands at once, questions later.
    fn deal_with(&mut self, answer: &mut Answer<'_>, cancel: &CancelToken) {
        while self.live {
            match self.events.poll() {
                None => return,
                // The answer ends by itself: the token is set.
                Some(Event::Interrupt) => {}
                Some(Event::End) => {
                    self.ended = true;
                    return;
                }
                Some(Event::Line(line)) => self.deal_with_line(line, answer, cancel),
            }
        }
    }

    fn deal_with_line(&mut self, line: String, answer: &mut Answer<'_>, cancel: &CancelToken) {
        match parse(&line) {
            Input::Bits(precision) => turn(answer, Ok(self.dial.bits(precision))),
            Input::Profile(source) => turn(answer, self.dial.profile(&source)),
            Input::Stats => eprintln!("\n{}", answer.metrics()),
            Input::Help => eprintln!("{HELP}"),
            Input::Unknown(message) => eprintln!("{message}"),
            Input::Nothing => {}
            Input::Question(_) => self.lines.push_back(line),
            Input::Reset | Input::Quit => {
                cancel.cancel();
                self.lines.push_back(line);
            }
        }
    }
}

fn turn(answer: &mut Answer<'_>, profile: otaro::Result<PrecisionProfile>) {
    match profile.and_then(|profile| answer.set_profile(profile)) {
        Ok(()) => eprintln!("[{} from here]", answer.profile()),
        Err(error) => report(&error.into()),
    }
}
