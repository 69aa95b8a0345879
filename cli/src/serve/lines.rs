//! Lines for stderr, which a thread of their own writes: who adds one never waits. What does not fit is lost, and the log says how
//! much it was once there is room again.
//!
//! Not tracing-appender: when it ends while nobody reads, it says so on stdout, which is not for that, and panics if that is closed.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::warn;

/// Where lines are added; a clone is a reference count.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to be written, or everything is.
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    lost: u64,
    is_being_written: bool,
}

impl Lines {
    /// Begins to write what is added to `to`.
    pub(super) fn start(mut to: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self(Arc::new(Shared { waiting: Mutex::default(), changed: Condvar::new() }));
        let shared = lines.0.clone();
        let write = move || {
            loop {
                let (batch, lost) = shared.next();
                // Nobody may be there to read it.
                let _ = to.write_all(&batch).and_then(|()| to.flush());
                if lost > 0 {
                    warn!(lost, "lines of the log were lost: they came faster than they were read");
                }
            }
        };
        thread::Builder::new().name("log".to_owned()).spawn(write).map(|_| lines)
    }

    /// Waits until all is written that was added before, or nobody reads it within this time.
    pub(super) fn flush(&self, within: Duration) {
        let is_busy = |waiting: &mut Waiting| waiting.is_being_written || !waiting.bytes.is_empty();
        drop(self.0.changed.wait_timeout_while(self.0.lock(), within, is_busy));
    }
}

/// Takes a line, or more of them, at once: all or nothing.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        if waiting.bytes.len() + line.len() > BYTES_MAX {
            waiting.lost += 1;
        } else {
            waiting.bytes.extend_from_slice(line);
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// What is to be written, once there is something, and how many lines were lost since the last time.
    fn next(&self) -> (Vec<u8>, u64) {
        let mut waiting = self.lock();
        waiting.is_being_written = false;
        self.changed.notify_all();
        let is_idle = |waiting: &mut Waiting| waiting.bytes.is_empty();
        let mut waiting = self.changed.wait_while(waiting, is_idle).unwrap_or_else(PoisonError::into_inner);
        waiting.is_being_written = true;
        (mem::take(&mut waiting.bytes), mem::take(&mut waiting.lost))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits to be written; as much again is being written.
const BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::{
        io::{PipeReader, Read},
        time::Instant,
    };

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn piped() -> (PipeReader, Lines) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (reader, Lines::start(writer).expect("a thread"))
    }

    #[test]
    fn lines_are_written_in_order() {
        let (mut reader, mut lines) = piped();
        for number in 0..100 {
            writeln!(lines, "{number}").expect("it takes all");
        }
        lines.flush(DEADLINE);
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        let mut read = vec![0; expected.len()];
        reader.read_exact(&mut read).expect("it is there");
        assert_eq!(String::from_utf8(read).expect("UTF-8"), expected);
    }

    /// catalogue: FT-33
    #[test]
    fn what_nobody_reads_is_bounded_and_waited_for_by_nobody() {
        let (reader, mut lines) = piped();
        // More than a pipe holds: whoever writes it waits.
        lines.write_all(&[b'x'; 100_000]).expect("it takes all");
        let deadline = Instant::now() + DEADLINE;
        while !lines.0.lock().is_being_written {
            assert!(Instant::now() < deadline, "it is not written");
            thread::yield_now();
        }
        for _ in 0..10_000 {
            lines.write_all(&[b'x'; 1000]).expect("it takes all");
        }
        lines.flush(Duration::from_millis(1));
        let waiting = lines.0.lock();
        assert_eq!((waiting.bytes.len(), waiting.lost), (1_048_000, 10_000 - 1048));
        drop((waiting, reader));
        // And nobody is there at all.
        lines.flush(DEADLINE);
        assert!(lines.0.lock().bytes.is_empty());
    }
}
