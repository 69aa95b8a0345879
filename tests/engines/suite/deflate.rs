//! Compression, with our own client.

use framecast::{
    Config, Connector, Deflate, Endpoint, Message,
    handshake::{ClientRequest, Url},
};

use super::server::Server;

fn config(deflate: Option<Deflate>) -> Config {
    Config::builder().deflate(deflate).build().expect("valid")
}

/// RFC 7692 §7 · catalogue: PN-01, PD-01
#[tokio::test]
async fn both_ends_compress_on_the_terms_that_were_agreed_on() {
    for (ours, theirs) in [
        (Some(Deflate::default()), Some(Deflate::default())),
        (Some(Deflate::takeover()), Some(Deflate::takeover())),
        (None, Some(Deflate::default())),
        (Some(Deflate::default()), None),
    ] {
        let server = Server::with(config(ours), Endpoint::new());
        let url = Url::parse(&format!("ws://{}/", server.addr)).expect("a URL");
        let connector = Connector::new(config(theirs));
        let mut ws = connector.connect(ClientRequest::new(url)).await.expect("a server");
        assert_eq!(ws.deflate().is_some(), ours.is_some() && theirs.is_some());
        for round in 0..20 {
            let text = format!("{{\"round\":{round},{}}}", "\"price\":1,".repeat(300));
            ws.send(Message::text(text.as_str())).await.expect("open");
            assert_eq!(ws.recv().await, Some(Message::text(text.as_str())));
        }
        let received = ws.stats().bytes_received;
        assert_eq!(received < 20 * 3000, ws.deflate().is_some(), "{received} bytes");
    }
}
