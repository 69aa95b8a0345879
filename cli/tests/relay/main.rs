//! `framecast relay` as a process, on both engines: what it sends to whom, its options, how it ends.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Output, Stdio},
    sync::Once,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

const ENGINES: [&str; 2] = ["tokio", "reactor"];
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// `framecast relay`, which ends with us.
struct Relay {
    process: Child,
    address: String,
}

impl Relay {
    fn start(options: &[&str]) -> Self {
        watchdog();
        let mut process = Command::new(env!("CARGO_BIN_EXE_framecast"))
            .args(["relay", "--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("a first line");
        let address = line.strip_prefix("listening on ws://").and_then(|line| line.strip_suffix("/\n"));
        Self { address: address.expect("it says where").to_owned(), process }
    }

    fn open(&self) -> Client {
        let (client, head) = self.ask("");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// A request with these headers, and the head of the answer.
    fn ask(&self, headers: &str) -> (Client, String) {
        let mut stream = TcpStream::connect(&self.address).expect("a server");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        (Client(stream), String::from_utf8(head).expect("ASCII"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
    }

    /// Its exit code, and what it wrote on stderr.
    fn over(mut self) -> (Option<i32>, String) {
        let mut stderr = String::new();
        self.process.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
        (self.process.wait().expect("it ends").code(), stderr)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

struct Client(TcpStream);

impl Client {
    /// A frame with a key of zeros.
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len @ 126..=0xffff => frame.extend([&[0xfe][..], &(len as u16).to_be_bytes()].concat()),
            len => frame.extend([&[0xff][..], &(len as u64).to_be_bytes()].concat()),
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write_all(&frame).expect("it reads");
    }

    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame, and in time");
        assert_eq!(head[0] & 0xf0, 0x80);
        let mut more = [0; 8];
        let len = match head[1] {
            126 => self.0.read_exact(&mut more[6..]).map(|()| u64::from_be_bytes(more)),
            127 => self.0.read_exact(&mut more).map(|()| u64::from_be_bytes(more)),
            len => Ok(u64::from(len)),
        };
        let mut payload = vec![0; len.expect("a length") as usize];
        self.0.read_exact(&mut payload).expect("a payload");
        (head[0] & 0xf, payload)
    }

    fn is_over(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }
}

#[test]
fn a_message_goes_to_all_in_one_order_the_sender_with_them() {
    for engine in ENGINES {
        for threads in ["1", "2"] {
            let relay = Relay::start(&["--engine", engine, "--threads", threads]);
            let mut clients: Vec<Client> = (0..6).map(|_| relay.open()).collect();
            // Each has joined once it got its own, and may have got those before it.
            for at in 0..clients.len() {
                clients[at].send(TEXT, b"joined");
                for client in &mut clients[..=at] {
                    assert_eq!(client.next(), (TEXT, b"joined".to_vec()), "{engine}");
                }
            }
            clients[0].send(TEXT, b"the last to join");
            for client in &mut clients {
                while client.next() != (TEXT, b"the last to join".to_vec()) {}
            }
            let large = vec![7; 100_000];
            for round in 0..20 {
                let (from, text) = (round % clients.len(), round.to_string());
                clients[from].send(TEXT, text.as_bytes());
                clients[from].send(BINARY, &large);
                clients[from].send(TEXT, b"");
            }
            let expected: Vec<_> = (0..20)
                .flat_map(|round: u32| {
                    [(TEXT, round.to_string().into_bytes()), (BINARY, large.clone()), (TEXT, vec![])]
                })
                .collect();
            let mut all: Vec<Vec<(u8, Vec<u8>)>> = Vec::new();
            for client in &mut clients {
                all.push((0..60).map(|_| client.next()).collect());
            }
            assert!(all.iter().all(|got| *got == all[0]), "{engine}: one order");
            let sorted = |mut got: Vec<(u8, Vec<u8>)>| {
                got.sort();
                got
            };
            assert_eq!(sorted(all.swap_remove(0)), sorted(expected), "{engine}");
        }
    }
}

#[test]
fn sigterm_and_sigint_close_everybody_with_1001_and_end_it_with_0() {
    for engine in ENGINES {
        for signal in [Signal::TERM, Signal::INT] {
            let relay = Relay::start(&["--engine", engine]);
            let mut clients: Vec<Client> = (0..3).map(|_| relay.open()).collect();
            clients[0].send(TEXT, b"hello");
            assert_eq!(clients[0].next(), (TEXT, b"hello".to_vec()));
            relay.signal(signal);
            for mut client in clients {
                let close = loop {
                    let (opcode, payload) = client.next();
                    if opcode == CLOSE {
                        break payload;
                    }
                    assert_eq!((opcode, payload), (TEXT, b"hello".to_vec()));
                };
                assert_eq!(close, 1001u16.to_be_bytes(), "{engine}");
                client.send(CLOSE, &close);
                assert!(client.is_over());
            }
            assert_eq!(relay.over(), (Some(0), String::new()), "{engine}");
        }
    }
}

#[test]
fn it_has_the_options_of_echo() {
    for engine in ENGINES {
        let relay = Relay::start(&[
            "--engine",
            engine,
            "--origin",
            "https://example.com",
            "--subprotocol",
            "chat",
            "--max-message",
            "100",
            "--deflate",
        ]);
        let (_, head) = relay.ask("Origin: https://example.org\r\n");
        assert!(head.starts_with("HTTP/1.1 403 "), "{engine}: {head}");
        let offers = "Origin: https://example.com\r\nSec-WebSocket-Protocol: other, chat\r\n\
            Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let (mut client, head) = relay.ask(offers);
        assert!(head.starts_with("HTTP/1.1 101 "), "{engine}: {head}");
        assert!(head.to_ascii_lowercase().contains("sec-websocket-protocol: chat\r\n"), "{head}");
        assert!(head.contains("permessage-deflate; server_no_context_takeover"), "{head}");
        client.send(BINARY, &[1; 100]);
        assert_eq!(client.next().1.len(), 100, "too short to be compressed");
        client.send(BINARY, &[1; 101]);
        let (opcode, payload) = client.next();
        assert_eq!((opcode, &payload[..2]), (CLOSE, &1009u16.to_be_bytes()[..]), "{engine}");
    }
}

/// A client that reads nothing is cut off, and the others get everything.
#[test]
fn who_is_too_slow_is_disconnected_and_nobody_waits_for_it() {
    for engine in ENGINES {
        let relay = Relay::start(&["--engine", engine, "--write-stall", "60"]);
        let mut slow = relay.open();
        slow.send(TEXT, b"joined");
        assert_eq!(slow.next(), (TEXT, b"joined".to_vec()));
        let mut sender = relay.open();
        sender.send(TEXT, b"begin");
        while sender.next() != (TEXT, b"begin".to_vec()) {}
        for number in 0..300u32 {
            let message = [&number.to_be_bytes()[..], &vec![7; 32 << 10]].concat();
            sender.send(BINARY, &message);
            assert_eq!(sender.next(), (BINARY, message), "{engine}");
        }
        assert_eq!(slow.next(), (TEXT, b"begin".to_vec()));
        let mut next = 0u32;
        let close = loop {
            match slow.next() {
                (CLOSE, payload) => break payload,
                (_, payload) => assert_eq!(payload[..4], next.to_be_bytes(), "{engine}"),
            }
            next += 1;
        };
        assert_eq!(close[..2], 1008u16.to_be_bytes());
        let reason = String::from_utf8_lossy(&close[2..]);
        assert!(reason.starts_with("too slow: ") && reason.ends_with(" messages dropped"), "{reason}");
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_framecast")).args(arguments).output().expect("the command starts")
}

#[test]
fn help_says_what_it_does_and_wrong_options_are_told_in_a_line() {
    let help = run(&["relay", "--help"]);
    let text = String::from_utf8(help.stdout).expect("UTF-8");
    assert_eq!(help.status.code(), Some(0));
    assert!(text.starts_with("Send each message to every connection, the sender's too"), "{text}");
    assert!(text.contains("Usage: framecast relay [OPTIONS]"), "{text}");
    // The same as echo's, but for its own two lines.
    let of_echo = String::from_utf8(run(&["echo", "--help"]).stdout).expect("UTF-8");
    let options = |text: &str| text.split_once("Options:").expect("options").1.to_owned();
    assert_eq!(options(&text), options(&of_echo));

    let wrong = run(&["relay", "--engine", "steam"]);
    let stderr = String::from_utf8(wrong.stderr).expect("UTF-8");
    assert_eq!((wrong.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.starts_with("framecast: "), "{stderr}");

    for engine in ENGINES {
        let first = Relay::start(&["--engine", engine]);
        let taken = run(&["relay", "--engine", engine, "--listen", &first.address]);
        let stderr = String::from_utf8(taken.stderr).expect("UTF-8");
        assert_eq!(taken.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with(&format!("framecast: cannot listen on {}: ", first.address)), "{stderr}");
    }
}

/// A test that hangs ends.
fn watchdog() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(120));
            eprintln!("a test hangs");
            std::process::abort();
        });
    });
}

const DEADLINE: Duration = Duration::from_secs(20);
