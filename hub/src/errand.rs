//! Something that a session has done elsewhere, and waits for; it can give it up.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use framecast::broadcast::{BrokerError, Page, Position};

use crate::bridge::Lease;

/// A question to the broker, as a future: what comes of it is for [`Session::returned`](crate::Session::returned). It ends early
/// when the session does not wait for it any more.
#[derive(Debug)]
#[must_use]
pub struct Errand {
    number: u64,
    shared: Arc<Shared>,
}

/// What came of an [`Errand`].
#[derive(Debug)]
pub struct Returned {
    pub(crate) number: u64,
    /// `None`: it was given up.
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    History(Result<Page, BrokerError>),
    Published(Result<Position, BrokerError>),
    Subscribed(Result<Joined, BrokerError>),
}

/// A room that is subscribed to at the broker.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) lease: Lease,
    /// What was missed, for who came back.
    pub(crate) page: Option<Page>,
}

/// The session's end: the errand is given up when this is dropped.
#[derive(Debug)]
pub(crate) struct Awaited(Arc<Shared>);

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

#[derive(Default)]
struct Shared(Mutex<(Option<Work>, Option<Waker>)>);

impl Errand {
    pub(crate) fn new(number: u64, work: impl Future<Output = Outcome> + Send + 'static) -> (Self, Awaited) {
        let shared = Arc::new(Shared(Mutex::new((Some(Box::pin(work)), None))));
        (Self { number, shared: shared.clone() }, Awaited(shared))
    }
}

impl Future for Errand {
    type Output = Returned;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Returned> {
        let number = self.number;
        let mut shared = self.shared.lock();
        let (work, waker) = &mut *shared;
        let Some(working) = work else { return Poll::Ready(Returned { number, outcome: None }) };
        match working.as_mut().poll(cx) {
            Poll::Ready(outcome) => {
                *work = None;
                Poll::Ready(Returned { number, outcome: Some(outcome) })
            }
            Poll::Pending => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let (work, waker) = std::mem::take(&mut *self.0.lock());
        // What it holds may be anything: not under the lock.
        drop(work);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (Option<Work>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
