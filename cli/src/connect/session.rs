//! One connection, from open to closed: lines go out and messages come in, side by side, until one of them ends it.

use std::{cell::Cell, io, pin::pin, time::Duration};

use framecast::{CloseCode, CloseInfo, Sender, WebSocket, proto::CloseFrame};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    event::Event,
    input::{Input, never},
    line::Line,
    options::{Options, Wait},
    output::Output,
};
use crate::{failure::Failure, server::stopped};

pub(super) struct Session<'s> {
    options: &'s Options,
    output: &'s Output,
    /// A message or a ping was sent.
    asked: Cell<bool>,
    sent: Cell<u64>,
    received: Cell<u64>,
    /// Another message was received.
    came: Notify,
}

/// How we close, and what is to be said of it besides.
struct Goodbye {
    close: CloseFrame,
    mistake: Option<Failure>,
}

impl Goodbye {
    fn normal() -> Self {
        Self { close: CloseFrame { code: CloseCode::NORMAL, reason: "".into() }, mistake: None }
    }

    /// The input is wrong, and nobody is there to mend it.
    fn because(mistake: Failure) -> Self {
        Self { mistake: Some(mistake), ..Self::normal() }
    }
}

impl<'s> Session<'s> {
    pub(super) fn new(options: &'s Options, output: &'s Output) -> Self {
        Self {
            options,
            output,
            asked: Cell::new(false),
            sent: Cell::new(0),
            received: Cell::new(0),
            came: Notify::new(),
        }
    }

    /// To the end; how it ended, and what was wrong with the input. `None`: nobody reads our output any more.
    pub(super) async fn run(
        self,
        mut ws: WebSocket,
        input: Input,
        told_to_stop: impl Future<Output = ()>,
    ) -> Option<(CloseInfo, Option<Failure>)> {
        let sender = ws.sender();
        let mut pings = JoinSet::new();
        let mut printing = pin!(self.print(&mut ws));
        let goodbye = tokio::select! {
            biased;
            () = &mut printing => None,
            goodbye = self.talk(input, &sender, &mut pings) => Some(goodbye),
            () = told_to_stop => Some(Goodbye::normal()),
            () = self.output.broken() => {
                let _ = sender.close(CloseCode::NORMAL, "");
                // For the peer's sake, and only so long: there may be much on the way that nobody wants.
                let _ = timeout(FAREWELL, printing).await;
                return None;
            }
        };
        let mut mistake = None;
        if let Some(goodbye) = goodbye {
            mistake = goodbye.mistake;
            // It fails if the peer was faster, which `printing` and `closed` see.
            let _ = sender.close(goodbye.close.code, &goodbye.close.reason);
            printing.await;
        }
        let end = sender.closed().await;
        // Pongs that came before the end are told before it.
        while pings.join_next().await.is_some() {}
        Some((end, mistake))
    }

    /// Prints what comes in.
    async fn print(&self, ws: &mut WebSocket) {
        while let Some(message) = ws.recv().await {
            self.received.set(self.received.get() + 1);
            self.output.tell(Event::Message(message)).await;
            self.came.notify_one();
        }
    }

    /// Sends what is typed, to the end of input and of what is to be waited for after it.
    async fn talk(&self, mut input: Input, sender: &Sender, pings: &mut JoinSet<()>) -> Goodbye {
        let close = loop {
            let line = match input.next().await {
                Ok(Some(line)) => Line::parse(line, self.options.binary, !self.options.no_commands),
                Ok(None) if input.is_editor() => return Goodbye::normal(),
                Ok(None) => break None,
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(error.to_string()),
                Err(error) => {
                    let why = format!("cannot read stdin: {error}");
                    return Goodbye::because(Failure::new(1, why));
                }
            };
            self.asked.set(self.asked.get() || matches!(line, Ok(Line::Message(_) | Line::Ping(_))));
            match line {
                Ok(Line::Message(message)) => match sender.send(message).await {
                    Ok(()) => self.sent.set(self.sent.get() + 1),
                    Err(_) => return never().await,
                },
                Ok(Line::Ping(payload)) => self.ping(payload, sender, pings),
                Ok(Line::Close(close)) if input.is_editor() => return Goodbye { close, mistake: None },
                // Whoever wrote it into a file wants what the lines before it are answered.
                Ok(Line::Close(close)) => break Some(close),
                Err(why) => {
                    self.output.tell(Event::Error { message: why.clone(), status: None }).await;
                    if !input.is_editor() {
                        return Goodbye::because(Failure::usage(why));
                    }
                    self.output.notice(&why).await;
                }
            }
        };
        match (self.options.wait, &close) {
            // Nothing is owed.
            (_, Some(_)) if !self.asked.get() => {}
            (Wait::Quiet(quiet), _) => self.wait_for_replies(quiet, sender, pings).await,
            (Wait::Forever, Some(_)) => {}
            (Wait::Forever, None) => never().await,
        }
        close.map_or_else(Goodbye::normal, |close| Goodbye { close, mistake: None })
    }

    /// Pings, and tells of the pong when it comes.
    fn ping(&self, payload: Vec<u8>, sender: &Sender, pings: &mut JoinSet<()>) {
        let (sender, events) = (sender.clone(), self.output.events());
        pings.spawn(async move {
            // A connection that ended says so itself.
            if let Ok(took) = sender.round_trip(&payload).await {
                let _ = events.send(Event::Pong { payload, took }).await;
            }
        });
    }

    /// Until as many messages came as were sent, and the pongs, or none of them for `quiet`. Where nothing was sent nothing
    /// is owed, and `quiet` is all the time that there is.
    async fn wait_for_replies(&self, quiet: Duration, sender: &Sender, pings: &mut JoinSet<()>) {
        let asked = self.asked.get();
        sender.flush().await;
        let mut deadline = Instant::now() + quiet;
        loop {
            while pings.try_join_next().is_some() {}
            if asked && self.received.get() >= self.sent.get() && pings.is_empty() {
                return;
            }
            let something = async {
                tokio::select! {
                    () = self.came.notified() => {}
                    Some(_) = pings.join_next() => {}
                }
            };
            if timeout_at(deadline, something).await.is_err() {
                break;
            }
            if asked {
                deadline = Instant::now() + quiet;
            }
        }
        let (received, sent) = (self.received.get(), self.sent.get());
        if received < sent {
            self.output.notice(&format!("{received} of {sent} replies came")).await;
        }
    }
}

/// Resolves at SIGINT or SIGTERM; they are caught from the call on.
pub(super) fn told_to_stop() -> impl Future<Output = ()> {
    let stopped = stopped();
    async move {
        match stopped {
            Ok(stopped) => stopped.await,
            // Without a handler the signal ends the process by itself.
            Err(_) => never().await,
        }
    }
}

/// For the closing handshake, where nobody reads what still comes.
const FAREWELL: Duration = Duration::from_secs(1);
