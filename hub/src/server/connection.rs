//! A connection from its welcome to its end: the loop around a session.

use std::{
    collections::HashMap,
    future::pending,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use framecast::{SendError, WebSocket};
use tokio::{
    task::{Id, JoinSet},
    time,
};
use tracing::{debug, error};

use super::Server;
use crate::{
    addresses::Admitted,
    errand::{Errand, Returned},
    rpc::RpcError,
    session::{Action, Call, Session, Ticket},
};

/// Everything that a connection does. `admitted` counts for its address until then.
///
/// What is rare is in boxes, and what begins the session is done before: there are many of these futures, and each is as large as it
/// ever gets.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its arguments twice")]
pub(super) fn serve(
    server: Server,
    mut session: Session,
    mut out: Vec<Action>,
    mut ws: WebSocket,
    admitted: Option<Admitted>,
) -> impl Future<Output = ()> + Send {
    async move {
        let _admitted = admitted;
        run(&mut session, &mut out, &mut ws).await;
        session.end();
        // Whoever has ended it, this says how.
        let end = Box::pin(ws.closed()).await;
        debug!(%end, "a connection has ended");
        server.0.metrics.ended(&end.cause);
    }
}

async fn run(session: &mut Session, out: &mut Vec<Action>, ws: &mut WebSocket) {
    let mut work = Work::default();
    loop {
        match perform(session, out, ws, &mut work) {
            Next::Receive => {}
            Next::Sent(sent) => match sent.await {
                Ok(()) => continue,
                Err(_) => break,
            },
            Next::End => break,
        }
        tokio::select! {
            message = ws.recv() => match message {
                Some(message) => session.receive(&message, out),
                None => break,
            },
            done = work.next() => match done {
                Done::Answered(ticket, result) => session.answer(ticket, result, out),
                Done::Returned(returned) => session.returned(returned, out),
            },
            () = until(session.poll_timeout()) => session.handle_timeout(out),
        }
    }
}

/// What a connection does when everything is done that could be at once.
enum Next<'w> {
    Receive,
    /// Wait for room, so that who does not read is not read from either.
    Sent(Boxed<'w, Result<(), SendError>>),
    End,
}

type Boxed<'w, T> = Pin<Box<dyn Future<Output = T> + Send + 'w>>;

/// Does what the session says, as far as nothing has to be waited for; the rest stays in `out`.
fn perform<'w>(session: &mut Session, out: &mut Vec<Action>, ws: &'w WebSocket, work: &mut Work) -> Next<'w> {
    while !out.is_empty() {
        let mut actions = std::mem::take(out).into_iter();
        while let Some(action) = actions.next() {
            match action {
                Action::Send(message) => {
                    let mut sent = ws.send(message);
                    match Pin::new(&mut sent).poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Next::End,
                        Poll::Pending => {
                            *out = actions.chain(out.drain(..)).collect();
                            return Next::Sent(Box::pin(sent));
                        }
                    }
                }
                Action::Subscribe(subscribe) => session.subscribe(subscribe, out),
                Action::Publish(post) => session.publish(post, out),
                Action::Call(call) => work.call(call),
                Action::Errand(errand) => work.run(errand),
                Action::Close(code, reason) => {
                    debug!(code = code.0, reason, "closing a connection");
                    // An error says that it is closing already.
                    let _ = ws.sender().close(code, &reason);
                    return Next::End;
                }
            }
        }
    }
    Next::Receive
}

/// In a box, as only few have a deadline: connections are many.
async fn until(deadline: Option<Instant>) {
    match deadline {
        // The runtime's clock has an end; nobody lives to see it.
        Some(at) => Box::pin(time::sleep_until(at.min(Instant::now() + FAR).into())).await,
        None => pending().await,
    }
}

/// What is under way beside the connection, calls of the application's methods and questions to a broker, each in a task; they end
/// with it.
#[derive(Default)]
struct Work(Option<Box<Running>>);

#[derive(Default)]
struct Running {
    tasks: JoinSet<Finished>,
    /// By their tasks, as a call that panics cannot say whose it was.
    tickets: HashMap<Id, Ticket>,
}

enum Finished {
    Call(Result<String, RpcError>),
    Errand(Returned),
}

enum Done {
    Answered(Ticket, Result<String, RpcError>),
    Returned(Returned),
}

impl Work {
    fn call(&mut self, Call { ticket, answer }: Call) {
        let Running { tasks, tickets } = &mut **self.0.get_or_insert_default();
        tickets.insert(tasks.spawn(async { Finished::Call(answer.await) }).id(), ticket);
    }

    fn run(&mut self, errand: Errand) {
        self.0.get_or_insert_default().tasks.spawn(async { Finished::Errand(errand.await) });
    }

    /// The next one that is done. Cancel safe.
    async fn next(&mut self) -> Done {
        loop {
            let Some(Running { tasks, tickets }) = self.0.as_deref_mut() else { return pending().await };
            let (id, result) = match tasks.join_next_with_id().await {
                Some(Ok((_, Finished::Errand(returned)))) => return Done::Returned(returned),
                Some(Ok((id, Finished::Call(result)))) => (id, result),
                Some(Err(failed)) => {
                    error!(panicked = failed.is_panic(), "a method has failed");
                    (failed.id(), Err(RpcError::new(RpcError::INTERNAL, "internal error")))
                }
                None => {
                    self.0 = None;
                    continue;
                }
            };
            if let Some(ticket) = tickets.remove(&id) {
                return Done::Answered(ticket, result);
            }
        }
    }
}

/// A timer's longest time; then the session is asked again.
const FAR: Duration = Duration::from_secs(24 * 3600);
