//! Standard output, on a thread of its own: a reader that is slow holds up what is received, and not the connection's pings
//! or a signal.

use std::{
    io::{self, BufWriter, IsTerminal, Stdout, Write},
    os::fd::AsFd,
    sync::Arc,
    thread::{self, JoinHandle},
};

use framecast::Message;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
};
use tokio::sync::{Notify, mpsc};

use super::{editor::Printer, event::Event};
use crate::{failure::say, show};

/// Events that wait to be written. Few: each may be a message as large as `--max-message`.
const WAITING_MAX: usize = 4;

/// Where events go.
pub(super) struct Output {
    events: mpsc::Sender<Event>,
    hung_up: Arc<Notify>,
    writing: JoinHandle<io::Result<()>>,
    is_terminal: bool,
}

impl Output {
    /// With a `printer`, everything is printed above the line that is edited.
    pub(super) fn start(json: bool, printer: Option<Printer>) -> Self {
        let (events, waiting) = mpsc::channel(WAITING_MAX);
        let is_terminal = io::stdout().is_terminal();
        let hung_up = Arc::new(Notify::new());
        if !is_terminal {
            thread::spawn({
                let hung_up = hung_up.clone();
                move || wait_for_hang_up(&hung_up)
            });
        }
        let writer = Writer { json, is_terminal, printer, stdout: BufWriter::new(io::stdout()) };
        Self { events, hung_up, writing: thread::spawn(move || writer.run(waiting)), is_terminal }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A handle for other tasks.
    pub(super) fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// Once there is room. Nobody reads any more? Then nothing is missed; [`broken`](Self::broken) tells.
    pub(super) async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// A line for whoever sits there.
    pub(super) async fn notice(&self, line: &str) {
        self.tell(Event::Notice(line.to_owned())).await;
    }

    /// Resolves when nothing more can be written.
    pub(super) async fn broken(&self) {
        tokio::select! {
            () = self.events.closed() => {}
            () = self.hung_up.notified() => {}
        }
    }

    /// Everything is written; or why not.
    pub(super) async fn finish(self) -> io::Result<()> {
        drop(self.events);
        // The thread may wait for a slow reader, and we have nothing else to do.
        self.writing.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")))
    }
}

/// A pipe whose reader has gone says so at once, and not only with the next message.
fn wait_for_hang_up(hung_up: &Notify) {
    let stdout = io::stdout();
    // No events are asked for, so only an error or a hang-up ends it.
    let mut fds = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    if retry_on_intr(|| poll(&mut fds, None)).is_ok_and(|count| count > 0) {
        hung_up.notify_one();
    }
}

struct Writer {
    json: bool,
    is_terminal: bool,
    printer: Option<Printer>,
    stdout: BufWriter<Stdout>,
}

impl Writer {
    fn run(mut self, mut events: mpsc::Receiver<Event>) -> io::Result<()> {
        while let Some(event) = events.blocking_recv() {
            self.write(&event)?;
            // What has come meanwhile goes out with it.
            while let Ok(event) = events.try_recv() {
                self.write(&event)?;
            }
            self.stdout.flush()?;
        }
        Ok(())
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        if self.json {
            return match event.json() {
                Some(line) if self.is_terminal => self.print(show::json(&line?)),
                Some(line) => self.print(line?),
                None => Ok(()),
            };
        }
        if let Some(remark) = event.remark() {
            return match self.printer {
                Some(_) => self.print(format!("{remark}\n")),
                None => {
                    self.stdout.flush()?;
                    say(&remark);
                    Ok(())
                }
            };
        }
        if self.is_terminal {
            return event.for_people().map_or(Ok(()), |text| self.print(text));
        }
        match event {
            Event::Message(Message::Text(text)) => {
                self.stdout.write_all(text.as_bytes())?;
                self.stdout.write_all(b"\n")
            }
            Event::Message(Message::Binary(bytes)) => self.stdout.write_all(bytes),
            _ => Ok(()),
        }
    }

    fn print(&mut self, text: String) -> io::Result<()> {
        match &mut self.printer {
            Some(printer) => printer.print(text),
            None => self.stdout.write_all(text.as_bytes()),
        }
    }
}
