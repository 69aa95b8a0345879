//! Scores: a hub of an application's own, where clients listen and the application speaks.
//! Run   cargo run -p framecast-hub --example scores    Then   framecast connect ws://127.0.0.1:8000/ws/match/42
//!       and type   {"jsonrpc":"2.0","method":"getMatches","params":{"sport":"football"},"id":1}
//! Shows a path that subscribes, a hook that says no, a JSON-RPC method, and publishing from a task

use std::time::Duration;

use framecast_hub::{Denied, Hub, Incoming, RpcError, Server, Stop};
use serde_json::{json, value::to_raw_value};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Hub::builder()
        .route("/ws/match/{id}", "match:{id}")
        .on_message(|_, incoming| match incoming {
            Incoming::Message { room, .. } | Incoming::Binary { room, .. } if room.starts_with("match:") => {
                Err(Denied::new("scores are not yours to tell"))
            }
            _ => Ok(()),
        })
        .method("getMatches", |_, params| async move {
            #[derive(serde::Deserialize)]
            struct Wanted {
                sport: String,
            }
            match &*params.parse::<Wanted>()?.sport {
                "football" => Ok(json!([{ "id": 42, "room": "match:42" }])),
                sport => Err(RpcError::new(1, format!("nobody plays {sport}"))),
            }
        })
        .build()?;
    tokio::spawn(tell_scores(hub.clone()));
    let bound = Server::builder(hub).build().bind("127.0.0.1:8000").await?;
    println!("listening on {}", bound.url());
    let stop =
        async { tokio::signal::ctrl_c().await.map_or(Stop::Now, |()| Stop::Drain(Duration::from_secs(1))) };
    Ok(bound.serve(stop).await?)
}

async fn tell_scores(hub: Hub) {
    for goals in 0_u64.. {
        let Ok(score) = to_raw_value(&json!({ "home": goals, "away": goals / 2 })) else { return };
        // An error says that too much waits to be delivered: the next score says all that this one did.
        let _ = hub.publish("match:42", score, Some("score"));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}
