//! `framecast relay`: sends each message to every connection.

use framecast::{
    CloseCode, Message, WebSocket,
    broadcast::{Publishing, TopicError, Topics},
    reactor::{self, Handler, Received},
};

use crate::server::{Options, Result, stopped};

pub(crate) fn run(options: Options) -> Result<()> {
    let topics = Topics::new();
    let (of_tasks, of_loops) = (topics.clone(), topics.clone());
    let handler = move |ws: WebSocket| relay(ws, of_tasks.clone());
    options.serve(
        Some(&topics),
        |listener| async { listener.serve_until(stopped()?, handler).await },
        |_| Relay(of_loops.clone()),
    )
}

async fn relay(mut ws: WebSocket, topics: Topics) {
    let _member = ws.join(&topics);
    while let Some(message) = ws.recv().await {
        while let Err(TopicError::Full) = publish(&topics, &message) {
            // As much waits as may: those who deliver have their turn, and this client is not read meanwhile.
            tokio::task::yield_now().await;
        }
    }
}

fn publish(topics: &Topics, message: &Message) -> std::result::Result<Publishing, TopicError> {
    topics.publish_to_all(message.clone())
}

struct Relay(Topics);

impl Handler for Relay {
    type Data = ();

    fn message(&mut self, ws: &mut reactor::WebSocket<'_, ()>, message: Received<'_>) {
        if self.0.publish_to_all(message.into_message()).is_err() {
            // Another loop is behind by more than it may be, and a callback cannot wait for it.
            let _ = ws.close(CloseCode::TRY_AGAIN, "overloaded");
        }
    }
}
