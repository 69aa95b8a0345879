//! What is logged by one test, whose runtime has one thread.
//!
//! One subscriber for all, which asks each thread where to write: with one a thread, an event that another test comes to first is
//! off for good.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Mutex, Once, PoisonError},
};

use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::fmt::{MakeWriter, writer::OptionalWriter};

/// All that this thread logs, up to a level.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    level: LevelFilter,
    bytes: Arc<Mutex<Vec<u8>>>,
}

thread_local! {
    static OF_THIS_THREAD: RefCell<Log> = RefCell::new(Log::new(LevelFilter::OFF));
}

impl Log {
    fn new(level: LevelFilter) -> Self {
        Self { level, bytes: Arc::default() }
    }

    /// From now on.
    pub(crate) fn at(level: LevelFilter) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
            let subscriber = subscriber.with_writer(ThisThread).finish();
            tracing::subscriber::set_global_default(subscriber).expect("it is the only one");
        });
        let log = Self::new(level);
        OF_THIS_THREAD.set(log.clone());
        log
    }

    pub(crate) fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).expect("it is text")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct ThisThread;

impl MakeWriter<'_> for ThisThread {
    type Writer = OptionalWriter<Log>;

    fn make_writer(&self) -> Self::Writer {
        OptionalWriter::some(OF_THIS_THREAD.with_borrow(Clone::clone))
    }

    fn make_writer_for(&self, event: &Metadata<'_>) -> Self::Writer {
        let log = OF_THIS_THREAD.with_borrow(Clone::clone);
        if *event.level() <= log.level { OptionalWriter::some(log) } else { OptionalWriter::none() }
    }
}
