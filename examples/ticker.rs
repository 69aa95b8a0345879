//! Prices: 2,000 a second are published, and each client gets the newest of each symbol at the rate that it can use.
//! Run   cargo run --release --features reactor --example ticker     Then   framecast connect ws://127.0.0.1:9001/
//! Shows Topics on event loops, a publisher in a thread of its own, wildcards, Conflate and max_rate

use std::{thread, time::Duration};

use framecast::{
    CloseCode, CloseInfo, Config, Endpoint,
    broadcast::{ConflateBy, OverflowPolicy, Publish, Subscription, Topics},
    reactor::{Handler, Reactor, Received, WebSocket},
};

const SYMBOLS: [&str; 4] = ["EURUSD", "GBPUSD", "USDJPY", "USDCHF"];

struct Ticker;

impl Handler for Ticker {
    type Data = ();

    fn open(&mut self, ws: &mut WebSocket<'_, ()>) {
        subscribe(ws, "prices:>", 8);
    }

    /// `prices:USDJPY 2`: that symbol alone, twice a second.
    fn message(&mut self, ws: &mut WebSocket<'_, ()>, message: Received<'_>) {
        let text = message.as_text().unwrap_or_default();
        let (name, rate) = text.split_once(' ').unwrap_or((text, "1"));
        // A subscription that there is keeps its terms.
        ws.unsubscribe("prices:>");
        ws.unsubscribe(name);
        subscribe(ws, name, rate.parse().unwrap_or(1));
    }

    fn close(&mut self, ws: &mut WebSocket<'_, ()>, end: CloseInfo) {
        let thinned = ws.member().map_or(0, |member| member.lost());
        println!("{}: {end}, {thinned} prices were left out for newer ones", ws.id());
    }
}

fn subscribe(ws: &mut WebSocket<'_, ()>, name: &str, rate: u32) {
    let newest = OverflowPolicy::Conflate(ConflateBy::Key);
    if let Err(error) = ws.subscribe(name, Subscription::new().policy(newest).max_rate(rate)) {
        // An error says that it is closing already.
        let _ = ws.close(CloseCode::POLICY, &error.to_string());
    }
}

fn publish(topics: &Topics) {
    for tick in 0_u64.. {
        let noise = tick.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let (symbol, price) = (SYMBOLS[(noise % 4) as usize], 10_000 + noise / 4 % 100);
        let text = format!(r#"{{"symbol":"{symbol}","price":1.{price},"tick":{tick}}}"#);
        if let Err(error) = topics.publish(&format!("prices:{symbol}"), Publish::new(text).key(symbol)) {
            eprintln!("tick {tick}: {error}");
        }
        thread::sleep(Duration::from_micros(500));
    }
}

fn main() -> std::io::Result<()> {
    let topics = Topics::new();
    let bound = Reactor::new(Config::default(), Endpoint::new()).topics(&topics).bind("127.0.0.1:9001")?;
    println!("listening on ws://{}/", bound.local_addr());
    thread::spawn(move || publish(&topics));
    bound.run(|_| Ticker)
}
