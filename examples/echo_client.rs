//! Sends messages of many sizes to an echo server and checks what comes back.
//! Run   cargo run --example echo_client -- ws://127.0.0.1:9001/ 1000 [deflate]
//! Shows Connector, send and recv, and a close whose end is told

use framecast::{
    CloseCode, Config, Connector, Deflate, Message, WebSocket, handshake::ClientRequest, handshake::Url,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(count), deflate) = (args.next(), args.next(), args.next()) else {
        return Err("usage: echo_client URL COUNT [deflate]".into());
    };
    let count: usize = count.parse()?;
    let config =
        Config::builder().deflate(deflate.as_ref().map(|_| Deflate::takeover().threshold(0))).build()?;
    let mut ws = Connector::new(config).connect(ClientRequest::new(Url::parse(&url)?)).await?;
    if deflate.is_some() && ws.deflate().is_none() {
        return Err("the server declined compression".into());
    }
    echo_all(&mut ws, count).await?;
    let end = ws.close(CloseCode::NORMAL, "done").await?;
    println!("{count} echoed, closed {}", end.code);
    if end.clean && end.code == CloseCode::NORMAL {
        Ok(())
    } else {
        Err(format!("unclean end: {end}").into())
    }
}

/// One after the other, sizes from 0 to 70,000 bytes that meet every form of a length.
async fn echo_all(ws: &mut WebSocket, count: usize) -> Result<()> {
    const EDGES: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
    for number in 0..count {
        let len = EDGES.get(number % 16).copied().unwrap_or(number * 7919 % 70_001);
        let message = if number % 2 == 0 {
            Message::text("grüezi ".chars().cycle().skip(number % 7).take(len / 2).collect::<String>())
        } else {
            Message::binary((0..len).map(|at| (at * 31 + number) as u8).collect::<Vec<u8>>())
        };
        ws.send(message.clone()).await?;
        let echo = ws.recv().await;
        if echo.as_ref() != Some(&message) {
            let got = echo.map_or("the end".into(), |echo| format!("{} bytes", echo.len()));
            return Err(format!("message {number} of {} bytes came back as {got}", message.len()).into());
        }
    }
    Ok(())
}
