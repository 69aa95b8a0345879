//! What is printed: one JSON object for programs, a few lines for people.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    failure::Failure,
    meter::{Measured, Watch},
};

/// Everything that a scenario may tell; what is not its own is left out.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) scenario: &'static str,
    pub(super) url: String,
    pub(super) raw: bool,
    pub(super) connections: u32,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) server: Option<Server>,
    /// Whether it was ended by a signal.
    pub(super) interrupted: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Figures {
    Echo(Echo),
    Idle(Idle),
    Handshake(Handshake),
    Relay(Relay),
    Rooms(Rooms),
}

#[derive(Serialize)]
pub(super) struct Echo {
    /// None in the open loop, where the rate decides.
    pub(super) depth: Option<u32>,
    pub(super) size: u32,
    pub(super) text: bool,
    pub(super) rate: Option<f64>,
    pub(super) seconds: f64,
    pub(super) messages: u64,
    pub(super) messages_per_second: f64,
    pub(super) payload_bytes_per_second: f64,
    pub(super) latency_us: Latency,
    /// Bytes of a reply on the wire, its header with it, on average; with `--deflate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply_bytes: Option<f64>,
    /// Of the open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) open_loop: Option<OpenLoop>,
    pub(super) load: Own,
}

/// How well the open loop kept to its schedule.
#[derive(Clone, Copy, Serialize)]
pub(super) struct OpenLoop {
    pub(super) scheduled: u64,
    /// How many were to come back of these.
    #[serde(skip)]
    pub(super) expected: u64,
    /// Messages that never came back; their age is in the latencies.
    pub(super) unanswered: u64,
    /// Messages that this program itself was more than a millisecond late with.
    pub(super) late: u64,
    pub(super) late_us_max: f64,
}

#[derive(Serialize)]
pub(super) struct Idle {
    pub(super) size: u32,
    pub(super) text: bool,
    pub(super) open_seconds: f64,
    pub(super) messages: u64,
    pub(super) quiet: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct Handshake {
    pub(super) seconds: f64,
    pub(super) handshakes: u64,
    pub(super) handshakes_per_second: f64,
    pub(super) latency_us: Latency,
    pub(super) load: Own,
}

#[derive(Serialize)]
pub(super) struct Relay {
    /// None in the open loop, where the rate decides.
    pub(super) depth: Option<u32>,
    pub(super) size: u32,
    pub(super) text: bool,
    pub(super) rate: Option<f64>,
    pub(super) stalled: u32,
    pub(super) seconds: f64,
    pub(super) deliveries: u64,
    pub(super) deliveries_per_second: f64,
    pub(super) payload_bytes_per_second: f64,
    pub(super) latency_us: Latency,
    /// Bytes of a delivery on the wire, its header with it, on average; with `--deflate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply_bytes: Option<f64>,
    /// Of the open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) open_loop: Option<OpenLoop>,
    pub(super) load: Own,
}

#[derive(Serialize)]
pub(super) struct Rooms {
    pub(super) rooms: u32,
    pub(super) dialect: &'static str,
    pub(super) size: u32,
    pub(super) rate: f64,
    pub(super) join_seconds: f64,
    pub(super) quiet: Option<bool>,
    pub(super) seconds: f64,
    pub(super) deliveries: u64,
    /// Of the messages that were scheduled: what is not among the deliveries did not come.
    pub(super) expected: u64,
    pub(super) deliveries_per_second: f64,
    pub(super) payload_bytes_per_second: f64,
    pub(super) latency_us: Latency,
    pub(super) open_loop: OpenLoop,
    pub(super) load: Own,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

/// The load itself: it is the bottleneck if its share of a core is near one and the server's is not.
#[derive(Serialize)]
pub(super) struct Own {
    pub(super) cpu_share: f64,
}

#[derive(Default, Serialize)]
pub(super) struct Server {
    pub(super) pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_us_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_us_per_handshake: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_us_per_delivery: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rss_bytes_before: Option<u64>,
    /// When all were in their rooms, and nothing had been published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rss_bytes_joined: Option<u64>,
    pub(super) rss_bytes: u64,
    /// The most since it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rss_bytes_peak: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rss_bytes_per_connection: Option<f64>,
}

impl Server {
    /// With what its memory was before it had so many connections.
    pub(super) fn grown(self, before: u64, connections: u32) -> Self {
        let each = (self.rss_bytes as f64 - before as f64) / f64::from(connections);
        Self { rss_bytes_before: Some(before), rss_bytes_per_connection: Some(each), ..self }
    }
}

impl Latency {
    pub(super) fn of(nanos: &Histogram<u64>) -> Self {
        let micros = |quantile| nanos.value_at_quantile(quantile) as f64 / 1e3;
        let max = nanos.max() as f64 / 1e3;
        Self { p50: micros(0.5), p90: micros(0.9), p99: micros(0.99), p99_9: micros(0.999), max }
    }
}

impl Measured {
    pub(super) fn seconds(&self) -> f64 {
        self.time.as_secs_f64()
    }

    pub(super) fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds()
    }

    pub(super) fn own(&self) -> Own {
        Own { cpu_share: self.own_cpu.as_secs_f64() / self.seconds() }
    }

    /// The server's part; microseconds of its processor time for each thing that was counted.
    pub(super) fn server(&self, watch: &Watch) -> Result<Option<(Server, f64)>, Failure> {
        let (Some(server), Some(cpu)) = (&watch.server, self.server_cpu) else { return Ok(None) };
        let cpu_share = Some(cpu.as_secs_f64() / self.seconds());
        let report =
            Server { pid: server.pid(), cpu_share, rss_bytes: server.rss_bytes()?, ..Server::default() };
        Ok(Some((report, cpu.as_secs_f64() * 1e6 / self.count as f64)))
    }
}

impl Report {
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        let text = if json {
            serde_json::to_string(self).map_err(|error| Failure::Broken(error.to_string()))? + "\n"
        } else {
            self.to_string()
        };
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|error| Failure::Broken(format!("cannot write to stdout: {error}")))
    }
}

/// For people: what was done, what came of it, what it cost.
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let raw = if self.raw { " (plain TCP)" } else { "" };
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        writeln!(f, "{} {}{raw}: {}{interrupted}", self.scenario, self.url, self.shape())?;
        match &self.figures {
            Figures::Echo(echo) => {
                let rate = thousands(echo.messages_per_second);
                let bytes = bytes(echo.payload_bytes_per_second);
                row(f, "echoes", format!("{} in {:.2} s", thousands(echo.messages as f64), echo.seconds))?;
                row(f, "rate", format!("{rate} /s, {bytes} /s of payload each way"))?;
                row(f, "latency", echo.latency_us.to_string())?;
                tell_more(f, echo.reply_bytes, echo.open_loop)?;
            }
            Figures::Idle(idle) => {
                row(f, "opened", format!("in {:.2} s, one message each way on each", idle.open_seconds))?;
                if idle.quiet == Some(false) {
                    row(f, "note", "the server was not quiet when its memory was looked at".to_owned())?;
                }
            }
            Figures::Handshake(handshake) => {
                let count = thousands(handshake.handshakes as f64);
                row(f, "handshakes", format!("{count} in {:.2} s", handshake.seconds))?;
                row(f, "rate", format!("{} /s", thousands(handshake.handshakes_per_second)))?;
                row(f, "latency", handshake.latency_us.to_string())?;
            }
            Figures::Relay(relay) => {
                let count = thousands(relay.deliveries as f64);
                let bytes = bytes(relay.payload_bytes_per_second);
                row(f, "deliveries", format!("{count} in {:.2} s", relay.seconds))?;
                let rate = thousands(relay.deliveries_per_second);
                row(f, "rate", format!("{rate} /s, {bytes} /s of payload"))?;
                row(f, "latency", relay.latency_us.to_string())?;
                tell_more(f, relay.reply_bytes, relay.open_loop)?;
            }
            Figures::Rooms(rooms) => {
                row(f, "joined", format!("in {:.2} s", rooms.join_seconds))?;
                if rooms.quiet == Some(false) {
                    row(f, "note", "the server was not quiet when its memory was looked at".to_owned())?;
                }
                let (count, expected) =
                    (thousands(rooms.deliveries as f64), thousands(rooms.expected as f64));
                row(f, "deliveries", format!("{count} of {expected} in {:.2} s", rooms.seconds))?;
                let rate = thousands(rooms.deliveries_per_second);
                let bytes = bytes(rooms.payload_bytes_per_second);
                row(f, "rate", format!("{rate} /s, {bytes} /s of payload"))?;
                row(f, "latency", rooms.latency_us.to_string())?;
                tell_more(f, None, Some(rooms.open_loop))?;
            }
        }
        if let Some(server) = &self.server {
            row(f, &format!("server {}", server.pid), server.to_string())?;
        }
        match &self.figures {
            Figures::Echo(Echo { load, .. })
            | Figures::Handshake(Handshake { load, .. })
            | Figures::Relay(Relay { load, .. })
            | Figures::Rooms(Rooms { load, .. }) => {
                row(f, "load", format!("{:.0} % of a core", load.cpu_share * 100.0))
            }
            Figures::Idle(_) => Ok(()),
        }
    }
}

impl Report {
    fn shape(&self) -> String {
        let mut shape = format!("{} connections", self.connections);
        let kind = |text| if text { "text" } else { "binary" };
        match &self.figures {
            Figures::Echo(Echo { depth: Some(depth), size, text, .. }) => {
                let _ = write!(shape, ", {depth} in flight on each, {size} B {}", kind(*text));
            }
            Figures::Echo(Echo { rate, size, text, .. }) => {
                let rate = rate.unwrap_or_default();
                let _ = write!(shape, ", {rate} messages a second in all, {size} B {}", kind(*text));
            }
            Figures::Idle(Idle { size, text, .. }) => {
                let _ = write!(shape, ", {size} B {}", kind(*text));
            }
            Figures::Relay(Relay { depth, rate, size, text, stalled, .. }) => {
                let _ = match (depth, rate) {
                    (Some(depth), _) => write!(shape, ", one publishes {depth} at once"),
                    (None, rate) => write!(shape, ", one publishes {} a second", rate.unwrap_or_default()),
                };
                let _ = write!(shape, ", {size} B {}", kind(*text));
                if *stalled > 0 {
                    let _ = write!(shape, "; stalled besides: {stalled}");
                }
            }
            Figures::Rooms(Rooms { rooms, dialect, size, rate, .. }) => {
                let _ = write!(
                    shape,
                    " in {rooms} rooms ({dialect}), {rate} messages a second in all, {size} B text"
                );
            }
            Figures::Handshake(_) => {}
        }
        shape
    }
}

impl OpenLoop {
    fn tell(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        row(f, "", "counted from the time that each message was due".to_owned())?;
        if self.unanswered > 0 {
            let scheduled = thousands(self.expected as f64);
            let unanswered = thousands(self.unanswered as f64);
            row(f, "note", format!("{unanswered} of {scheduled} messages did not come back in time"))?;
        }
        if self.late > 0 {
            let share = self.late as f64 * 100.0 / self.scheduled as f64;
            let most = micros(self.late_us_max);
            row(
                f,
                "note",
                format!("the load itself was late with {share:.2} % of the messages, {most} at most"),
            )?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50, p90, p99, p99_9, max } = *self;
        for (name, value) in [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p99_9)] {
            write!(f, "{name} {}  ", micros(value))?;
        }
        write!(f, "max {}", micros(max))
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(micros) = self.cpu_us_per_message {
            write!(f, "{micros:.3} µs of CPU a message, ")?;
        }
        if let Some(micros) = self.cpu_us_per_handshake {
            write!(f, "{micros:.2} µs of CPU a handshake, ")?;
        }
        if let Some(micros) = self.cpu_us_per_delivery {
            write!(f, "{micros:.3} µs of CPU a delivery, ")?;
        }
        if let Some(share) = self.cpu_share {
            write!(f, "{:.0} % of a core, ", share * 100.0)?;
        }
        write!(f, "{} resident", bytes(self.rss_bytes as f64))?;
        if let Some(peak) = self.rss_bytes_peak {
            write!(f, ", {} at most", bytes(peak as f64))?;
        }
        if let (Some(before), Some(each)) = (self.rss_bytes_before, self.rss_bytes_per_connection) {
            write!(f, ", {} before", bytes(before as f64))?;
            if let Some(joined) = self.rss_bytes_joined {
                write!(f, ", {} joined", bytes(joined as f64))?;
            }
            write!(f, ": {each:.0} B a connection")?;
        }
        Ok(())
    }
}

fn tell_more(
    f: &mut std::fmt::Formatter<'_>,
    reply_bytes: Option<f64>,
    open_loop: Option<OpenLoop>,
) -> std::fmt::Result {
    if let Some(bytes) = reply_bytes {
        row(f, "replies", format!("{bytes:.1} B each on the wire"))?;
    }
    open_loop.map_or(Ok(()), |open| open.tell(f))
}

fn row(f: &mut std::fmt::Formatter<'_>, name: &str, what: String) -> std::fmt::Result {
    writeln!(f, "  {name:<14} {what}")
}

fn micros(micros: f64) -> String {
    match micros {
        0.0..1e3 => format!("{micros:.1} µs"),
        1e3..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

fn bytes(bytes: f64) -> String {
    match bytes.abs() {
        0.0..1e3 => format!("{bytes:.0} B"),
        1e3..1e6 => format!("{:.1} kB", bytes / 1e3),
        1e6..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}

/// `1,234,567`
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            (thousands(0.4), thousands(999.0), thousands(1e3)),
            ("0".into(), "999".into(), "1,000".into())
        );
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(
            (micros(0.25), micros(1500.0), micros(2e6)),
            ("0.2 µs".into(), "1.50 ms".into(), "2.00 s".into())
        );
        assert_eq!(
            (bytes(999.0), bytes(-1500.0), bytes(49.4e6)),
            ("999 B".into(), "-1.5 kB".into(), "49.4 MB".into())
        );
    }
}
