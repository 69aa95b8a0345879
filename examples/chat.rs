//! Rooms: a line typed by one is read by all in the same room, the last lines by who comes later.
//! Run   cargo run --example chat        Then, in two shells   framecast connect 'ws://127.0.0.1:9001/lobby?ada'
//! Shows Topics, history and presence, encoded once for everyone, and that a slow reader is told what it lost, not waited for

use std::time::Duration;

use framecast::{
    Acceptor, Incoming, Listen, Refusal, WebSocket,
    broadcast::{
        Gap, HistoryLimits, Named, OverflowPolicy, PresenceChange, PresenceKind, Subscription, TopicError,
        Topics,
    },
};
use http::StatusCode;
use tokio::net::TcpStream;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let topics = Topics::builder()
        .history(HistoryLimits { messages: 20, bytes: 64 << 10, age: Duration::from_secs(3600) })
        .tell_gap(|gap: &Gap| Some(format!("* {} lines were lost: you read too slowly", gap.count()).into()))
        .tell_presence(|change: &PresenceChange| {
            let what = match change.kind {
                PresenceKind::Join => "joins",
                PresenceKind::Leave => "leaves",
            };
            Some(format!("* {} {what}, {} here", change.identity, change.members).into())
        })
        .build();
    let listener = Listen::new(Acceptor::default()).bind("127.0.0.1:9001").await?;
    println!("listening on ws://{}/ROOM?NAME", listener.local_addr()?);
    let stopped = async { drop(tokio::signal::ctrl_c().await) };
    listener
        .serve_requests_until(stopped, move |incoming: Incoming<TcpStream>| {
            let topics = topics.clone();
            async move {
                let room = incoming.request().path().trim_start_matches('/').to_owned();
                // A wildcard would read all rooms.
                if Named::of(&room) != Ok(Named::Topic) {
                    return drop(incoming.refuse(Refusal::new(StatusCode::NOT_FOUND)).await);
                }
                let name = incoming.request().query().unwrap_or("somebody").to_owned();
                // Why one connection did not open is no matter of the others.
                let _ = incoming.run(|ws| chat(ws, topics, room, name)).await;
            }
        })
        .await
}

async fn chat(mut ws: WebSocket, topics: Topics, room: String, name: String) {
    let past = topics.history(&room, None, 20);
    for line in &past.messages {
        if ws.send(line.message().to_message()).await.is_err() {
            return;
        }
    }
    // From there on, and nothing twice.
    let subscription = Subscription::new()
        .since(past.position)
        .policy(OverflowPolicy::DropOldest)
        .messages_max(100)
        .identity(name.as_str())
        .watch_presence(true);
    if let Err(error) = ws.join(&topics).subscribe(&room, subscription) {
        let _ = ws.send(format!("* no room {room:?}: {error}")).await;
        return;
    }
    while let Some(message) = ws.recv().await {
        let Some(line) = message.as_text() else { continue };
        match topics.publish(&room, format!("{name}: {line}")) {
            Ok(_) => {}
            Err(TopicError::Full) => {
                let _ = ws.try_send("* not sent: too much is being said");
            }
            Err(_) => return,
        }
    }
}
