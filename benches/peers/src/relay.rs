//! How an application relays by hand with a library that leaves it to it: a queue a connection, and one flush for all that
//! waits in it.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use futures_util::{Sink, SinkExt, Stream, StreamExt, future::Either, stream};
use slab::Slab;
use tokio::sync::mpsc;

/// The queues of all connections. What is too slow for [`QUEUED_MAX`] messages is cut off: it gets what is queued, and its end.
pub(crate) struct Hub<M>(Arc<Mutex<Slab<Option<mpsc::Sender<M>>>>>);

impl<M: Clone> Hub<M> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// A place for one more connection, and what it is to send.
    pub(crate) fn join(&self) -> (Place<M>, impl Stream<Item = M> + Send + Unpin + use<M>)
    where
        M: Send,
    {
        let (sender, mut receiver) = mpsc::channel(QUEUED_MAX);
        let key = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(Some(sender));
        (Place { hub: self.clone(), key }, stream::poll_fn(move |cx| receiver.poll_recv(cx)))
    }

    pub(crate) fn publish(&self, message: &M) {
        for (_, queue) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if queue.as_ref().is_some_and(|queue| queue.try_send(message.clone()).is_err()) {
                *queue = None;
            }
        }
    }
}

impl<M> Clone for Hub<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Leaves the hub with the connection.
pub(crate) struct Place<M> {
    hub: Hub<M>,
    key: usize,
}

impl<M> Drop for Place<M> {
    fn drop(&mut self) {
        self.hub.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.key);
    }
}

/// One connection: publishes what comes, and sends what is queued for it, all that there is by one flush.
pub(crate) async fn run<S, Q, M, E>(mut ws: S, mut queued: Q, publish: impl Fn(M)) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    Q: Stream<Item = M> + Unpin,
{
    loop {
        let next = poll_fn(|cx| match ws.poll_next_unpin(cx) {
            Poll::Ready(received) => Poll::Ready(Either::Left(received)),
            Poll::Pending => queued.poll_next_unpin(cx).map(Either::Right),
        });
        match next.await {
            Either::Left(None) | Either::Right(None) => return Ok(()),
            Either::Left(Some(message)) => publish(message?),
            Either::Right(Some(first)) => {
                let mut next = Some(first);
                while let Some(message) = next {
                    ws.feed(message).await?;
                    next = poll_fn(|cx| match queued.poll_next_unpin(cx) {
                        Poll::Ready(message) => Poll::Ready(message),
                        Poll::Pending => Poll::Ready(None),
                    })
                    .await;
                }
                ws.flush().await?;
            }
        }
    }
}

/// Messages that wait for one connection.
const QUEUED_MAX: usize = 1024;
