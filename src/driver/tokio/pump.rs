//! The pump: owns the socket, writes what is queued, reads, keeps time.
//!
//! One [`step`](Pump::step) writes everything that has gathered, then reads once. What runs between two steps is up to the
//! caller: [`run`](super::run) polls the user's future there, in the same task, so that whatever one read brought is
//! answered in one write.

use std::{
    io,
    pin::{Pin, pin},
    sync::{Arc, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use ::tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::{
    book::Entry,
    lent::{COMPRESSED_READ_BYTES, READ_BYTES, with_lent},
    line::{Line, Split},
    shared::{Inner, Shared, now},
};
use crate::proto::{State, Want};

#[derive(Debug)]
pub(super) struct Pump<S> {
    pub(super) shared: Arc<Shared>,
    socket: Socket<S>,
    /// How the stream is split, if it can be.
    split: Option<Split<S>>,
    timer: Timer,
    /// The connection's place in a listener's book, until the socket is dropped.
    _entry: Option<Entry>,
}

/// What one step came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something came in, or there is room again: the user's turn, then another step.
    Progress,
    /// The same, and the end is known: what came before it can be answered now, and not after another step.
    Ending,
    /// Nothing to do until the waker is called.
    Pending,
    /// Both sides are done with the socket.
    Done,
}

/// After so many steps others are let through, whatever the stream thinks of it.
pub(super) const STEPS_A_TURN: usize = 64;

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    /// `early` is what came behind the head of the opening handshake.
    pub(super) fn new(
        stream: S,
        shared: Arc<Shared>,
        mut early: Vec<u8>,
        entry: Option<Entry>,
        split: Option<Split<S>>,
    ) -> Self {
        if !early.is_empty() {
            with_lent(|lent| shared.lock().feed(now(), &mut early, &mut lent.inbound, &mut lent.queues));
        }
        let socket =
            Socket { stream: Line::Whole(stream), needs_flush: false, write_failed: None, eof: false };
        Self { shared, socket, split, timer: Timer::default(), _entry: entry }
    }

    /// Pumps until the end, by itself.
    pub(super) fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..STEPS_A_TURN {
            match self.step(cx) {
                Step::Progress => {}
                Step::Pending => return Poll::Pending,
                Step::Done => return Poll::Ready(()),
                // The user's task was woken, and is to be first.
                Step::Ending => break,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is queued, reads once, keeps time.
    pub(super) fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let Self { shared, socket, split, timer, .. } = self;
        let now = now();
        let mut inner = shared.lock();
        inner.pump_wakes();
        if inner.wants_a_share() {
            socket.share(&mut inner, *split);
        }
        let (flushed, wrote) = socket.write(cx, &mut inner, now);
        let (want, may_read) = (inner.connection.want(), inner.may_read(now));
        let ended = matches!(want, Want::Drop | Want::Abort);
        let over = ended || (flushed && inner.connection.state() == State::Closed);
        let mut wakers = inner.wakers(wrote, over);
        if ended {
            wakers.extend(inner.wake_reader().cloned());
            drop(inner);
            wakers.into_iter().for_each(Waker::wake);
            return Step::Done;
        }
        let mut read = false;
        if may_read && want != Want::StopReading && !socket.eof {
            (inner, read) = socket.read(cx, shared, inner, now);
        }
        let mut progress = read;
        // What the peer had sent before comes first, its Close perhaps (catalogue: RT-03); and the write's deadline stays.
        if let Some(kind) = socket.write_failed
            && !read
            && !inner.is_paused()
        {
            inner.connection.handle_transport_error(kind);
            progress = true;
        }
        // The task that we are in is not woken, as it goes on by itself.
        let others = wakers.len();
        wakers.retain(|waker| !waker.will_wake(cx.waker()));
        progress |= wakers.len() < others;
        let reader = match inner.wake_reader() {
            Some(waker) if waker.will_wake(cx.waker()) => {
                progress = true;
                None
            }
            waker => waker.cloned(),
        };
        progress |= inner.pump_was_called();
        if !progress {
            if timer.poll(cx, inner.connection.poll_timeout()).is_ready() {
                inner.connection.handle_timeout(self::now());
                progress = true;
            } else {
                inner.pump_sleeps(cx.waker());
            }
        }
        let ending = inner.is_ending();
        drop(inner);
        wakers.into_iter().chain(reader).for_each(Waker::wake);
        match progress {
            false => Step::Pending,
            true if ending => Step::Ending,
            true => Step::Progress,
        }
    }
}

/// A pump that is dropped, with its task or its runtime, takes the socket with it: who waits is told.
impl<S> Drop for Pump<S> {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.connection.handle_transport_error(io::ErrorKind::ConnectionAborted);
        inner.pump_is_gone();
        let mut wakers = inner.wakers(true, true);
        wakers.extend(inner.wake_reader().cloned());
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[derive(Debug)]
struct Socket<S> {
    stream: Line<S>,
    /// Written, and maybe held back by the stream.
    needs_flush: bool,
    write_failed: Option<io::ErrorKind>,
    eof: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Lets others write as well, if they can.
    #[cold]
    fn share(&mut self, inner: &mut Inner, split: Option<Split<S>>) {
        inner.share(split.and_then(|split| self.stream.split(split)));
    }

    /// Writes until nothing is queued or the socket takes no more, for now or ever: whether all is out, and whether anything
    /// was written.
    fn write(&mut self, cx: &mut Context<'_>, inner: &mut Inner, now: Instant) -> (bool, bool) {
        if self.write_failed.is_some() {
            return (false, false);
        }
        let mut wrote = false;
        let written = with_lent(|lent| {
            while let Some(transmit) = inner.connection.poll_transmit(now, &mut lent.outbound) {
                let slices = transmit.slices();
                let stream = Pin::new(&mut self.stream);
                let written = if slices.len() > 1 && stream.is_write_vectored() {
                    ready!(stream.poll_write_vectored(cx, &slices))?
                } else {
                    ready!(stream.poll_write(cx, &slices[0]))?
                };
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                transmit.wrote(written);
                wrote = true;
                self.needs_flush = true;
            }
            if self.needs_flush {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.needs_flush = false;
            }
            if inner.connection.want() == Want::ShutdownWrite {
                inner.unshare();
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                inner.connection.write_is_shut(now);
            }
            Poll::Ready(io::Result::Ok(()))
        });
        if let Poll::Ready(Err(error)) = &written {
            self.write_failed = Some(error.kind());
        }
        (matches!(written, Poll::Ready(Ok(()))), wrote)
    }

    /// Reads once, into the thread's buffer without the lock; whether something came, the end maybe.
    fn read<'s>(
        &mut self,
        cx: &mut Context<'_>,
        shared: &'s Shared,
        mut inner: MutexGuard<'s, Inner>,
        now: Instant,
    ) -> (MutexGuard<'s, Inner>, bool) {
        let read = match self.read_target(cx, &mut inner, now) {
            Some(read) => read,
            None => {
                let bytes_max = if inner.compresses() { COMPRESSED_READ_BYTES } else { READ_BYTES };
                drop(inner);
                let read;
                (inner, read) = self.read_shared(cx, shared, bytes_max, now);
                read
            }
        };
        match read {
            Poll::Pending => return (inner, false),
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0)) => {
                self.eof = true;
                inner.connection.receive_eof(now);
            }
            Poll::Ready(Err(error)) => {
                self.eof = true;
                inner.connection.handle_transport_error(error.kind());
            }
        }
        (inner, true)
    }

    /// Reads the rest of a large message to where it belongs; `None` if there is no such message.
    fn read_target(
        &mut self,
        cx: &mut Context<'_>,
        inner: &mut Inner,
        now: Instant,
    ) -> Option<Poll<io::Result<usize>>> {
        let mut target = inner.connection.read_target()?;
        let mut buffer = target.buffer();
        // `read_buf` fills what is uninitialised; its future holds nothing while it is pending.
        let read = pin!(self.stream.read_buf(&mut buffer)).poll(cx);
        drop(target);
        if let Poll::Ready(Ok(1..)) = read {
            with_lent(|lent| inner.feed(now, &mut [], &mut lent.inbound, &mut lent.queues));
        }
        Some(read)
    }

    fn read_shared<'s>(
        &mut self,
        cx: &mut Context<'_>,
        shared: &'s Shared,
        bytes_max: usize,
        now: Instant,
    ) -> (MutexGuard<'s, Inner>, Poll<io::Result<usize>>) {
        with_lent(|lent| {
            let (buffer, inbound, queues) = lent.for_read(bytes_max);
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            let mut inner = shared.lock();
            let input = buffer.filled_mut();
            let bytes = input.len();
            if let Poll::Ready(Ok(())) = read {
                inner.feed(now, input, inbound, queues);
            }
            (inner, read.map_ok(|()| bytes))
        })
    }
}

/// One timer for all deadlines. It is only moved forward: traffic does not touch it, and what fires too early is armed
/// again.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let deadline = deadline.into();
        let sleep = self.0.get_or_insert_with(|| Box::pin(::tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}
