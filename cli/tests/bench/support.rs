//! The command as a child, `framecast echo` to load, and scripted servers of our own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread,
};

use framecast::{
    Config, Endpoint, OriginPolicy,
    handshake::ServerHandshake,
    proto::{FrameHeader, OpCode, Role, mask},
};
use serde_json::Value;

/// `framecast bench` with these arguments.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framecast"));
    command.arg("bench").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn bench(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command starts")
}

/// What was printed, after success and without a word on stderr.
pub(crate) fn json(output: &Output) -> Value {
    assert_eq!((output.status.code(), stderr(output)), (Some(0), ""), "{output:?}");
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).expect("one JSON object")
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// `framecast echo`, which ends with us.
pub(crate) struct Echo {
    process: Child,
    pub(crate) url: String,
}

impl Echo {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_framecast"))
            .args(["echo", "--listen", "127.0.0.1:0", "--max-message", "16777216"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("a first line");
        let url = line.trim().strip_prefix("listening on ").expect("it says where").to_owned();
        Self { process, url }
    }

    pub(crate) fn pid(&self) -> String {
        self.process.id().to_string()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A server with a thread for each connection.
pub(crate) fn tcp_server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.expect("a connection"), serve.clone());
            stream.set_nodelay(true).expect("an option of TCP");
            thread::spawn(move || serve(stream));
        }
    });
    addr
}

/// A server that shakes hands, and then does what `serve` says.
pub(crate) fn server(serve: impl Fn(Peer) + Send + Sync + 'static) -> String {
    let addr = tcp_server(move |stream| {
        if let Some(peer) = Peer::open(stream) {
            serve(peer);
        }
    });
    format!("ws://{addr}/")
}

/// One client, message by message.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// Of its request.
    pub(crate) path: String,
}

impl Peer {
    fn open(mut stream: TcpStream) -> Option<Self> {
        let endpoint = Endpoint::new().origins(OriginPolicy::same_origin());
        let mut handshake = ServerHandshake::new(&Config::default(), Arc::new(endpoint));
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte).ok()?;
            if let Some((request, _)) = handshake.receive(&byte).expect("a request in order") {
                stream.write_all(&request.accept().encode()).ok()?;
                return Some(Self { path: request.path().to_owned(), stream });
            }
        }
    }

    /// The next frame; `None` at the end.
    pub(crate) fn frame(&mut self) -> Option<(OpCode, Vec<u8>)> {
        let mut head = Vec::new();
        let (header, _) = loop {
            if let Some(parsed) = FrameHeader::parse(&head, Role::Server).expect("a masked frame in order") {
                break parsed;
            }
            head.push(0);
            let last = head.len() - 1;
            self.stream.read_exact(&mut head[last..]).ok()?;
        };
        let mut payload = vec![0; header.payload_len as usize];
        self.stream.read_exact(&mut payload).ok()?;
        mask(&mut payload, header.mask.expect("a client masks"));
        assert!(header.fin);
        Some((header.opcode, payload))
    }

    pub(crate) fn send(&mut self, opcode: OpCode, fin: bool, payload: &[u8]) {
        let payload_len = payload.len() as u64;
        let header = FrameHeader { fin, rsv1: false, opcode, mask: None, payload_len, minimal: true };
        let bytes = [&*header.encode(), payload].concat();
        // The client may be gone by now, which it tells by its exit code.
        drop(self.stream.write_all(&bytes));
    }

    /// Echoes one message, if it is one; `false` at the end, with the client's Close answered.
    pub(crate) fn echo(&mut self) -> bool {
        match self.frame() {
            Some((OpCode::Close, payload)) => {
                self.send(OpCode::Close, true, &payload);
                false
            }
            Some((opcode, payload)) => {
                self.send(opcode, true, &payload);
                true
            }
            None => false,
        }
    }
}
