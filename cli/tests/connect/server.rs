//! Servers to connect to, each on a free port and a thread of its own.

use std::{net::TcpListener as StdListener, sync::Arc, thread};

use framecast::{Acceptor, Config, Endpoint, Incoming, OriginPolicy, WebSocket, handshake::ServerHandshake};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Calls `serve` for each connection; the server's address.
pub(crate) fn tcp<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = StdListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    listener.set_nonblocking(true).expect("a socket");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            loop {
                tokio::spawn(serve(listener.accept().await.expect("a client").0));
            }
        });
    });
    address
}

/// Answers requests as `answer` says; the server's URL. Any origin may come, and `chat` is spoken.
pub(crate) fn asked<F>(answer: impl Fn(Incoming<TcpStream>) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let address = tcp(move |stream| {
        let answer = answer.clone();
        async move {
            if let Ok(incoming) = acceptor().handshake(stream).await {
                answer(incoming).await;
            }
        }
    });
    format!("ws://{address}/")
}

/// Serves each connection so; the server's URL.
pub(crate) fn open<F>(serve: impl Fn(WebSocket) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    asked(move |incoming| {
        let serve = serve.clone();
        async move { drop(incoming.run(serve).await) }
    })
}

/// Sends every message back.
pub(crate) async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        let Ok(()) = ws.send(message).await else { break };
    }
}

/// An echo server's URL.
pub(crate) fn echoing() -> String {
    open(echo)
}

/// An echo server's `wss` URL; its certificate is for this name and signed by nobody.
pub(crate) fn tls(name: &str) -> String {
    let issued = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key.into())
        .expect("a certificate");
    let tls = TlsAcceptor::from(Arc::new(config));
    let address = tcp(move |stream| {
        let tls = tls.clone();
        async move {
            if let Ok(stream) = tls.accept(stream).await {
                drop(acceptor().run(stream, echo).await);
            }
        }
    });
    format!("wss://{address}/")
}

/// Reads the request, answers with the 101 and these bytes, and leaves the stream to its caller.
pub(crate) async fn raw_open(mut stream: TcpStream, more: &[u8]) -> TcpStream {
    let mut handshake = ServerHandshake::new(&Config::default(), Arc::new(Endpoint::new()));
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.expect("a request");
        if let Some((request, _)) = handshake.receive(&buffer[..read]).expect("a right one") {
            stream.write_all(&[&request.accept().encode(), more].concat()).await.expect("open");
            return stream;
        }
    }
}

/// Reads the request's head and answers with this.
pub(crate) async fn raw_answer(mut stream: TcpStream, answer: &'static [u8]) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    stream.write_all(answer).await.expect("open");
}

fn acceptor() -> Acceptor {
    let config = Config::builder().message_bytes_max(64 << 20).build().expect("valid");
    let endpoint = Endpoint::new()
        .origins(OriginPolicy::any_origin_dangerous())
        .subprotocols(["chat"])
        .expect("a token");
    Acceptor::new(config, endpoint)
}
