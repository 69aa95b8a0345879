//! How a connection ends: control frames that end it, rules that were broken, time that ran out (RFC 6455 §5.5, §7.1).

use std::time::Instant;

use super::Connection;
use crate::proto::{
    close::{CloseFrame, truncate_reason},
    closing::{Cause, Closing, Then},
    error::{Limit, LimitError, ProtocolError},
    frame::{OpCode, Role},
    message::{Control, Event},
    time::Deadline,
};

/// How it ends.
impl Connection {
    pub(super) fn receive_control(
        &mut self,
        now: Instant,
        opcode: OpCode,
        payload: Control,
    ) -> Event<'static> {
        if opcode == OpCode::Close {
            return Event::Closed(self.receive_close(now, &payload));
        }
        if !self.keepalive.admit_control(&self.config, self.clock.millis(now)) {
            let value = self.config.control_frames_per_second.into();
            let error = ProtocolError::Limit(LimitError { limit: Limit::ControlFrames, value });
            return Event::Closed(self.fail(now, error));
        }
        if opcode == OpCode::Pong {
            self.keepalive.pong(&payload, self.clock.micros(now));
            return Event::Pong(payload);
        }
        if matches!(self.closing, Closing::Open) {
            let pending_max = self.config.pongs_pending_max;
            self.outbox().push_pong(payload, pending_max);
        }
        Event::Ping(payload)
    }

    pub(super) fn receive_close(&mut self, now: Instant, payload: &[u8]) -> Cause {
        let frame = match CloseFrame::parse(payload) {
            Ok(frame) => frame,
            Err(error) => return self.fail(now, error),
        };
        self.close_was_received = true;
        let then = if self.role == Role::Server { Then::Shutdown } else { Then::AwaitEof };
        match self.end(now, then) {
            Some(sent) => Cause::Local { sent: *sent, answer: frame },
            None => {
                // The code is echoed, the reason is not: what the peer said is no news to it (RFC 6455 §5.5.1).
                let echo = frame.as_ref().map(|frame| CloseFrame { code: frame.code, reason: "".into() });
                self.outbox().push_close(echo.as_ref());
                Cause::Peer(frame)
            }
        }
    }

    /// The end came with input, and our Close is not written yet.
    pub(super) fn may_answer(&self) -> bool {
        matches!(self.closing, Closing::Flushing { .. })
            && self.outbox.as_ref().is_some_and(|outbox| outbox.close_waits())
    }

    /// Fails the connection (RFC 6455 §7.1.7): a Close behind what is queued, unless one is; then nothing more is read.
    pub(super) fn fail(&mut self, now: Instant, error: ProtocolError) -> Cause {
        if self.end(now, Then::Shutdown).is_none() {
            let reason = truncate_reason(&error.to_string()).into();
            self.outbox().push_close(Some(&CloseFrame { code: error.close_code(), reason }));
        }
        Cause::Protocol(error)
    }

    pub(super) fn fail_by_time(&mut self, now: Instant, limit: LimitError) {
        if matches!(self.closing, Closing::Open | Closing::Awaiting { .. }) {
            let cause = self.fail(now, ProtocolError::Limit(limit));
            self.kept.ended(cause);
        }
    }

    /// The end is known: what is queued leaves, within the closing handshake's time. Returns our Close, if one is out.
    pub(super) fn end(&mut self, now: Instant, then: Then) -> Option<Box<CloseFrame>> {
        self.receiver.stop();
        self.keepalive.stop();
        let deadline = Deadline::after(self.clock.millis(now), self.config.close_within);
        match std::mem::replace(&mut self.closing, Closing::Flushing { deadline, then }) {
            Closing::Awaiting { deadline, sent } => {
                self.closing = Closing::Flushing { deadline, then };
                Some(sent)
            }
            _ => None,
        }
    }

    /// Everything that was queued is with the transport, our Close too if there is one.
    pub(super) fn flushed(&mut self, now: Instant) {
        self.close_was_flushed = true;
        if let Closing::Flushing { deadline, then } = self.closing {
            match then {
                Then::Shutdown => self.closing = Closing::Shutting { deadline },
                Then::AwaitEof => self.linger(now),
                Then::Drop => self.closing = Closing::Done { abort: false },
            }
        }
    }

    pub(super) fn linger(&mut self, now: Instant) {
        let deadline = Deadline::after(self.clock.millis(now), self.config.linger_within);
        self.closing = Closing::Lingering { deadline };
    }

    /// Ends at once; what is queued is lost.
    pub(super) fn cut(&mut self) {
        self.receiver.stop();
        self.keepalive.stop();
        self.keepalive.write_done();
        self.closing = Closing::Done { abort: true };
    }

    /// Counts input that comes once our Close is out.
    pub(super) fn discard(&mut self, bytes: usize) {
        self.discarded = self.discarded.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}
