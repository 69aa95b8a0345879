//! Compression through the driver: both of ours, over a pipe whose bytes are counted (RFC 7692).

use framecast::{
    Acceptor, Compression, Config, Connector, Deflate, Endpoint, WebSocket,
    handshake::{ClientRequest, Url},
};
use tokio::io::{DuplexStream, duplex};

fn config(deflate: Option<Deflate>) -> Config {
    Config::builder().deflate(deflate).build().expect("sound")
}

fn request() -> ClientRequest {
    ClientRequest::new(Url::parse("ws://localhost/").expect("a URL"))
}

/// A client whose server sends every message back.
async fn connected(server: Option<Deflate>, client: Option<Deflate>) -> WebSocket {
    let (ours, theirs) = duplex(1 << 20);
    tokio::spawn(serve(theirs, server));
    Connector::new(config(client)).connect_over(request(), ours).await.expect("it opens")
}

async fn serve(stream: DuplexStream, deflate: Option<Deflate>) {
    let acceptor = Acceptor::new(config(deflate), Endpoint::new());
    let echo = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await.expect("open");
        }
    };
    acceptor.run(stream, echo).await.expect("it opens");
}

/// How many bytes an echo of `text` brings.
async fn echo(ws: &mut WebSocket, text: &str) -> u64 {
    let before = ws.stats().bytes_received;
    ws.send(text).await.expect("open");
    assert_eq!(ws.recv().await.expect("an echo").as_text(), Some(text));
    ws.stats().bytes_received - before
}

#[tokio::test]
async fn both_ends_compress_on_the_terms_that_were_agreed_on() {
    let text = "the same words again ".repeat(100);
    let mut alone = connected(Some(Deflate::default()), Some(Deflate::takeover())).await;
    let terms = alone.deflate().expect("agreed on");
    assert!(terms.server_no_context_takeover && terms.client_no_context_takeover);
    assert_eq!((terms.server_max_window_bits, terms.client_max_window_bits), (15, 12));
    let (first, second) = (echo(&mut alone, &text).await, echo(&mut alone, &text).await);
    assert!(first < 60 && first == second, "{first} {second}");

    let mut kept = connected(Some(Deflate::takeover()), Some(Deflate::takeover())).await;
    let (first, second) = (echo(&mut kept, &text).await, echo(&mut kept, &text).await);
    assert!(second < first && second < 30, "{first} {second}");
}

#[tokio::test]
async fn one_that_does_not_compress_is_spoken_to_plainly() {
    let text = "plain ".repeat(1000);
    for (server, client) in [(None, Some(Deflate::takeover())), (Some(Deflate::default()), None)] {
        let mut ws = connected(server, client).await;
        assert_eq!(ws.deflate(), None);
        assert_eq!(echo(&mut ws, &text).await, 6004);
    }
}

#[tokio::test]
async fn one_message_may_be_kept_out_of_it_and_one_connection_too() {
    let text = "secret and chosen ".repeat(100);
    let (ours, theirs) = duplex(1 << 20);
    let server = tokio::spawn(async move {
        let acceptor = Acceptor::new(config(Some(Deflate::default())), Endpoint::new());
        acceptor.accept(theirs).await.expect("it opens")
    });
    let mut client = Connector::new(config(Some(Deflate::takeover())))
        .connect_over(request(), ours)
        .await
        .expect("it opens");
    let server = server.await.expect("no panic");
    let mut received = 0;
    for (compression, most) in
        [(Compression::Never, 1804), (Compression::Always, 60), (Compression::Auto, 60)]
    {
        server.send_with(text.as_str(), compression).await.expect("open");
        server.sender().try_send_with(text.as_str(), compression).expect("room");
        for _ in 0..2 {
            assert_eq!(client.recv().await.expect("a message").as_text(), Some(text.as_str()));
        }
        let bytes = client.stats().bytes_received - received;
        received += bytes;
        assert!(bytes <= 2 * most && (bytes == 3608) == (most == 1804), "{compression:?}: {bytes}");
    }

    let (ours, theirs) = duplex(1 << 20);
    tokio::spawn(async move {
        let acceptor = Acceptor::new(config(Some(Deflate::default())), Endpoint::new());
        let incoming = acceptor.handshake(theirs).await.expect("a request");
        incoming.without_deflate().accept().await.expect("it opens").closed().await
    });
    let client = Connector::new(config(Some(Deflate::takeover())))
        .connect_over(request(), ours)
        .await
        .expect("it opens");
    assert_eq!(client.deflate(), None);
}
