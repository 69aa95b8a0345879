//! The client that Autobahn|Testsuite's fuzzing server tests: runs every case, then has the reports written.
//! Run   autobahn/run --role client           Or   cargo run --example autobahn_client -- ws://127.0.0.1:9002 framecast
//! Shows Connector, and that a connection that ends badly is an end and not an error to stop at

use framecast::{Config, Connector, Deflate, WebSocket, handshake::ClientRequest, handshake::Url};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(server), Some(agent)) = (args.next(), args.next()) else {
        return Err("usage: autobahn_client ws://HOST:PORT AGENT".into());
    };
    let server = server.trim_end_matches('/');
    // Any terms of compression: 12.* and 13.* ask for several.
    let config = Config::builder().message_bytes_max(16 << 20).deflate(Deflate::takeover().threshold(0));
    let connector = Connector::new(config.build()?);
    let request = |path: String| Url::parse(&format!("{server}{path}")).map(ClientRequest::new);

    let (count, _) = connector.run(request("/getCaseCount".into())?, case_count).await?;
    for case in 1..=count? {
        connector.run(request(format!("/runCase?case={case}&agent={agent}"))?, echo).await?;
    }
    // The reports are written before the server closes: what matters is that it did.
    connector.run(request(format!("/updateReports?agent={agent}"))?, echo).await?;
    Ok(())
}

/// The suite's first message is the number of cases.
async fn case_count(mut ws: WebSocket) -> std::result::Result<usize, String> {
    let message = ws.recv().await.ok_or("the suite closed before it said how many cases there are")?;
    let text = message.as_text().ok_or("the number of cases is not text")?;
    text.parse().map_err(|_| format!("{text:?} is not a number of cases"))
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            return;
        }
    }
}
