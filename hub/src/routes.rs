//! Paths that subscribe: `/ws/chat/{room}` to `chat:{room}`.

use std::{error::Error, fmt};

use framecast::broadcast::Named;

/// A path and the room that who connects by it is subscribed to.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    segments: Vec<Segment>,
    room: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(String),
    Capture(String),
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    /// The capture's place among the segments.
    Capture(usize),
}

/// A route that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// The path does not begin with `/`, or has braces in the middle of a segment.
    Path(String),
    /// The room names something that is not in the path, or has a brace too few.
    Room(String),
}

impl Route {
    pub(crate) fn new(path: &str, room: &str) -> Result<Self, RouteError> {
        let bad_path = || RouteError::Path(path.to_owned());
        let segments = path.strip_prefix('/').ok_or_else(bad_path)?.split('/').map(|segment| {
            let capture = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match capture {
                Some(name) if !name.is_empty() && !name.contains(['{', '}']) => {
                    Ok(Segment::Capture(name.to_owned()))
                }
                None if !segment.contains(['{', '}']) => Ok(Segment::Literal(segment.to_owned())),
                _ => Err(bad_path()),
            }
        });
        let segments: Vec<_> = segments.collect::<Result<_, _>>()?;
        let room = pieces(room, &segments).ok_or_else(|| RouteError::Room(room.to_owned()))?;
        Ok(Self { segments, room })
    }

    /// The room of a path, if it is one of these. A wildcard is nobody's to bring in by a path.
    pub(crate) fn room(&self, path: &str) -> Option<String> {
        let path: Vec<_> = path.strip_prefix('/')?.split('/').map(decode).collect::<Option<_>>()?;
        let fits = |(segment, given): (&Segment, &String)| match segment {
            Segment::Literal(literal) => literal == given,
            Segment::Capture(_) => !given.is_empty(),
        };
        if path.len() != self.segments.len() || !self.segments.iter().zip(&path).all(fits) {
            return None;
        }
        let piece = |piece: &Piece| match piece {
            Piece::Literal(literal) => literal.clone(),
            Piece::Capture(at) => path.get(*at).cloned().unwrap_or_default(),
        };
        let room: String = self.room.iter().map(piece).collect();
        (Named::of(&room) == Ok(Named::Topic)).then_some(room)
    }
}

fn pieces(mut room: &str, segments: &[Segment]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    while let Some((literal, rest)) = room.split_once('{') {
        let (name, rest) = rest.split_once('}')?;
        let is_it = |segment: &Segment| matches!(segment, Segment::Capture(of) if of == name);
        pieces.extend([Piece::Literal(literal.to_owned()), Piece::Capture(segments.iter().position(is_it)?)]);
        room = rest;
    }
    pieces.push(Piece::Literal(room.to_owned()));
    (!room.contains('}')).then_some(pieces)
}

/// RFC 3986 §2.1.
pub(crate) fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        match byte {
            b'%' => {
                let (digits, more) = rest.split_first_chunk::<2>()?;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
                rest = more;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{path:?} is no path of a route"),
            Self::Room(room) => write!(f, "{room:?} is no room of its route"),
        }
    }
}

impl Error for RouteError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_room() {
        let route = Route::new("/ws/chat/{room}", "chat:{room}").expect("it is a route");
        for (path, room) in [
            ("/ws/chat/tea", Some("chat:tea")),
            ("/ws/chat/a%20b%C3%A9", Some("chat:a bé")),
            ("/ws/chat/match:42", Some("chat:match:42")),
            ("/ws/chat/*", None),
            ("/ws/chat/%3E", None),
            ("/ws/chat/%00", None),
            ("/ws/chat/%ff", None),
            ("/ws/chat/%4", None),
            ("/ws/chat/", None),
            ("/ws/chat", None),
            ("/ws/chat/a/b", None),
            ("/ws/chit/a", None),
        ] {
            assert_eq!(route.room(path).as_deref(), room, "{path}");
        }
        let two = Route::new("/{a}/{b}", "{b}:{a}").expect("it is a route");
        assert_eq!(two.room("/x/y").as_deref(), Some("y:x"));
    }

    #[test]
    fn what_is_no_route_is_refused() {
        for (path, room) in
            [("ws", "a"), ("/{}", "a"), ("/a{b}", "a"), ("/{a}", "{b}"), ("/{a}", "{a"), ("/a", "a}")]
        {
            assert!(Route::new(path, room).is_err(), "{path} {room}");
        }
    }
}
