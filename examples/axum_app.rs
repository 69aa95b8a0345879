//! A board: what is POSTed to a room by HTTP is read at once by all who watch it, in an app of axum's.
//! Run   cargo run --example axum_app --features axum      Then   framecast connect ws://127.0.0.1:9001/rooms/lobby/watch
//!       and, in another shell                             curl -d hello http://127.0.0.1:9001/rooms/lobby
//! Shows WebSocketUpgrade beside plain routes, Topics from a REST handler, an orderly end (Ctrl-C: watchers read 1001)

use axum::{
    Router,
    extract::{FromRef, Path, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use framecast::{
    Acceptor,
    axum::{Upgrades, WebSocketUpgrade},
    broadcast::{Subscription, Topics},
};

#[derive(Clone)]
struct App {
    topics: Topics,
    upgrades: Upgrades,
}

impl FromRef<App> for Upgrades {
    fn from_ref(app: &App) -> Self {
        app.upgrades.clone()
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let upgrades = Upgrades::new(Acceptor::default());
    let app = App { topics: Topics::new(), upgrades: upgrades.clone() };
    let router = Router::new()
        .route("/rooms/{room}", post(say))
        .route("/rooms/{room}/watch", get(watch))
        .with_state(app);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:9001").await?;
    println!("listening on http://{}/rooms/ROOM", listener.local_addr()?);
    let stop = async move {
        let _ = tokio::signal::ctrl_c().await;
        upgrades.shut_down().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn say(Path(room): Path<String>, State(app): State<App>, line: String) -> Result<String, StatusCode> {
    let publishing = app.topics.publish(&room, line).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(format!("{} are watching\n", publishing.await.subscribers()))
}

async fn watch(upgrade: WebSocketUpgrade, Path(room): Path<String>, State(app): State<App>) -> Response {
    upgrade.on_upgrade(move |mut ws| async move {
        if ws.join(&app.topics).subscribe(&room, Subscription::new()).is_ok() {
            while ws.recv().await.is_some() {} // only reads: pings are answered, and the end is seen
        }
    })
}
