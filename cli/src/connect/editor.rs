//! Line editing and history on a terminal, by rustyline: messages that arrive are printed above the line that is edited.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{Config, ExternalPrinter, error::ReadlineError, history::MemHistory};
use tokio::sync::mpsc;

pub(super) struct Editor {
    editor: rustyline::Editor<(), MemHistory>,
    reading: Arc<AtomicBool>,
}

/// Prints whole lines, while a line is edited or not.
pub(super) struct Printer(Box<dyn ExternalPrinter + Send>);

/// How the terminal was; a thread that reads a line cannot be called back, so it is left as it was by us.
pub(super) struct Terminal {
    modes: Termios,
    reading: Arc<AtomicBool>,
}

impl Editor {
    /// `None` where the terminal is too plain for it: lines are read as the system gives them.
    pub(super) fn open() -> Option<(Self, Printer, Terminal)> {
        let modes = tcgetattr(io::stdin()).ok()?;
        let config = Config::builder().auto_add_history(true).build();
        let mut editor = rustyline::Editor::with_history(config, MemHistory::new()).ok()?;
        let printer = Printer(Box::new(editor.create_external_printer().ok()?));
        let reading = Arc::new(AtomicBool::new(false));
        Some((Self { editor, reading: reading.clone() }, printer, Terminal { modes, reading }))
    }

    /// The lines that are typed, until Ctrl-D or Ctrl-C. As many as a person types wait: the editor must go on, as what is
    /// printed meanwhile is printed by it.
    pub(super) fn start(mut self) -> mpsc::UnboundedReceiver<String> {
        let (lines, typed) = mpsc::unbounded_channel();
        self.reading.store(true, SeqCst);
        thread::spawn(move || {
            loop {
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
            self.reading.store(false, SeqCst);
        });
        typed
    }
}

impl Printer {
    pub(super) fn print(&mut self, lines: String) -> io::Result<()> {
        self.0.print(lines).map_err(io::Error::other)
    }
}

/// What was printed last may still be on its way through the editor. It takes one piece at a time, so when it has taken the
/// first of these, everything before is on the screen. They go up a line and down again.
impl Drop for Printer {
    fn drop(&mut self) {
        for _ in 0..3 {
            let _ = self.0.print("\x1b[A\n".to_owned());
        }
    }
}

impl Terminal {
    /// Takes the prompt away, and gives the terminal back as it was.
    pub(super) fn restore(self) {
        if !self.reading.load(SeqCst) {
            return;
        }
        // The line's rest, and rustyline's bracketed paste.
        let _ = io::stdout().write_all(b"\r\x1b[J\x1b[?2004l").and_then(|()| io::stdout().flush());
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.modes);
    }
}
