//! A poll: docs/tutorial.md builds it. Clients vote by JSON-RPC, and all of them see the counts at once.
//! Run   cargo run -p framecast-hub --example poll    Then   open http://127.0.0.1:8000/ in two tabs
//! Shows a room's state for who comes in, a method, one task that writes, a page of one's own

use std::time::Duration;

use axum::{Router, response::Html, routing::get};
use framecast_hub::{Hub, Patterns, Rights, RpcError, Server, Stop};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use tokio::sync::{mpsc, watch};

#[derive(Default, Serialize)]
struct Counts {
    tea: u32,
    coffee: u32,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Drink {
    Tea,
    Coffee,
}

#[derive(Deserialize)]
struct Vote {
    drink: Drink,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let (votes, cast) = mpsc::channel(64);
    let (counts, seen) = watch::channel(Counts::default());
    let hub = Hub::builder()
        .anonymous_rights(Rights { subscribe: Patterns::new(["poll"])?, publish: Patterns::none() })
        .route("/ws/poll", "poll")
        // It is asked while the room is locked: out of memory, and without a wait.
        .on_subscribed(move |_, _| to_raw_value(&*seen.borrow()).ok())
        .method("vote", move |_, params| {
            let votes = votes.clone();
            async move {
                let Vote { drink } = params.parse()?;
                votes.send(drink).await.map_err(|_| RpcError::new(1, "the poll is over"))
            }
        })
        .build()?;
    tokio::spawn(count(cast, counts, hub.clone()));
    let page = Router::new().route("/", get(async || Html(include_str!("poll.html"))));
    let bound = Server::builder(hub).build().bind(&listen).await?.app(page);
    println!("listening on {}", bound.url());
    let stop =
        async { tokio::signal::ctrl_c().await.map_or(Stop::Now, |()| Stop::Drain(Duration::from_secs(1))) };
    Ok(bound.serve(stop).await?)
}

/// The one who counts: first changed, then told, so that nobody misses a vote who comes in just now.
async fn count(mut cast: mpsc::Receiver<Drink>, counts: watch::Sender<Counts>, hub: Hub) {
    while let Some(drink) = cast.recv().await {
        counts.send_modify(|counts| match drink {
            Drink::Tea => counts.tea += 1,
            Drink::Coffee => counts.coffee += 1,
        });
        let Ok(payload) = to_raw_value(&*counts.borrow()) else { continue };
        // An error says that too much waits to be delivered: the next counts say all that these did.
        let _ = hub.publish("poll", payload, Some("counts"));
    }
}
