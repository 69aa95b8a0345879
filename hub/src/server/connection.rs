//! A connection from its welcome to its end: the loop around a session.

use std::{
    collections::HashMap,
    future::pending,
    time::{Duration, Instant},
};

use framecast::WebSocket;
use tokio::{
    task::{Id, JoinSet},
    time,
};
use tracing::{debug, error};

use crate::{
    addresses::Admitted,
    hub::Hub,
    rpc::RpcError,
    session::{Action, Call, Session, Ticket, Visitor},
};

/// Everything that a connection does. `admitted` counts for its address until then.
pub(super) async fn serve(hub: Hub, mut ws: WebSocket, visitor: Visitor, admitted: Option<Admitted>) {
    let _admitted = admitted;
    let mut out = Vec::new();
    let mut session = hub.open(visitor, ws.sender(), &mut out);
    let mut calls = Calls::default();
    while perform(&mut session, &mut out, &ws, &mut calls).await {
        tokio::select! {
            message = ws.recv() => match message {
                Some(message) => session.receive(&message, &mut out),
                None => break,
            },
            (ticket, result) = calls.next() => session.answer(ticket, result, &mut out),
            () = until(session.poll_timeout()) => session.handle_timeout(&mut out),
        }
    }
    session.end();
}

/// Does what the session says; false if the connection is over.
async fn perform(session: &mut Session, out: &mut Vec<Action>, ws: &WebSocket, calls: &mut Calls) -> bool {
    while !out.is_empty() {
        for action in std::mem::take(out) {
            match action {
                Action::Send(message) => {
                    if ws.send(message).await.is_err() {
                        return false;
                    }
                }
                Action::Subscribe(subscribe) => session.subscribe(subscribe, out),
                Action::Publish(post) => session.publish(post, out),
                Action::Call(call) => calls.begin(call),
                Action::Close(code, reason) => {
                    debug!(code = code.0, reason, "closing a connection");
                    // An error says that it is closing already.
                    let _ = ws.sender().close(code, &reason);
                    ws.closed().await;
                    return false;
                }
            }
        }
    }
    true
}

/// In a box, as only few have a deadline: connections are many.
async fn until(deadline: Option<Instant>) {
    match deadline {
        // The runtime's clock has an end; nobody lives to see it.
        Some(at) => Box::pin(time::sleep_until(at.min(Instant::now() + FAR).into())).await,
        None => pending().await,
    }
}

/// Calls of the application's methods that are under way, each in a task; they end with the connection.
#[derive(Default)]
struct Calls(Option<Box<Running>>);

#[derive(Default)]
struct Running {
    tasks: JoinSet<Result<String, RpcError>>,
    /// By their tasks, as one that panics cannot say whose it was.
    tickets: HashMap<Id, Ticket>,
}

impl Calls {
    fn begin(&mut self, Call { ticket, answer }: Call) {
        let Running { tasks, tickets } = &mut **self.0.get_or_insert_default();
        tickets.insert(tasks.spawn(answer).id(), ticket);
    }

    /// The next one that is answered. Cancel safe.
    async fn next(&mut self) -> (Ticket, Result<String, RpcError>) {
        loop {
            let Some(Running { tasks, tickets }) = self.0.as_deref_mut() else { return pending().await };
            let (id, result) = match tasks.join_next_with_id().await {
                Some(Ok(answered)) => answered,
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
                return (ticket, result);
            }
        }
    }
}

/// A timer's longest time; then the session is asked again.
const FAR: Duration = Duration::from_secs(24 * 3600);
