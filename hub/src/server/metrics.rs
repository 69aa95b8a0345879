//! What is counted, as Prometheus reads it (OpenMetrics text).
//!
//! Labels are of these files' own making, never a client's: rooms, paths and origins are as many as somebody likes
//! (catalogue: DS-52).

use std::{fmt, sync::atomic::AtomicU64};

use axum::{extract::State, response::IntoResponse};
use framecast::{
    Cause, CloseCode,
    proto::{Limit, LimitError, ProtocolError},
};
use http::header::CONTENT_TYPE;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{Server, process::Process};
use crate::{
    addresses::AddressError,
    counters::one_more,
    counts::{Count, Counts, Family, kinds},
};

kinds! {
    /// Why somebody did not get what it asked for by HTTP.
    pub(super) enum Refused {
        Accept = "accept",
        AddressConnections = "address_connections",
        AddressRate = "address_rate",
        Admin = "admin",
        Crowded = "crowded",
        Draining = "draining",
        Full = "full",
        Handshake = "handshake",
        Host = "host",
        Http = "http",
        Late = "late",
        Origin = "origin",
        Payload = "payload",
        Tls = "tls",
    }
}

kinds! {
    /// How a connection ended.
    pub(super) enum Ended {
        /// The client has closed it;
        Client = "client",
        /// we have, and were answered,
        Server = "server",
        /// or not in time.
        Unanswered = "unanswered",
        /// No pong in time.
        PongMissed = "pong_missed",
        /// Nothing was taken of what was to be written.
        WriteStalled = "write_stalled",
        /// TCP ended without a Close,
        Eof = "eof",
        /// or broke.
        Transport = "transport",
        /// A rule of the protocol was broken: 1002,
        Protocol = "protocol",
        /// 1007,
        InvalidData = "invalid_data",
        /// 1009,
        TooBig = "too_big",
        /// or another limit of the engine's: 1008.
        Limit = "limit",
        Other = "other",
    }
}

impl Refused {
    pub(super) fn of(error: AddressError) -> Self {
        match error {
            AddressError::TooFast { .. } => Self::AddressRate,
            AddressError::TooMany { .. } => Self::AddressConnections,
        }
    }
}

impl From<&Cause> for Ended {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::Peer(_) => Self::Client,
            Cause::Local { .. } => Self::Server,
            Cause::CloseUnanswered => Self::Unanswered,
            Cause::WriteStall => Self::WriteStalled,
            Cause::Eof => Self::Eof,
            Cause::Transport(_) => Self::Transport,
            Cause::Protocol(ProtocolError::Limit(LimitError { limit: Limit::Pong, .. })) => Self::PongMissed,
            Cause::Protocol(error) => match error.close_code() {
                CloseCode::INVALID_DATA => Self::InvalidData,
                CloseCode::TOO_BIG => Self::TooBig,
                CloseCode::POLICY => Self::Limit,
                _ => Self::Protocol,
            },
            _ => Self::Other,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Metrics {
    upgraded: AtomicU64,
    ended: Family<Ended>,
    refused: Family<Refused>,
}

impl Metrics {
    pub(super) fn upgraded(&self) {
        one_more(&self.upgraded);
    }

    pub(super) fn ended(&self, cause: &Cause) {
        self.ended.add(cause.into());
    }

    pub(super) fn refused(&self, why: Refused) {
        self.refused.add(why);
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        counts.one("upgrades", "Requests that became WebSocket connections.", &self.upgraded);
        counts.family("ended", "Connections that have ended, by how.", "cause", &self.ended);
        let help = "Connections and requests that were refused.";
        counts.family("refused", help, "reason", &self.refused);
        counts
    }
}

/// `GET /metrics`.
pub(super) async fn show(State(server): State<Server>) -> impl IntoResponse {
    let mut registry = Registry::default();
    registry.sub_registry_with_prefix("framecast").register_collector(Box::new(Scrape(server)));
    // Of an old name, which dashboards know.
    registry.sub_registry_with_prefix("process").register_collector(Box::new(OfProcess));
    let mut page = String::new();
    // A string takes everything.
    let _ = text::encode(&mut page, &registry);
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], page)
}

/// What there is to tell at one moment.
#[derive(Debug)]
struct Scrape(Server);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (hub, metrics) = (self.0.hub(), &self.0.0.metrics);
        let stats = hub.stats();
        let mut page = Page(&mut encoder);
        page.gauge("connections", "Connections whose client is known", stats.total_connections)?;
        page.gauge("rooms", "Rooms that somebody has subscribed to by name", stats.total_rooms)?;
        page.counts(&hub.counts())?;
        let (losses, backlog) = (hub.topics().losses(), hub.topics().backlog());
        let reasons = [
            ("broker", losses.broker),
            ("closed", losses.closed),
            ("rate", losses.rate),
            ("slow", losses.slow),
        ];
        page.family("messages_dropped", "Messages of rooms that subscribers did not get", "reason", reasons)?;
        page.gauge("backlog_messages", "Messages that wait for subscribers", backlog.messages)?;
        page.gauge("backlog_bytes", "Bytes of these, for each subscriber anew", backlog.bytes)?;
        let history = hub.topics().history_bytes() as u64;
        page.gauge("history_bytes", "Bytes that the histories of all rooms hold", history)?;
        page.gauge("uptime_seconds", "Seconds since the hub was made", stats.uptime_s)?;
        page.counts(&metrics.counts())?;
        page.gauge("draining", "1 while the server stops", u64::from(self.0.is_draining()))
    }
}

#[derive(Debug)]
struct OfProcess;

impl Collector for OfProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(process) = Process::read() else { return Ok(()) };
        let mut page = Page(&mut encoder);
        page.gauge("resident_memory_bytes", "Resident memory size in bytes", process.resident_bytes)?;
        page.gauge("open_fds", "Number of open file descriptors", process.open_files)?;
        let help = "Total user and system CPU time spent in seconds";
        let seconds = page.0.encode_descriptor("cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(process.cpu_seconds).encode(seconds)
    }
}

struct Page<'p, 'e>(&'p mut DescriptorEncoder<'e>);

impl Page<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    /// What the hub itself has counted.
    fn counts(&mut self, counts: &Counts) -> fmt::Result {
        for family in counts.as_slice().chunk_by(|one, next| one.name == next.name) {
            let [first, ..] = family else { continue };
            // The full stop is OpenMetrics' own.
            let help = first.help.trim_end_matches('.');
            match first.label {
                None => self.counter(first.name, help, first.value)?,
                Some((label, _)) => {
                    let of_label = |count: &Count| Some((count.label?.1, count.value));
                    self.family(first.name, help, label, family.iter().filter_map(of_label))?;
                }
            }
        }
        Ok(())
    }

    /// One counter for each value of a label.
    fn family(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in values {
            ConstCounter::new(count).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }
}
