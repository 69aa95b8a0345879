//! Peers that mean harm, over real sockets: what they are told, what the application is told, and what they cost.
//!
//! One process serves and attacks, so the tests take turns: resident memory is the whole process's.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use framecast::{
    Acceptor, CloseCode, CloseInfo, Config, Endpoint, Initiator,
    proto::{Cause, Limit, LimitError, ProtocolError},
    reactor::{Handler, Reactor, Received, WebSocket},
};

use crate::ENGINE;

/// What moves the bytes.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "a binary is for one of them")]
pub(crate) enum Engine {
    Tokio,
    Reactor,
}

/// catalogue: DS-11 · RFC 6455 §10.4
#[test]
fn half_a_gibibyte_in_fragments_is_refused_at_the_limit() {
    let fragment = [frame_head(0x00, 64 << 10), vec![b'x'; 64 << 10]].concat();
    let seen = attack(|peer| {
        peer.write_all(&frame_head(0x02, 0))?;
        (0..8192).try_for_each(|_| peer.write_all(&fragment))
    });
    seen.ended_by(Limit::MessageBytes, 1 << 20, CloseCode::TOO_BIG);
    assert!(seen.written < 64 << 20, "{} bytes were let in", seen.written);
}

/// catalogue: DS-13, V-11
#[test]
fn twenty_million_empty_continuations_are_refused_at_the_fragment_limit() {
    let many = frame_head(0x00, 0).repeat(20_000);
    let seen = attack(|peer| {
        peer.write_all(&frame_head(0x01, 0))?;
        (0..1000).try_for_each(|_| peer.write_all(&many))
    });
    seen.ended_by(Limit::Fragments, 16_385, CloseCode::POLICY);
}

/// catalogue: DS-10, FR-21
#[test]
fn a_header_that_announces_the_moon_reserves_nothing() {
    let seen = attack(|peer| {
        peer.write_all(&[&[0x82, 0xff][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat())?;
        (0..1024).try_for_each(|_| peer.write_all(&[0; 4096]))
    });
    seen.ended_by(Limit::MessageBytes, 1 << 20, CloseCode::TOO_BIG);
}

/// catalogue: DS-20, V-34
#[test]
fn pings_by_a_peer_that_never_reads_end_at_the_rate_limit() {
    let many = [frame_head(0x89, 125), vec![b'p'; 125]].concat().repeat(500);
    let silent = attack_without_reading(|peer| (0..1400).try_for_each(|_| peer.write_all(&many)));
    silent.told_by(Limit::ControlFrames, 50, CloseCode::POLICY);
    let reading = attack(|peer| (0..1400).try_for_each(|_| peer.write_all(&many)));
    reading.ended_by(Limit::ControlFrames, 50, CloseCode::POLICY);
}

/// catalogue: DS-12, V-10
#[test]
fn a_message_in_one_byte_fragments_costs_its_bytes_and_ends_at_the_count() {
    let many = [frame_head(0x00, 1), vec![b'a']].concat().repeat(10_000);
    let seen = attack(|peer| {
        peer.write_all(&[frame_head(0x01, 1), vec![b'a']].concat())?;
        (0..100).try_for_each(|_| peer.write_all(&many))
    });
    seen.ended_by(Limit::Fragments, 16_385, CloseCode::POLICY);
}

/// RFC 7692 · catalogue: PD-20, PD-21, V-21
#[cfg(feature = "deflate")]
#[test]
fn a_gibibyte_deflated_to_a_megabyte_is_refused_at_the_limit() {
    let zeros = vec![0; 1 << 20];
    let mut block = Vec::with_capacity(4096);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    compress.compress_vec(&zeros, &mut block, flate2::FlushCompress::Sync).expect("sound");
    let bomb = block.repeat(1024);
    drop(zeros);
    let whole = [frame_head(0xc2, bomb.len() as u64), bomb.clone()].concat();
    let seen = attack(|peer| peer.write_all(&whole));
    seen.ended_by(Limit::MessageBytes, 1 << 20, CloseCode::TOO_BIG);
    let seen = attack(|peer| {
        peer.write_all(&frame_head(0x42, 0))?;
        bomb.chunks(100).try_for_each(|piece| peer.write_all(&[&frame_head(0, 100)[..], piece].concat()))
    });
    seen.ended_by(Limit::MessageBytes, 1 << 20, CloseCode::TOO_BIG);
}

/// Each of them is within the limit, and a read of 256 KiB would hold 250 · catalogue: PD-25, DS-54
#[cfg(feature = "deflate")]
#[test]
fn small_frames_that_inflate_to_the_limit_are_taken_one_by_one() {
    let zeros = vec![0; 1 << 20];
    let mut payload = Vec::with_capacity(4096);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    compress.compress_vec(&zeros, &mut payload, flate2::FlushCompress::Sync).expect("sound");
    drop(zeros);
    payload.truncate(payload.len() - 4);
    let many = [frame_head(0xc2, payload.len() as u64), payload].concat().repeat(100);
    let seen = attack_without_reading(|peer| {
        peer.write_all(&many)?;
        peer.write_all(&[0x88, 0x80, 0, 0, 0, 0])?;
        // All the way to the server's end of TCP.
        while peer.socket.read(&mut [0; 1024])? > 0 {
            peer.resident_bytes_max = peer.resident_bytes_max.max(resident_bytes());
        }
        Ok(())
    });
    assert!(seen.info.clean, "{seen:?}");
    // What the inbox holds, a read's worth above that, one in the making, and one on its way out.
    assert!(seen.grown_bytes <= 8 << 20, "resident memory grew by {} bytes", seen.grown_bytes);
}

/// RFC 7692 §7.2.2, §7.2.3.4 · catalogue: PD-14, PD-27
#[cfg(feature = "deflate")]
#[test]
fn rubbish_and_empty_blocks_end_at_once() {
    for rubbish in [&b"\x06rubbish"[..], b"", b"\xf2\x48\xcd", b"\xf2\x00\x11\x00\x00"] {
        let wire = [frame_head(0xc1, rubbish.len() as u64), rubbish.to_vec()].concat();
        let seen = attack(|peer| peer.write_all(&wire));
        assert_eq!(seen.info.cause, Cause::Protocol(ProtocolError::InvalidDeflate));
        assert_eq!((seen.code, seen.info.code), (Some(1007), CloseCode::INVALID_DATA));
    }
    // A megabyte that inflates to nothing, over and over: the streams are counted, and empty blocks cost their bytes.
    let streams = [frame_head(0xc1, 1 << 20), [3, 0].repeat(1 << 19)].concat();
    attack(|peer| peer.write_all(&streams)).ended_by(Limit::DeflateStreams, 64, CloseCode::POLICY);
    let blocks = [frame_head(0x41, 1_000_000), [0, 0, 0, 0xff, 0xff].repeat(200_000)].concat();
    let mut started = Instant::now();
    let seen = attack(|peer| {
        // Not before our turn.
        started = Instant::now();
        peer.write_all(&blocks)?;
        peer.write_all(&frame_head(0x00, 1 << 20))
    });
    // On the wire it may be an eighth longer.
    seen.ended_by(Limit::MessageBytes, 1_179_712, CloseCode::TOO_BIG);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// What an attack came to.
#[derive(Debug)]
struct Seen {
    info: CloseInfo,
    /// The code that the peer read, if it read.
    code: Option<u16>,
    written: usize,
    grown_bytes: usize,
}

impl Seen {
    fn ended_by(&self, limit: Limit, value: u64, code: CloseCode) {
        assert_eq!(self.code, Some(code.0), "the peer, which reads meanwhile, is told: {self:?}");
        self.told_by(limit, value, code);
    }

    fn told_by(&self, limit: Limit, value: u64, code: CloseCode) {
        assert_eq!(self.info.cause, Cause::Protocol(ProtocolError::Limit(LimitError { limit, value })));
        assert_eq!((self.info.code, self.info.initiator, self.info.clean), (code, Initiator::Local, false));
        assert!(self.grown_bytes <= 4 << 20, "resident memory grew by {} bytes", self.grown_bytes);
    }
}

fn attack(act: impl FnOnce(&mut Peer) -> std::io::Result<()>) -> Seen {
    run_attack(act, true)
}

fn attack_without_reading(act: impl FnOnce(&mut Peer) -> std::io::Result<()>) -> Seen {
    run_attack(act, false)
}

fn run_attack(act: impl FnOnce(&mut Peer) -> std::io::Result<()>, reads: bool) -> Seen {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (addr, infos) = serve();
    // Threads, buffers and whatever else is made once are made by a peer that means no harm.
    Peer::open(addr).write_all(&[0x88, 0x80, 0, 0, 0, 0]).expect("the server reads");
    infos.recv_timeout(DEADLINE).expect("the first connection ends");

    let before = resident_bytes();
    let mut peer = Peer::open(addr);
    let reader = reads.then(|| {
        let mut socket = peer.socket.try_clone().expect("a second handle");
        thread::spawn(move || read_close_code(&mut socket))
    });
    // The server's end of TCP stops us: an error is what we wait for.
    let _ = act(&mut peer);
    let code = reader.and_then(|reader| reader.join().expect("the reader does not panic"));
    let info = infos.recv_timeout(DEADLINE).expect("the connection ends");
    // Whoever comes next is served.
    Peer::open(addr).write_all(&[0x88, 0x80, 0, 0, 0, 0]).expect("the server reads");
    assert!(infos.recv_timeout(DEADLINE).expect("the next connection ends").clean);
    let grown_bytes = peer.resident_bytes_max.max(resident_bytes()).saturating_sub(before);
    Seen { info, code, written: peer.written, grown_bytes }
}

/// A server with the default limits, and with compression; tells how each connection ended.
fn serve() -> (SocketAddr, mpsc::Receiver<CloseInfo>) {
    let config = Config::builder();
    #[cfg(feature = "deflate")]
    let config = config.deflate(framecast::Deflate::default());
    let config = config.build().expect("sound");
    match ENGINE {
        Engine::Tokio => serve_tokio(config),
        Engine::Reactor => {
            let (info_to, info_from) = mpsc::channel();
            let bound = Reactor::new(config, Endpoint::new()).bind("127.0.0.1:0").expect("a free port");
            let addr = bound.local_addr();
            thread::spawn(move || bound.run(|_| Echo(info_to.clone())));
            (addr, info_from)
        }
    }
}

struct Echo(mpsc::Sender<CloseInfo>);

impl Handler for Echo {
    type Data = ();

    fn message(&mut self, ws: &mut WebSocket<'_, ()>, message: Received<'_>) {
        let _ = ws.send(message);
    }

    fn close(&mut self, _: &mut WebSocket<'_, ()>, end: CloseInfo) {
        // The test may be over.
        let _ = self.0.send(end);
    }
}

fn serve_tokio(config: Config) -> (SocketAddr, mpsc::Receiver<CloseInfo>) {
    let (addr_to, addr_from) = mpsc::channel();
    let (info_to, info_from) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            addr_to.send(listener.local_addr().expect("bound")).expect("the test waits");
            let acceptor = Acceptor::new(config, Endpoint::new());
            while let Ok((stream, _)) = listener.accept().await {
                let ended = acceptor
                    .run(stream, |mut ws| async move {
                        while let Some(message) = ws.recv().await {
                            let _ = ws.send(message).await;
                        }
                        ws.closed().await
                    })
                    .await;
                let (info, _) = ended.expect("the handshake is done");
                if info_to.send(info).is_err() {
                    return;
                }
            }
        });
    });
    (addr_from.recv_timeout(DEADLINE).expect("the server starts"), info_from)
}

struct Peer {
    socket: TcpStream,
    written: usize,
    resident_bytes_max: usize,
}

impl Peer {
    fn open(addr: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(addr).expect("the server listens");
        socket.set_write_timeout(Some(DEADLINE)).expect("a time-out");
        socket.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        socket.write_all(request.as_bytes()).expect("the server reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("the server answers");
            head.push(byte[0]);
        }
        Self { socket, written: 0, resident_bytes_max: 0 }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.resident_bytes_max = self.resident_bytes_max.max(resident_bytes());
        self.socket.write_all(bytes)?;
        self.written += bytes.len();
        Ok(())
    }
}

/// A client's frame header for a payload of `len` bytes, with a key of zeros, so that payloads can be written as they are.
fn frame_head(first: u8, len: u64) -> Vec<u8> {
    let mut head = vec![first];
    match len {
        0..=125 => head.push(0x80 | len as u8),
        126..=0xffff => head.extend([&[0xfe][..], &(len as u16).to_be_bytes()].concat()),
        _ => head.extend([&[0xff][..], &len.to_be_bytes()].concat()),
    }
    head.extend([0; 4]);
    head
}

/// Reads frames until a Close, and returns its code; `None` if the connection ends without one.
fn read_close_code(socket: &mut TcpStream) -> Option<u16> {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        let mut head = [0; 2];
        socket.read_exact(&mut head).ok()?;
        assert!(head[1] < 126, "only control frames come back");
        let mut payload = vec![0; usize::from(head[1])];
        socket.read_exact(&mut payload).ok()?;
        if head[0] == 0x88 {
            return Some(u16::from_be_bytes([payload[0], payload[1]]));
        }
    }
    None
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4096
}

const DEADLINE: Duration = Duration::from_secs(20);
