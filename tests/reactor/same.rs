//! Both drivers, the same sessions: what a peer is told and what an application is told are the same.

use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use framecast::{
    Acceptor, CloseInfo, Config, Deflate, Endpoint, Listen, WebSocket,
    reactor::{self, Handler, Reactor, Received},
};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::peer::{REQUEST, raw_frame, watchdog};

struct Log(std::sync::mpsc::Sender<End>);

type End = (Vec<(bool, usize)>, CloseInfo);

impl Handler for Log {
    type Data = Vec<(bool, usize)>;

    fn message(&mut self, ws: &mut reactor::WebSocket<'_, Self::Data>, message: Received<'_>) {
        ws.data().push((message.as_text().is_some(), message.as_bytes().len()));
        let _ = ws.send(message);
    }

    fn close(&mut self, ws: &mut reactor::WebSocket<'_, Self::Data>, end: CloseInfo) {
        let messages = std::mem::take(ws.data());
        let _ = self.0.send((messages, end));
    }
}

fn config() -> Config {
    let config = Config::builder().message_bytes_max(5000).linger_within(Duration::from_millis(200));
    config.ping_every(None).deflate(Some(Deflate::default())).build().expect("valid")
}

fn on_reactor() -> (SocketAddr, Receiver<End>) {
    let (tell, ends) = channel();
    let bound = Reactor::new(config(), Endpoint::new()).bind("127.0.0.1:0").expect("a port");
    let addr = bound.local_addr();
    thread::spawn(move || bound.run(|_| Log(tell.clone())));
    (addr, ends)
}

fn on_tokio() -> (SocketAddr, Receiver<End>) {
    let (tell, ends) = channel();
    let (tell_addr, addr) = channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listen = Listen::new(Acceptor::new(config(), Endpoint::new()));
            let listener = listen.bind("127.0.0.1:0").await.expect("a port");
            tell_addr.send(listener.local_addr().expect("bound")).expect("the test waits");
            let echo = move |mut ws: WebSocket| {
                let tell = tell.clone();
                async move {
                    let mut messages = Vec::new();
                    while let Some(message) = ws.recv().await {
                        messages.push((message.as_text().is_some(), message.len()));
                        let _ = ws.send(message).await;
                    }
                    let _ = tell.send((messages, ws.closed().await));
                }
            };
            listener.serve(echo).await
        })
    });
    (addr.recv().expect("it starts"), ends)
}

/// A session: frames right and wrong, whole and broken off.
fn session() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => Just(0x81), 8 => Just(0x82), 3 => Just(0x01), 3 => Just(0x00), 3 => Just(0x80), 2 => Just(0x89),
        2 => Just(0x8a), 1 => Just(0x88), 1 => any::<u8>()
    ];
    let len = prop_oneof![8 => 0..60usize, 3 => 100..300usize, 1 => 4900..5100usize];
    let a_frame =
        (first, len, any::<bool>(), any::<[u8; 4]>(), 0..40u8).prop_map(|(first, len, text, key, odd)| {
            let mut payload: Vec<u8> =
                (0..len).map(|at| if text { b'a' + (at % 26) as u8 } else { at as u8 }).collect();
            if first == 0x88 && len > 1 {
                payload[..2].copy_from_slice(&1000_u16.to_be_bytes());
                payload.truncate(2);
            }
            raw_frame(first, &payload, (odd != 0).then_some(key))
        });
    (proptest::collection::vec(a_frame, 0..12), 0..2000usize).prop_map(|(frames, cut)| {
        let mut wire = frames.concat();
        let to = wire.len().saturating_sub(if cut < 30 { cut } else { 0 });
        wire.truncate(to);
        wire
    })
}

/// Sends the session and our end of TCP; all that comes back.
fn replay(addr: SocketAddr, wire: &[u8]) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(addr).expect("a server");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    socket.write_all(REQUEST).expect("it reads");
    socket.write_all(wire).expect("it reads");
    socket.shutdown(std::net::Shutdown::Write).expect("open");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an end, and not a reset");
    answer
}

/// The head and the messages, and the control frames behind them: a pong overtakes what is queued, so where it stands depends
/// on what a read brought, and that is the network's.
fn in_two(answer: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    let (mut messages, mut control) = (answer[..head].to_vec(), Vec::new());
    let mut rest = &answer[head..];
    while let [first, len, behind @ ..] = rest {
        let header = if *len == 126 { 4 } else { 2 };
        let len =
            if *len == 126 { u16::from_be_bytes([behind[0], behind[1]]).into() } else { usize::from(*len) };
        let (frame, others) = rest.split_at_checked(header + len).unwrap_or((rest, &[]));
        let is_control = first & 8 != 0;
        if is_control { &mut control } else { &mut messages }.extend(frame);
        rest = others;
    }
    (messages, control)
}

/// catalogue: RT-01
#[test]
fn the_same_sessions_have_the_same_answers_and_ends_on_both_drivers() {
    watchdog();
    let (tokio, tokio_ends) = on_tokio();
    let (reactor, reactor_ends) = on_reactor();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() });
    let same = runner.run(&session(), |wire| {
        let [(messages, control), (the_same, control_too)] =
            [tokio, reactor].map(|addr| in_two(&replay(addr, &wire)));
        // Not as `prop_assert_eq`, which prints both.
        prop_assert!(messages == the_same, "{} and {} bytes of messages", messages.len(), the_same.len());
        prop_assert_eq!(control, control_too);
        let wait = Duration::from_secs(10);
        prop_assert_eq!(tokio_ends.recv_timeout(wait), reactor_ends.recv_timeout(wait));
        Ok(())
    });
    same.expect("they are the same");
}
