//! What WebSocket costs a server over a raw TCP echo of the same bytes: CPU time a message.
//!
//! Run  `cargo build --release`
//!      `cargo run --release --example wire_load -- [--server target/release/framecast] [--rounds 9] [--seconds 2]`
//! Sees a line a turn, and at the end the median of the rounds' ratios to the floor, with the smallest and the largest.
//!
//! Two servers, each a process pinned to core 0 by `taskset`, the load to core 1: (a) the floor, this program once more as
//! an echo over tokio with a buffer of 64 KiB, which looks at nothing; (b) `SERVER echo --listen 127.0.0.1:0 --origin any`,
//! whose first line of output is `listening on ws://HOST:PORT/`. 100 connections, on each 32 masked binary messages of 20
//! bytes in one write, then all 32 echoes read and compared. The floor gets the same bytes and must return them all, so it
//! writes more than a WebSocket server, whose echoes are not masked: 26 bytes for 22. A round is both servers, the order
//! changing from round to round, so that what drifts meets both alike. CPU time is the kernel's count for
//! the process (`/proc/PID/stat`, 10 ms a tick). System calls are not told: `/proc/PID/io` counts `read` and `write`, and
//! sockets are read by `recv`. Linux only.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    match arguments.mode.as_deref() {
        Some("floor") => serve_floor(),
        Some("load") => drive(&arguments),
        _ => pin_and_drive(),
    }
}

struct Arguments {
    mode: Option<String>,
    server: String,
    rounds: usize,
    seconds: f64,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let server = "target/release/framecast".to_owned();
        let mut parsed = Self { mode: None, server, rounds: 9, seconds: 2.0 };
        let mut arguments = env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--mode" => parsed.mode = Some(value),
                "--server" => parsed.server = value,
                "--rounds" => parsed.rounds = value.parse()?,
                "--seconds" => parsed.seconds = value.parse()?,
                _ => return Err(format!("unknown argument {name}").into()),
            }
        }
        if parsed.rounds == 0 || !(parsed.seconds > 0.0 && parsed.seconds.is_finite()) {
            return Err("--rounds and --seconds must be above 0".into());
        }
        Ok(parsed)
    }
}

/// Starts this program again as the load, on core 1.
fn pin_and_drive() -> Result<()> {
    let load = Command::new("taskset")
        .args(["-c", "1"])
        .arg(env::current_exe()?)
        .args(["--mode", "load"])
        .args(env::args_os().skip(1))
        .status()?;
    if load.success() { Ok(()) } else { Err("the load failed".into()) }
}

/// The floor: what comes goes back.
#[tokio::main(flavor = "current_thread")]
async fn serve_floor() -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on tcp://{}/", listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        });
    }
}

fn drive(arguments: &Arguments) -> Result<()> {
    let this = env::current_exe()?;
    let mut floor = Target::start(
        "floor",
        Command::new("taskset").arg("-c").arg("0").arg(this).args(["--mode", "floor"]),
    )?;
    let mut ours = Target::start(
        "server",
        Command::new("taskset").args([
            "-c",
            "0",
            &arguments.server,
            "echo",
            "--listen",
            "127.0.0.1:0",
            "--origin",
            "any",
        ]),
    )?;
    floor.connect(false)?;
    ours.connect(true)?;
    let time = Duration::from_secs_f64(arguments.seconds);
    for target in [&mut floor, &mut ours] {
        target.turn(time.min(Duration::from_millis(500)))?;
    }
    println!("{:>5}  {:<7} {:>11} {:>11}", "round", "target", "messages/s", "CPU us/msg");
    let mut ratios = Vec::new();
    for round in 1..=arguments.rounds {
        let (a, b) = if round % 2 == 1 {
            let a = floor.turn(time)?;
            (a, ours.turn(time)?)
        } else {
            let b = ours.turn(time)?;
            (floor.turn(time)?, b)
        };
        a.print(round, floor.name);
        b.print(round, ours.name);
        ratios.push(b.cpu_micros_per_message() / a.cpu_micros_per_message());
    }
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let median = (ratios[(ratios.len() - 1) / 2] + ratios[ratios.len() / 2]) / 2.0;
    println!(
        "CPU a message, server to floor: median {median:.2} of {} rounds, {least:.2}..{most:.2}",
        ratios.len()
    );
    Ok(())
}

/// A server under load, which ends with us.
struct Target {
    name: &'static str,
    process: Child,
    address: SocketAddr,
    connections: Vec<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Target {
    fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.trim().split("//").nth(1).and_then(|rest| rest.trim_end_matches('/').parse().ok());
        let Some(address) = address else {
            process.kill()?;
            return Err(format!("{name} does not say where it listens: {line:?}").into());
        };
        let (request, answer) = (Vec::new(), Vec::new());
        Ok(Self { name, process, address, connections: Vec::new(), request, answer })
    }

    fn connect(&mut self, websocket: bool) -> Result<()> {
        self.request = messages(Some([0x37, 0xfa, 0x21, 0x3d]));
        self.answer = if websocket { messages(None) } else { self.request.clone() };
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            if websocket {
                upgrade(&mut stream, self.address)?;
            }
            self.connections.push(stream);
        }
        Ok(())
    }

    /// Loads it for so long: a write on every connection, then what comes back on every connection.
    fn turn(&mut self, time: Duration) -> Result<Turn> {
        let before = cpu_ticks(self.process.id())?;
        let start = Instant::now();
        let mut messages = 0;
        let mut buffer = vec![0; self.answer.len()];
        while start.elapsed() < time {
            for stream in &mut self.connections {
                stream.write_all(&self.request)?;
            }
            for stream in &mut self.connections {
                stream.read_exact(&mut buffer)?;
                if buffer != self.answer {
                    read_past_pings(stream, &mut buffer, &self.answer)?;
                }
                if buffer != self.answer {
                    return Err(format!("{} did not echo what it was sent", self.name).into());
                }
            }
            messages += CONNECTIONS * PIPELINED;
        }
        Ok(Turn { messages, time: start.elapsed(), cpu_ticks: cpu_ticks(self.process.id())? - before })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended by itself, which a turn has told by then.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Takes the server's pings out of `bytes`, answers them, and reads as much more.
fn read_past_pings(stream: &mut TcpStream, bytes: &mut Vec<u8>, answer: &[u8]) -> Result<()> {
    let frame = answer.len() / PIPELINED;
    let mut at = 0;
    while at < answer.len() {
        read_up_to(stream, bytes, at + 2)?;
        if bytes[at] != 0x89 {
            at += frame;
            continue;
        }
        let end = at + 2 + usize::from(bytes[at + 1]);
        read_up_to(stream, bytes, end)?;
        let ping: Vec<u8> = bytes.drain(at..end).collect();
        // A pong whose masking key is zero.
        let pong = [&[0x8a, 0x80 | ping[1], 0, 0, 0, 0], &ping[2..]].concat();
        stream.write_all(&pong)?;
    }
    read_up_to(stream, bytes, answer.len())
}

/// Reads until there are `len` bytes.
fn read_up_to(stream: &mut TcpStream, bytes: &mut Vec<u8>, len: usize) -> Result<()> {
    let before = bytes.len();
    bytes.resize(before.max(len), 0);
    stream.read_exact(&mut bytes[before..])?;
    Ok(())
}

/// `PIPELINED` messages, each different from its neighbours; masked or not.
fn messages(key: Option<[u8; 4]>) -> Vec<u8> {
    let mut wire = Vec::new();
    for number in 0..PIPELINED {
        wire.extend([0x82, PAYLOAD_BYTES as u8 | if key.is_some() { 0x80 } else { 0 }]);
        wire.extend(key.into_iter().flatten());
        let payload = (0..PAYLOAD_BYTES).map(|at| (number * 7 + at) as u8);
        wire.extend(payload.enumerate().map(|(at, byte)| byte ^ key.map_or(0, |key| key[at % 4])));
    }
    wire
}

fn upgrade(stream: &mut TcpStream, address: SocketAddr) -> Result<()> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    if head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
        Ok(())
    } else {
        Err(format!("no upgrade: {head}").into())
    }
}

/// One server, loaded once.
struct Turn {
    messages: usize,
    time: Duration,
    cpu_ticks: u64,
}

impl Turn {
    fn cpu_micros_per_message(&self) -> f64 {
        self.cpu_ticks as f64 * MICROS_PER_TICK / self.messages as f64
    }

    fn print(&self, round: usize, name: &str) {
        let per_second = self.messages as f64 / self.time.as_secs_f64();
        println!("{round:>5}  {name:<7} {per_second:>11.0} {:>11.3}", self.cpu_micros_per_message());
    }
}

/// The CPU time that a process has used.
fn cpu_ticks(process: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in parentheses, which may hold spaces; utime and stime are the 14th and 15th.
    let mut fields = stat.rsplit(") ").next().unwrap_or("").split(' ').skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or("no CPU time in stat");
    Ok(ticks()? + ticks()?)
}

const CONNECTIONS: usize = 100;
const PIPELINED: usize = 32;
const PAYLOAD_BYTES: usize = 20;
/// `USER_HZ` is 100 on every Linux that matters.
const MICROS_PER_TICK: f64 = 10_000.0;
