//! A room on one event loop: what one says, all hear. No tokio, no locks.
//! Run   cargo run --release --no-default-features --features reactor --example reactor_room
//! Shows Handler, a connection's data, sending to others, and what a full reader costs: only itself

use framecast::reactor::{ConnectionId, Handler, Reactor, Received, WebSocket};
use framecast::{CloseCode, CloseInfo, Config, Endpoint};

#[derive(Default)]
struct Room(Vec<ConnectionId>);

impl Handler for Room {
    type Data = u32; // messages that it said

    fn open(&mut self, ws: &mut WebSocket<'_, u32>) {
        self.0.push(ws.id());
    }

    fn message(&mut self, ws: &mut WebSocket<'_, u32>, message: Received<'_>) {
        *ws.data() += 1;
        for id in &self.0 {
            let Some(mut other) = ws.at(*id) else { continue };
            if other.send(message.clone()).is_err() {
                // It does not read, and its outbox is full. An error says that it is closing already.
                let _ = other.close(CloseCode::POLICY, "too slow");
            }
        }
    }

    fn close(&mut self, ws: &mut WebSocket<'_, u32>, end: CloseInfo) {
        self.0.retain(|id| *id != ws.id());
        println!("{} said {} things: {end}", ws.id(), ws.data());
    }
}

fn main() -> std::io::Result<()> {
    let bound = Reactor::new(Config::default(), Endpoint::new()).bind("127.0.0.1:9001")?;
    println!("listening on ws://{}/", bound.local_addr());
    bound.run(|_| Room::default())
}
