//! Lines that are typed and Ctrl-C, in the order in which they happen.

use std::{
    io::{self, BufRead},
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use anyhow::Context;
use otaro::CancelToken;

/// Something that a person did.
#[derive(Debug)]
pub enum Event {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C. The cancel token is set already.
    Interrupt,
    /// The end of the input, or an error of it.
    End,
}

/// Where events come from.
#[derive(Debug)]
pub struct Events(Receiver<Event>);

impl Events {
    /// Listens for Ctrl-C, which cancels, and with `lines` for lines of standard input: a thread reads
    /// them, so that a command reaches an answer that is being written.
    pub fn listen(cancel: &CancelToken, lines: bool) -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let (on_interrupt, cancel) = (sender.clone(), cancel.clone());
        ctrlc::set_handler(move || {
            cancel.cancel();
            // Nobody listens any more: the program is about to end.
            let _ = on_interrupt.send(Event::Interrupt);
        })
        .context("cannot listen for Ctrl-C")?;
        if lines {
            thread::spawn(move || read_lines(&sender));
        }
        Ok(Self(receiver))
    }

    /// Waits for the next event.
    pub fn wait(&self) -> Event {
        self.0.recv().unwrap_or(Event::End)
    }

    /// The next event, if it has happened already.
    pub fn poll(&self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}

fn read_lines(sender: &Sender<Event>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let event = match input.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => Event::End,
            Ok(_) => Event::Line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()),
        };
        let end = matches!(event, Event::End);
        if sender.send(event).is_err() || end {
            return;
        }
    }
}
