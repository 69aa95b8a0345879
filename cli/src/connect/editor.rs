//! Line editing and history on a terminal, by rustyline: messages that arrive are printed above the line that is edited.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread,
};

use rustix::{
    stdio::dup2_stdin,
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};
use rustyline::{
    Config, ExternalPrinter, Helper,
    completion::Completer,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::MemHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};
use tokio::sync::mpsc;

use super::gate::{Gate, Phase};

pub(super) struct Editor {
    editor: rustyline::Editor<Watch, MemHistory>,
    gate: Arc<Gate>,
}

/// Prints whole lines, while a line is edited or not.
pub(super) struct Printer {
    above: Box<dyn ExternalPrinter + Send>,
    gate: Arc<Gate>,
}

/// How the terminal was. The editor loses it at the end, so that it is left as it was by us.
pub(super) struct Terminal {
    modes: Termios,
    tty: OwnedFd,
}

impl Editor {
    /// `None` where the terminal is too plain for it: lines are read as the system gives them.
    pub(super) fn open() -> Option<(Self, Printer, Terminal)> {
        let modes = tcgetattr(io::stdin()).ok()?;
        let tty = io::stdin().as_fd().try_clone_to_owned().ok()?;
        let config = Config::builder().auto_add_history(true).build();
        let mut editor = rustyline::Editor::with_history(config, MemHistory::new()).ok()?;
        let gate = Arc::new(Gate::default());
        editor.set_helper(Some(Watch { gate: gate.clone(), is_new: Cell::new(true) }));
        let above = Box::new(editor.create_external_printer().ok()?);
        let printer = Printer { above, gate: gate.clone() };
        Some((Self { editor, gate }, printer, Terminal { modes, tty }))
    }

    /// The lines that are typed, until Ctrl-D or Ctrl-C. As many as a person types wait: the editor must go on, as what is
    /// printed meanwhile is printed by it.
    pub(super) fn start(mut self) -> mpsc::UnboundedReceiver<String> {
        let (lines, typed) = mpsc::unbounded_channel();
        thread::spawn(move || {
            loop {
                self.gate.enter(Phase::Between);
                if let Some(watch) = self.editor.helper() {
                    watch.is_new.set(true);
                }
                let sent = match self.editor.readline("> ") {
                    Ok(line) => lines.send(line).is_ok(),
                    // A window that was resized.
                    Err(ReadlineError::Signal(_)) => true,
                    Err(_) => false,
                };
                if !sent {
                    break;
                }
            }
            let Self { editor, gate } = self;
            // Whoever waits for it to print is told that it will not.
            drop(editor);
            gate.enter(Phase::Idle);
        });
        typed
    }
}

impl Printer {
    pub(super) fn print(&mut self, lines: String) -> io::Result<()> {
        let Self { above, gate } = self;
        gate.print(|phase| {
            // It fails if the editor has gone meanwhile.
            if phase == Phase::Editing && above.print(lines.clone()).is_ok() {
                return Ok(());
            }
            let mut stdout = io::stdout().lock();
            stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush())
        })
    }
}

/// A thread that waits for keys cannot be called back; but it can be given an end of input, and something to print wakes it
/// to see that. Before, all is to be on the screen: the editor takes one piece at a time, so when it has place for a second
/// piece of nothing it has taken the first, and printed what came before.
impl Drop for Printer {
    fn drop(&mut self) {
        if self.gate.phase() == Phase::Idle {
            return;
        }
        let printed = self.print(NOTHING.to_owned()).and_then(|()| self.print(NOTHING.to_owned()));
        let no_keys = printed.and_then(|()| File::open("/dev/null")).and_then(|null| Ok(dup2_stdin(null)?));
        if no_keys.and_then(|()| self.print(NOTHING.to_owned())).is_ok() {
            self.gate.wait_for_idle();
        }
    }
}

/// A line that leaves no trace: up, and down again.
const NOTHING: &str = "\x1b[A\n";

impl Terminal {
    /// Gives the terminal back as it was, if the editor could not.
    pub(super) fn restore(self) {
        let _ = tcsetattr(&self.tty, OptionalActions::Drain, &self.modes);
        // Rustyline's bracketed paste.
        let _ = io::stdout().write_all(b"\x1b[?2004l").and_then(|()| io::stdout().flush());
    }
}

/// Completes and hints at nothing: it is called when a line's prompt is drawn, and when the line is done.
struct Watch {
    gate: Arc<Gate>,
    /// The line's prompt has not been drawn yet.
    is_new: Cell<bool>,
}

impl Helper for Watch {}

impl Completer for Watch {
    type Candidate = String;
}

impl Highlighter for Watch {}

impl Hinter for Watch {
    type Hint = String;

    fn hint(&self, _line: &str, _pos: usize, _context: &rustyline::Context<'_>) -> Option<String> {
        if self.is_new.replace(false) {
            self.gate.line_begins();
        }
        None
    }
}

impl Validator for Watch {
    fn validate(&self, _context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.gate.line_ends();
        Ok(ValidationResult::Valid(None))
    }
}
