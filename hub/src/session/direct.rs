//! Messages to users: to every connection of one, with receipts for who wants them; and what comes twice.

use std::sync::{MutexGuard, PoisonError};

use framecast::proto::PreparedMessage;

use super::{Action, Open, Session};
use crate::{
    answer,
    counters::one_more,
    dedupe::{Digest, Outcome, Seen},
    envelope::Envelope,
    fault::{ErrorCode, Fault},
    hooks::Incoming,
    id::Id,
    receipts::{self, Pending},
};

impl Session {
    pub(super) fn direct(
        &mut self,
        envelope: &Envelope<'_>,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        let open = self.known()?;
        let (to, wants_receipt) = (envelope.to()?, envelope.receipt()?);
        let payload = envelope.payload(self.core.limits.payload_bytes_max)?;
        if wants_receipt && id.is_none() {
            return Err(Fault::bad_request("a receipt needs an `id`"));
        }
        let digest = match id.map(|id| self.begin(open, id)).transpose() {
            Ok(digest) => digest,
            Err(outcome) => return id.map_or(Ok(()), |id| self.ack_again(id, outcome, out)),
        };
        // Asked once about what is sent once.
        if let Err(fault) = self.permits(&Incoming::Direct { to: &to, payload }) {
            digest.into_iter().for_each(|digest| self.seen(open).forget(digest));
            return Err(fault);
        }
        let (number, name) = self.core.receipts.name();
        let now = self.core.clock.now();
        let message =
            answer::direct(&name, open.context.user_id(), payload.get(), wants_receipt, now.unix_ms);
        let message = PreparedMessage::new(message);
        let connections = self.core.clients.of_user(&to);
        let recipients = connections.len() as u32;
        let waits = wants_receipt && !connections.is_empty();
        let bytes = if waits { receipts::bytes_of(&message, &connections) } else { 0 };
        let Some(bytes) = self.core.receipts.wait(bytes) else {
            digest.into_iter().for_each(|digest| self.seen(open).forget(digest));
            return Err(Fault::new(ErrorCode::Unavailable, "too much waits for receipts"));
        };
        if let (Some(id), Some(digest)) = (id, digest) {
            self.seen(open).settle(digest, Outcome::Sent(recipients));
            // By the line, as the receipt may come at once.
            self.connection.send(&answer::ack_of_direct(id, recipients).into());
        }
        if let Some(id) = id.filter(|_| wants_receipt) {
            if connections.is_empty() {
                self.core.counters.receipt(0, 0);
                out.push(Action::Send(answer::receipt(id, 0, 0)));
            } else {
                let pending = Pending {
                    sender: self.connection.clone(),
                    id: id.clone(),
                    message: message.clone(),
                    waiting: connections.clone(),
                    of: recipients,
                    resends_left: self.core.limits.receipt_resends,
                    _bytes: bytes,
                };
                self.core.receipts.expect(number, pending);
                self.receipts.push_back((now.instant + self.core.limits.receipt_after, number));
            }
        }
        self.core.send_direct(&connections, &message);
        Ok(())
    }

    /// `ack`: by the hub's own id.
    pub(super) fn acknowledge(&self, envelope: &Envelope<'_>) -> Result<(), Fault> {
        self.known()?;
        let id = envelope.text("id", envelope.id)?.ok_or_else(|| Fault::bad_request("`id` is missing"))?;
        if let Some(of) = self.core.receipts.acknowledge(&id, &self.connection) {
            self.core.counters.receipt(of, of);
        }
        Ok(())
    }

    /// A message by an id: what came of it before, if it is not new.
    pub(super) fn begin(&self, open: &Open, id: &Id) -> Result<Digest, Outcome> {
        let limits = &self.core.limits;
        let now = self.core.clock.now().instant;
        self.core.clients.make_room_for_ids(now, limits);
        let mut seen = self.seen(open);
        let digest = seen.digest(id);
        match seen.begin(now, digest, limits) {
            None => Ok(digest),
            Some(outcome) => Err(outcome),
        }
    }

    /// It was sent before: nothing is delivered, and it is acknowledged as it was.
    pub(super) fn ack_again(&self, id: &Id, outcome: Outcome, out: &mut Vec<Action>) -> Result<(), Fault> {
        let ack = match outcome {
            Outcome::Published(offset) => answer::ack_of_message(id, offset),
            Outcome::Sent(recipients) => answer::ack_of_direct(id, recipients),
            Outcome::Pending => {
                return Err(Fault::new(
                    ErrorCode::Unavailable,
                    "this message is on its way: ask again later",
                ));
            }
        };
        one_more(&self.core.counters.duplicates);
        out.push(Action::Send(ack));
        Ok(())
    }

    pub(super) fn seen<'o>(&self, open: &'o Open) -> MutexGuard<'o, Seen> {
        open.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
