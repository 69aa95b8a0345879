//! A message on its way to a room: what it says, before it has its place.

use std::sync::Arc;

use bytes::Bytes;
use framecast::{
    Message,
    broadcast::{Member, Position, Publish, Publishing, TopicError, Topics},
};
use serde_json::value::RawValue;

use crate::{answer::Posted, session::Reply};

/// A message to publish. A [`Session`](crate::Session) hands one out for each that its client sends; a server makes others.
#[derive(Debug)]
pub struct Post {
    room: Box<str>,
    body: Body,
    key: Option<Bytes>,
    except: Option<Member>,
    reply: Reply,
}

#[derive(Debug)]
enum Body {
    Json {
        payload: Box<RawValue>,
        user_id: Option<Arc<str>>,
        client_id: Option<Arc<str>>,
        ts: u64,
    },
    /// Its room's name is in it already.
    Binary(Message),
}

impl Post {
    /// One of the server's own, at a time of Unix in milliseconds.
    pub fn new(room: impl Into<Box<str>>, payload: Box<RawValue>, unix_ms: u64) -> Self {
        Self::json(room, payload, None, None, unix_ms)
    }

    pub(crate) fn json(
        room: impl Into<Box<str>>,
        payload: Box<RawValue>,
        user_id: Option<Arc<str>>,
        client_id: Option<Arc<str>>,
        ts: u64,
    ) -> Self {
        let body = Body::Json { payload, user_id, client_id, ts };
        Self { room: room.into(), body, key: None, except: None, reply: Reply::NOBODY }
    }

    pub(crate) fn binary(room: impl Into<Box<str>>, message: Message) -> Self {
        let body = Body::Binary(message);
        Self { room: room.into(), body, key: None, except: None, reply: Reply::NOBODY }
    }

    /// What it tells of: a newer one of the same key takes its place where a subscriber conflates.
    pub fn key(mut self, key: Option<&str>) -> Self {
        self.key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
        self
    }

    pub(crate) fn except(mut self, member: Option<Member>) -> Self {
        self.except = member;
        self
    }

    pub(crate) fn reply(mut self, reply: Reply) -> Self {
        self.reply = reply;
        self
    }

    /// The room.
    pub fn room(&self) -> &str {
        &self.room
    }

    /// Who is to be told what became of it, and how: for [`Session::published`](crate::Session::published).
    pub fn take_reply(&mut self) -> Reply {
        std::mem::replace(&mut self.reply, Reply::NOBODY)
    }

    /// What subscribers are sent; without a place it is live only.
    pub fn message(&self, position: Option<Position>) -> Message {
        match &self.body {
            Body::Binary(message) => message.clone(),
            Body::Json { payload, user_id, client_id, ts } => Posted {
                room: &self.room,
                payload: payload.get(),
                user_id: user_id.as_deref(),
                client_id: client_id.as_deref(),
                position,
                ts: *ts,
            }
            .message(),
        }
    }

    /// What the rooms are given.
    pub(crate) fn to_publish(&self, position: Option<Position>) -> Publish {
        let mut publish = Publish::new(self.message(position));
        if let Some(key) = &self.key {
            publish = publish.key(key.clone());
        }
        if let Some(member) = &self.except {
            publish = publish.except(member);
        }
        publish
    }

    /// About as many as it takes while it waits.
    pub(crate) fn bytes(&self) -> usize {
        match &self.body {
            Body::Binary(Message::Text(text)) => text.len(),
            Body::Binary(Message::Binary(bytes)) => bytes.len(),
            Body::Json { payload, .. } => payload.get().len(),
        }
    }

    /// Publishes it to the subscribers of this process.
    ///
    /// # Errors
    /// As [`Topics::publish`].
    pub fn publish(&self, topics: &Topics) -> Result<Publishing, TopicError> {
        topics.publish_with(&self.room, |position| self.to_publish(Some(position)))
    }
}
