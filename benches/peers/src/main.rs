//! One server of many, an echo or a relay, by its name; `benches/peers/run` starts each on a core of its own.
//!
//! Run   `cargo run --release -- tokio-websockets-batched`
//! Sees  `listening on ws://127.0.0.1:PORT/`, and from then on nothing until it is killed.
//!
//! Each is one thread, with TCP_NODELAY, on a runtime with I/O and timers; a library's own limits are left as they are where
//! a message of 1 MiB passes them.

mod batching;
mod fastwebsockets;
mod floor;
mod floor_mio;
mod floor_relay;
mod ours;
mod relay;
mod sockudo;
mod tokio_websockets;
mod tungstenite;

use std::{
    env, io,
    process::{ExitCode, Termination},
    sync::Arc,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sockudo_ws::pubsub::PubSub;
use tokio::net::{TcpListener, TcpStream};

/// That of the `framecast` command, so that nobody is ahead by it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Serve = fn(std::net::TcpListener) -> io::Result<()>;

const SERVERS: &[(&str, Serve)] = &[
    ("floor-tokio", |listener| on_tokio(listener, floor::echo)),
    ("floor-mio", floor_mio::echo),
    ("floor-mio-handshake", floor_mio::handshake),
    ("floor-lent", |listener| on_tokio(listener, floor::echo_lent)),
    ("floor-handshake", |listener| on_tokio(listener, floor::handshake)),
    ("framecast-accept", |listener| on_tokio(listener, ours::accept)),
    ("tungstenite-forward", |listener| on_tokio(listener, tungstenite::forward)),
    ("tungstenite-send", |listener| on_tokio(listener, tungstenite::send)),
    ("tungstenite-batched", |listener| on_tokio(listener, tungstenite::batched)),
    ("fastwebsockets-example", |listener| on_tokio(listener, fastwebsockets::example)),
    ("fastwebsockets-batched", |listener| on_tokio(listener, fastwebsockets::batched)),
    ("tokio-websockets-example", |listener| on_tokio(listener, tokio_websockets::example)),
    ("tokio-websockets-batched", |listener| on_tokio(listener, tokio_websockets::batched)),
    ("sockudo-example", |listener| on_tokio(listener, sockudo::example)),
    ("sockudo-batched", |listener| on_tokio(listener, sockudo::batched)),
    ("sockudo-deflate", |listener| on_tokio(listener, sockudo::deflate)),
    ("floor-relay", floor_relay::serve),
    ("tokio-websockets-relay", |listener| {
        let hub = relay::Hub::new();
        on_tokio(listener, move |stream| tokio_websockets::relay(stream, hub.clone()))
    }),
    ("sockudo-relay", |listener| on_pubsub(listener, sockudo::relay)),
    ("sockudo-relay-batched", |listener| on_pubsub(listener, sockudo::relay_batched)),
    ("sockudo-relay-deflate", |listener| on_pubsub(listener, sockudo::relay_deflate)),
];

fn main() -> ExitCode {
    let name = env::args().nth(1).unwrap_or_default();
    let Some((_, serve)) = SERVERS.iter().find(|(known, _)| *known == name) else {
        let names: Vec<_> = SERVERS.iter().map(|(name, _)| *name).collect();
        eprintln!("no server {name:?}; there are: {}", names.join(", "));
        return ExitCode::from(2);
    };
    listen().and_then(serve).report()
}

fn listen() -> io::Result<std::net::TcpListener> {
    // One connection takes one file: as many as the system lets us have.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    // Bound by mio, as tokio would: std's own queue for connections that wait is shorter.
    let listener = mio::net::TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    println!("listening on ws://{}/", listener.local_addr()?);
    Ok(listener.into())
}

/// With what sockudo-ws publishes by.
fn on_pubsub<F, C>(listener: std::net::TcpListener, connection: F) -> io::Result<()>
where
    F: Fn(TcpStream, Arc<PubSub>) -> C,
    C: Future<Output = Result<(), Error>> + Send + 'static,
{
    let pubsub = Arc::new(PubSub::new());
    on_tokio(listener, move |stream| connection(stream, pubsub.clone()))
}

/// A task a connection. How a connection ends is not told: the load is who looks at what comes back, and it ends them all.
fn on_tokio<F, C>(listener: std::net::TcpListener, connection: F) -> io::Result<()>
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = Result<(), Error>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            // One that is gone already is no reason to end.
            if stream.set_nodelay(true).is_ok() {
                tokio::spawn(connection(stream));
            }
        }
    })
}
