//! What a message of the hub's own asks for: its fields, by its type.
//!
//! Strict where it matters and nowhere else: a field of a wrong type is an error, one that the type does not have is ignored.

use std::{borrow::Cow, time::Duration};

use framecast::broadcast::{ConflateBy, Named, OverflowPolicy, Position, Subscription};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    envelope::Envelope,
    fault::{Fault, close},
};

/// The types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ack,
    Auth,
    Direct,
    History,
    Message,
    Ping,
    Pong,
    Presence,
    Subscribe,
    Unsubscribe,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "ack" => Self::Ack,
            "auth" => Self::Auth,
            "direct" => Self::Direct,
            "history" => Self::History,
            "message" => Self::Message,
            "ping" => Self::Ping,
            "pong" => Self::Pong,
            "presence" => Self::Presence,
            "subscribe" => Self::Subscribe,
            "unsubscribe" => Self::Unsubscribe,
            _ => return None,
        })
    }
}

/// A part of a history: since when, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) since: Option<Position>,
    pub(crate) limit: usize,
}

#[derive(Deserialize)]
struct SinceField {
    epoch: u64,
    offset: u64,
}

impl<'t> Envelope<'t> {
    /// Its type; `None` for one that there is not.
    pub(crate) fn kind(&self) -> Result<Option<Kind>, Fault> {
        let kind = self.text("type", self.kind)?.ok_or_else(|| Fault::bad_request("`type` is missing"))?;
        Ok(Kind::of(&kind))
    }

    /// A room that can be published to.
    pub(crate) fn room(&self) -> Result<Cow<'t, str>, Fault> {
        let (room, named) = self.room_or_pattern()?;
        match named {
            Named::Topic => Ok(room),
            Named::Pattern => Err(Fault::bad_request("a wildcard is for subscribers only")),
        }
    }

    /// What can be subscribed to.
    pub(crate) fn room_or_pattern(&self) -> Result<(Cow<'t, str>, Named), Fault> {
        let room = self.text("room", self.room)?.ok_or_else(|| Fault::bad_request("`room` is missing"))?;
        let named = Named::of(&room)?;
        Ok((room, named))
    }

    pub(crate) fn payload(&self, bytes_max: usize) -> Result<&'t RawValue, Fault> {
        let payload = self.payload.ok_or_else(|| Fault::bad_request("`payload` is missing"))?;
        check_payload_len(payload.get().len(), bytes_max)?;
        Ok(payload)
    }

    /// The terms of a subscription.
    pub(crate) fn subscription(&self, named: Named) -> Result<Subscription, Fault> {
        let policy = self.text("policy", self.policy)?;
        let policy = match policy.as_deref() {
            None | Some("disconnect") => OverflowPolicy::Disconnect(close::TOO_SLOW),
            Some("drop_oldest") => OverflowPolicy::DropOldest,
            Some("drop_newest") => OverflowPolicy::DropNewest,
            Some("conflate") => OverflowPolicy::Conflate(ConflateBy::Key),
            Some(_) => {
                let known = "`policy` is none of disconnect, drop_oldest, drop_newest, conflate";
                return Err(Fault::bad_request(known));
            }
        };
        let mut subscription = Subscription::new().policy(policy);
        let presence = typed("presence", "a boolean", self.presence)?.unwrap_or(false);
        // Both have a meaning for rooms by name alone.
        let since = self.since()?;
        if named == Named::Topic {
            subscription = subscription.watch_presence(presence);
            if let Some(since) = since {
                subscription = subscription.since(since);
            }
        }
        if let Some(rate) = typed::<f64>("max_rate", "a number", self.max_rate)? {
            subscription = subscription.at_most_every(between(rate)?);
        }
        Ok(subscription)
    }

    pub(crate) fn span(&self, limit_max: usize) -> Result<Span, Fault> {
        let limit = typed::<u64>("limit", "a whole number", self.limit)?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(limit_max);
        Ok(Span { since: self.since()?, limit: limit.min(limit_max) })
    }

    pub(crate) fn echo(&self) -> Result<bool, Fault> {
        Ok(typed("echo", "a boolean", self.echo)?.unwrap_or(true))
    }

    pub(crate) fn receipt(&self) -> Result<bool, Fault> {
        Ok(typed("receipt", "a boolean", self.receipt)?.unwrap_or(false))
    }

    pub(crate) fn key(&self) -> Result<Option<Cow<'t, str>>, Fault> {
        let key = self.text("key", self.key)?;
        check_key(key.as_deref())?;
        Ok(key)
    }

    pub(crate) fn to(&self) -> Result<Cow<'t, str>, Fault> {
        self.text("to", self.to)?.ok_or_else(|| Fault::bad_request("`to` is missing"))
    }

    pub(crate) fn token(&self) -> Result<Cow<'t, str>, Fault> {
        self.text("token", self.token)?.ok_or_else(|| Fault::bad_request("`token` is missing"))
    }

    pub(crate) fn since(&self) -> Result<Option<Position>, Fault> {
        let since = typed::<SinceField>("since", "{epoch, offset}", self.since)?;
        Ok(since.map(|since| Position { epoch: since.epoch, offset: since.offset }))
    }

    pub(crate) fn text(
        &self,
        name: &'static str,
        raw: Option<&'t RawValue>,
    ) -> Result<Option<Cow<'t, str>>, Fault> {
        // What has no escapes is borrowed.
        Ok(typed::<Borrowable<'t>>(name, "a string", raw)?.map(|text| text.0))
    }
}

pub(crate) fn check_key(key: Option<&str>) -> Result<(), Fault> {
    match key.is_some_and(|key| key.len() > KEY_BYTES_MAX) {
        true => Err(Fault::bad_request(format!("`key` is longer than {KEY_BYTES_MAX} bytes"))),
        false => Ok(()),
    }
}

/// A payload that is larger would, with what is written around it, be above what many a client's library takes.
pub(crate) fn check_payload_len(bytes: usize, bytes_max: usize) -> Result<(), Fault> {
    match bytes > bytes_max {
        true => Err(Fault::new(
            crate::fault::ErrorCode::TooLarge,
            format!("a payload of {bytes} bytes is above {bytes_max}"),
        )),
        false => Ok(()),
    }
}

#[derive(Deserialize)]
struct Borrowable<'t>(#[serde(borrow)] Cow<'t, str>);

/// A field's value; `null` is none.
fn typed<'t, T: Deserialize<'t>>(
    name: &'static str,
    what: &'static str,
    raw: Option<&'t RawValue>,
) -> Result<Option<T>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|_| Fault::bad_request(format!("`{name}` is not {what}")))
}

/// The time between two messages of so many a second.
fn between(rate: f64) -> Result<Duration, Fault> {
    // A second's fraction is a rate too, but for those that no clock tells from never or always.
    if !(1e-6..=1e6).contains(&rate) {
        return Err(Fault::bad_request("`max_rate` is not above 0, or is beyond a million"));
    }
    Ok(Duration::from_secs_f64(rate.recip()))
}

const KEY_BYTES_MAX: usize = 255;
