//! One connection in one room: joins it, publishes there, and holds each delivery against what was sent and in what order.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Instant,
};

use framecast::{
    CloseCode, DeflateTerms,
    proto::{Connection, Event, Outgoing, Role},
};
use mio::net::TcpStream;

use super::dialect::{Dialect, Heard};
use crate::bench::client::{Tools, write_websocket};

/// Who is in which room, and how they are spoken to.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) dialect: Dialect,
    pub(super) connections: u32,
    pub(super) rooms: u32,
}

impl Shape {
    pub(super) fn room(self, connection: u32) -> u32 {
        connection % self.rooms
    }

    /// How many are in the room of a connection.
    pub(super) fn members(self, connection: u32) -> u32 {
        (self.connections - self.room(connection)).div_ceil(self.rooms)
    }

    pub(super) fn room_name(self, connection: u32) -> String {
        format!("room-{}", self.room(connection))
    }
}

pub(super) struct Member {
    socket: TcpStream,
    connection: Connection,
    number: u32,
    shape: Shape,
    room: Box<str>,
    joined: bool,
    /// Of a hub: the offset of the last message.
    offset: Option<u64>,
    /// Messages that it has published.
    published: u64,
    /// Messages that came from each member of the room, itself included.
    heard: Box<[u64]>,
}

impl Member {
    pub(super) fn new(
        socket: TcpStream,
        number: u32,
        shape: Shape,
        terms: Option<DeflateTerms>,
        tools: &Tools,
    ) -> Self {
        let config = Arc::clone(tools.config());
        let connection = Connection::new(config, Role::Client, Instant::now(), u64::from(number));
        Self {
            socket,
            connection: connection.with_deflate(terms),
            number,
            shape,
            room: shape.room_name(number).into(),
            joined: shape.dialect.joins_by_connecting(),
            offset: None,
            published: 0,
            heard: vec![0; shape.members(number) as usize].into(),
        }
    }

    pub(super) fn has_joined(&self) -> bool {
        self.joined
    }

    /// Whose messages come here, and how many of each have.
    pub(super) fn heard(&self) -> impl Iterator<Item = (u32, u64)> {
        let (room, rooms) = (self.shape.room(self.number), self.shape.rooms);
        self.heard.iter().enumerate().map(move |(seat, heard)| (room + seat as u32 * rooms, *heard))
    }

    /// Queues the next message and writes it.
    pub(super) fn publish(&mut self, now: Instant, tools: &mut Tools) -> Result<(), String> {
        let (mut payload, mut message) =
            (std::mem::take(&mut tools.payload), std::mem::take(&mut tools.message));
        tools.payloads.write(self.number, self.published, &mut payload);
        self.shape.dialect.publish(&self.room, &payload, &mut message);
        self.published += 1;
        let said = match std::str::from_utf8(&message) {
            Ok(text) => self.say(text, now, tools),
            Err(_) => Err(self.broke("a payload is no text")),
        };
        (tools.payload, tools.message) = (payload, message);
        said
    }

    fn say(&mut self, text: &str, now: Instant, tools: &mut Tools) -> Result<(), String> {
        if self.connection.send(Outgoing::Text(text), &mut tools.outbound).is_err() {
            return Err(self.broke("the server reads nothing, and no more fits into the queue"));
        }
        self.flush(now, tools)
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn flush(&mut self, now: Instant, tools: &mut Tools) -> Result<(), String> {
        match write_websocket(&mut self.socket, &mut self.connection, now, &mut tools.outbound) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(self.broke(&error.to_string())),
            _ => Ok(()),
        }
    }

    /// Reads what is there; `delivered` is told the sender of each message and its number there. `to_the_end`: the server
    /// may have closed.
    pub(super) fn read(
        &mut self,
        to_the_end: bool,
        tools: &mut Tools,
        delivered: &mut dyn FnMut(u32, u64),
    ) -> Result<(), String> {
        loop {
            match self.socket.read(&mut tools.buffer) {
                Ok(0) => return Err(self.broke("the server closed the connection")),
                Ok(read) => {
                    self.receive(0..read, tools, delivered)?;
                    // The kernel tells of what comes after a read that did not fill the buffer.
                    if read < tools.buffer.len() && !to_the_end {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.broke(&error.to_string())),
            }
        }
    }

    /// Looks at a part of the shared buffer.
    pub(super) fn receive(
        &mut self,
        read: std::ops::Range<usize>,
        tools: &mut Tools,
        delivered: &mut dyn FnMut(u32, u64),
    ) -> Result<(), String> {
        let now = Instant::now();
        let (mut answers, mut flush) = (Vec::new(), false);
        let received = self.take(read, now, tools, &mut |said| match said {
            Said::Delivered(sender, nth) => delivered(sender, nth),
            Said::Answer(answer) => answers.push(answer),
            Said::Pinged => flush = true,
        });
        received.map_err(|why| self.broke(&why))?;
        for answer in answers {
            self.say(&answer, now, tools)?;
        }
        if flush { self.flush(now, tools) } else { Ok(()) }
    }

    fn take(
        &mut self,
        read: std::ops::Range<usize>,
        now: Instant,
        tools: &mut Tools,
        said: &mut dyn FnMut(Said),
    ) -> Result<(), String> {
        let Self { connection, shape, room, number, joined, offset: last, heard, .. } = self;
        let Tools { buffer, payloads, inbound, .. } = tools;
        let mut input = &mut buffer[read];
        loop {
            let (rest, event) = connection.receive(now, input, inbound);
            input = rest;
            let text = match event {
                None => return Ok(()),
                Some(Event::Text(text)) => text,
                Some(Event::Ping(_)) => {
                    said(Said::Pinged);
                    continue;
                }
                Some(Event::Closed(cause)) => {
                    return Err(match cause.reason() {
                        "" => cause.to_string(),
                        reason => format!("{cause} ({reason})"),
                    });
                }
                Some(Event::Binary(_) | Event::Part { .. }) => return Err("came as binary".to_owned()),
                Some(_) => continue,
            };
            match shape.dialect.hear(text.as_str(), room, payloads.size())? {
                Heard::Other => {}
                Heard::Answer(answer) => said(Said::Answer(answer)),
                Heard::Joined { offset } => (*joined, *last) = (true, offset),
                Heard::Delivery { payload, offset } => {
                    if let (Some(last), Some(offset)) = (*last, offset)
                        && offset != last + 1
                    {
                        return Err(format!("offset {offset} came after {last}"));
                    }
                    *last = offset;
                    let (sender, stamp) = payloads.stamp(payload).ok_or("is not what was sent")?;
                    if sender >= shape.connections || shape.room(sender) != shape.room(*number) {
                        return Err(format!("is connection {sender}'s, which is not in this room"));
                    }
                    let heard = &mut heard[(sender / shape.rooms) as usize];
                    if !payloads.matches(sender, *heard, 0, payload) || payload.len() != payloads.size() {
                        return Err(what_is_wrong(sender, stamp, *heard));
                    }
                    said(Said::Delivered(sender, *heard));
                    *heard += 1;
                }
            }
        }
    }

    /// Says goodbye: a Close behind what is queued.
    pub(super) fn close(&mut self, now: Instant, tools: &mut Tools) {
        if self.connection.close(now, CloseCode::NORMAL, "").is_ok() {
            // Whether it arrives is nothing that was measured.
            let _ = self.flush(now, tools);
        }
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    fn broke(&self, why: &str) -> String {
        let heard: u64 = self.heard.iter().sum();
        format!("connection {}, delivery {heard}: {why}", self.number)
    }
}

enum Said {
    /// By whom, and the how manieth of it.
    Delivered(u32, u64),
    Answer(String),
    Pinged,
}

/// The stamp is the message's number as far as 24 bits tell it.
#[cold]
fn what_is_wrong(sender: u32, stamp: u64, wanted: u64) -> String {
    match wanted & 0xff_ffff {
        wanted if stamp != wanted => format!("is message {stamp} of connection {sender}, not {wanted}"),
        _ => format!("is not what connection {sender} sent as message {wanted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_round_the_rooms_and_everybody_is_counted_once() {
        for (connections, rooms) in [(10, 10), (10, 3), (7, 1), (10_000, 1000), (5, 4)] {
            let shape = Shape { dialect: Dialect::Plain, connections, rooms };
            for connection in 0..connections {
                let members = (0..connections).filter(|other| shape.room(*other) == shape.room(connection));
                assert_eq!(shape.members(connection) as usize, members.count(), "{connections} {rooms}");
            }
        }
    }
}
