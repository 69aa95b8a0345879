//! Is the peer there, does it read? The ping schedule, the pong deadline, the round-trip time, the write stall
//! (RFC 6455 §5.5.2, §5.5.3); and how often the peer may ask the same of us.
//!
//! Pings go out on schedule whatever the traffic, so nothing here is touched per message.

use std::time::Duration;

use super::{config::Config, message::Control, random::split_mix, time::Deadline};

#[derive(Debug)]
pub(super) struct Keepalive {
    ping_due: Deadline,
    ping: Ping,
    /// Until when some of what is queued must have been written.
    stall_due: Deadline,
    /// For jitter, and payloads that differ.
    random: u32,
    round_trip_micros: Option<std::num::NonZeroU32>,
    /// Thousandths of control frames that the peer may send now,
    control_tokens: u32,
    /// counted at this time.
    control_counted_millis: u32,
}

/// Our ping, which carries `nonce`.
#[derive(Debug)]
enum Ping {
    Answered,
    /// In the outbox.
    Queued {
        nonce: u32,
    },
    /// Written, at a time in wrapping microseconds.
    Sent {
        nonce: u32,
        sent_micros: u32,
        pong_due: Deadline,
    },
}

/// What a passing of time asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping(Control),
    /// The pong did not come.
    NoPong,
    /// Nothing could be written.
    WriteStall,
}

impl Keepalive {
    pub(super) fn new(config: &Config, now_millis: u32, seed: u64) -> Self {
        let mut keepalive = Self {
            ping_due: Deadline::NEVER,
            ping: Ping::Answered,
            stall_due: Deadline::NEVER,
            random: seed as u32 ^ (seed >> 32) as u32,
            round_trip_micros: None,
            control_tokens: u32::from(config.control_frames_burst) * CONTROL_FRAME,
            control_counted_millis: now_millis,
        };
        keepalive.schedule_ping(config, now_millis);
        keepalive
    }

    /// SplitMix64 over a counter of 32 bits: enough for a ping every some seconds.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9);
        split_mix(&mut self.random.into())
    }

    /// The next ping, ±20 %: connections that came together do not ping together.
    fn schedule_ping(&mut self, config: &Config, now_millis: u32) {
        let Some(every) = config.ping_every else { return };
        let jitter = 0.8 + 0.4 * (self.draw() >> 11) as f64 / (1u64 << 53) as f64;
        self.ping_due = Deadline::after(now_millis, every.mul_f64(jitter).max(Duration::from_millis(1)));
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `paused`: we do not read, so nobody is blamed for
    /// a pong that may be in.
    pub(super) fn next(&self, paused: bool) -> Deadline {
        let due = self.ping_due.min(self.stall_due);
        match self.ping {
            Ping::Sent { pong_due, .. } if !paused => due.min(pong_due),
            _ => due,
        }
    }

    pub(super) fn handle_timeout(&mut self, config: &Config, now_millis: u32, paused: bool) -> Due {
        if self.stall_due.has_passed(now_millis) {
            if !self.stall_due.overslept(now_millis, config.write_stall_after) {
                return Due::WriteStall;
            }
            self.stall_due = Deadline::after(now_millis, config.write_stall_after);
        }
        if let Ping::Sent { pong_due, .. } = &mut self.ping
            && !paused
            && pong_due.has_passed(now_millis)
        {
            if !pong_due.overslept(now_millis, config.pong_within) {
                return Due::NoPong;
            }
            *pong_due = Deadline::after(now_millis, config.pong_within);
        }
        if !self.ping_due.has_passed(now_millis) {
            return Due::Nothing;
        }
        self.schedule_ping(config, now_millis);
        // One at a time: the next one waits until this one is answered, or has cost the connection its life.
        if !matches!(self.ping, Ping::Answered) {
            return Due::Nothing;
        }
        let nonce = self.draw() as u32;
        self.ping = Ping::Queued { nonce };
        Due::Ping(Control::truncating(&nonce.to_be_bytes()))
    }

    /// Our ping's last byte was written: the peer's time begins.
    pub(super) fn ping_left(&mut self, config: &Config, now_millis: u32, now_micros: u32) {
        if let Ping::Queued { nonce } = self.ping {
            let pong_due = Deadline::after(now_millis, config.pong_within);
            self.ping = Ping::Sent { nonce, sent_micros: now_micros, pong_due };
        }
    }

    /// A pong; any other than ours is ignored (RFC 6455 §5.5.3).
    pub(super) fn pong(&mut self, payload: &[u8], now_micros: u32) {
        if let Ping::Sent { nonce, sent_micros, .. } = self.ping
            && payload == nonce.to_be_bytes()
        {
            self.ping = Ping::Answered;
            self.round_trip_micros = Some(now_micros.wrapping_sub(sent_micros).saturating_add(1))
                .and_then(|micros| micros.try_into().ok());
        }
    }

    /// The peer is there, but can not have answered yet: it reads what we write, or is inside a data frame.
    pub(super) fn excuse(&mut self, config: &Config, now_millis: u32) {
        if let Ping::Sent { pong_due, .. } = &mut self.ping {
            *pong_due = Deadline::after(now_millis, config.pong_within);
        }
    }

    /// Some bytes were taken. That says something of the peer only if they had to wait: what the system's buffer takes at
    /// once it takes of a peer that is gone, too, and pongs to one that pings on without an answer (catalogue: DS-24, FT-06).
    pub(super) fn excuse_if_waited(&mut self, config: &Config, now_millis: u32) {
        if self.stall_due < Deadline::after(now_millis, config.write_stall_after) {
            self.excuse(config, now_millis);
        }
    }

    /// Bytes are offered to the transport, or some were taken: from now on `write_stall_after` may pass.
    pub(super) fn write_goes_on(&mut self, config: &Config, now_millis: u32) {
        self.stall_due = Deadline::after(now_millis, config.write_stall_after);
    }

    pub(super) fn write_waits(&self) -> bool {
        self.stall_due != Deadline::NEVER
    }

    /// Everything is written.
    pub(super) fn write_done(&mut self) {
        self.stall_due = Deadline::NEVER;
    }

    /// Takes one of the peer's tokens for control frames; whether there was one.
    pub(super) fn admit_control(&mut self, config: &Config, now_millis: u32) -> bool {
        let elapsed = now_millis.saturating_sub(self.control_counted_millis);
        self.control_counted_millis = now_millis;
        // So many frames a second are as many thousandths a millisecond: nothing is rounded.
        let earned = elapsed.saturating_mul(config.control_frames_per_second.into());
        let burst = u32::from(config.control_frames_burst) * CONTROL_FRAME;
        self.control_tokens = self.control_tokens.saturating_add(earned).min(burst);
        let left = self.control_tokens.checked_sub(CONTROL_FRAME);
        self.control_tokens = left.unwrap_or(self.control_tokens);
        left.is_some()
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip_micros.map(|micros| Duration::from_micros(u64::from(micros.get()) - 1))
    }

    /// Nothing is asked of a connection that has ended but its last write.
    pub(super) fn stop(&mut self) {
        self.ping_due = Deadline::NEVER;
        self.ping = Ping::Answered;
    }

    /// We did not read for so long: the pong's time goes on from where it stood. If it began meanwhile, it begins now.
    pub(super) fn resume(&mut self, config: &Config, now_millis: u32, paused_millis: u32) {
        if let Ping::Sent { pong_due, .. } = &mut self.ping {
            let whole = Deadline::after(now_millis, config.pong_within);
            *pong_due = pong_due.later(paused_millis).min(whole);
        }
    }

    /// The clock's epoch has moved.
    pub(super) fn renew(&mut self, millis: u32) {
        self.ping_due = self.ping_due.earlier(millis);
        self.stall_due = self.stall_due.earlier(millis);
        self.control_counted_millis = self.control_counted_millis.saturating_sub(millis);
        if let Ping::Sent { pong_due, .. } = &mut self.ping {
            *pong_due = pong_due.earlier(millis);
        }
    }
}

/// What one control frame costs, in thousandths.
const CONTROL_FRAME: u32 = 1000;
