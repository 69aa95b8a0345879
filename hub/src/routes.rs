//! Paths that subscribe: `/ws/chat/{room}` to `chat:{room}`.

use std::{error::Error, fmt};

use framecast::broadcast::Named;

/// A path and the room that who connects by it is subscribed to.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    segments: Vec<Segment>,
    room: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The path is one that the [`Server`](crate::Server) answers by itself: nobody would ever connect by it.
    Taken(String),
    /// Two segments of the path have the same name.
    Repeated(String),
    /// The room names something that is not in the path, or has a brace too few.
    Room(String),
    /// The room is a wildcard, or no room's name, whatever the path has in its place.
    Never(String),
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
        if SERVERS_OWN.iter().any(|own| covers(own, &segments)) {
            return Err(RouteError::Taken(path.to_owned()));
        }
        let is_again = |(at, segment): (usize, &Segment)| {
            matches!(segment, Segment::Capture(_)) && segments[..at].contains(segment)
        };
        if segments.iter().enumerate().any(is_again) {
            return Err(RouteError::Repeated(path.to_owned()));
        }
        let pieces = pieces(room, &segments).ok_or_else(|| RouteError::Room(room.to_owned()))?;
        // A byte is the least that a path has for a capture, and an `x` is right wherever anything is.
        let least = pieces.iter().map(|piece| match piece {
            Piece::Literal(literal) => literal,
            Piece::Capture(_) => "x",
        });
        match Named::of(&least.collect::<String>()) {
            Ok(Named::Topic) => Ok(Self { segments, room: pieces }),
            _ => Err(RouteError::Never(room.to_owned())),
        }
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

/// Whether whatever path fits these segments is `own`, where `*` is any segment.
fn covers(own: &str, segments: &[Segment]) -> bool {
    let own: Vec<_> = own.split('/').skip(1).collect();
    let is_own = |(own, segment): (&&str, &Segment)| match segment {
        Segment::Literal(literal) if *own == "*" => !literal.is_empty(),
        Segment::Literal(literal) => literal == own,
        Segment::Capture(_) => *own == "*",
    };
    own.len() == segments.len() && own.iter().zip(segments).all(is_own)
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
            Self::Taken(path) => write!(f, "{path:?} is a path that the server itself answers"),
            Self::Repeated(path) => write!(f, "{path:?} has the same name twice"),
            Self::Room(room) => write!(f, "{room:?} is no room of its route"),
            Self::Never(room) => write!(f, "{room:?} is a wildcard, or no name of a room"),
        }
    }
}

impl Error for RouteError {}

/// What [`Server::router`](crate::Server::router) answers before it asks for a route. Not
/// `/ws`: who connects by that one may have a room too.
const SERVERS_OWN: [&str; 16] = [
    "/",
    "/health",
    "/ready",
    "/metrics",
    "/rooms",
    "/stats",
    "/broadcast",
    "/broadcast/*",
    "/users/*",
    "/users/*/messages",
    "/framecast.js",
    "/page/style.css",
    "/page/app.js",
    "/page/log.js",
    "/page/plot.js",
    "/page/icon.svg",
];

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

    #[test]
    fn what_can_never_be_of_use_is_refused() {
        let taken = [
            ("/", "a"),
            ("/health", "a"),
            ("/broadcast/tea", "a"),
            ("/broadcast/{room}", "{room}"),
            ("/users/{user}", "{user}"),
            ("/users/{user}/messages", "{user}"),
            ("/framecast.js", "a"),
        ];
        for (path, room) in taken {
            assert_eq!(Route::new(path, room).err(), Some(RouteError::Taken(path.to_owned())), "{path}");
        }
        let twice = Route::new("/ws/{a}/{b}/{a}", "{b}");
        assert_eq!(twice.err(), Some(RouteError::Repeated("/ws/{a}/{b}/{a}".to_owned())));
        let long = "x".repeat(255) + "{a}";
        for room in ["", "*", "a:*", "{a}:>", ">", "a\n", &long] {
            let error = Route::new("/ws/{a}", room).err();
            assert_eq!(error, Some(RouteError::Never(room.to_owned())), "{room:?}");
        }
    }

    /// Some of what it fits is.
    #[test]
    fn what_is_of_use_for_other_paths_is_a_route() {
        for path in
            ["/ws", "/ws/{a}", "/{a}", "/{a}/tea", "/{a}/{b}", "/health/", "/users", "/users/{a}/news"]
        {
            assert!(Route::new(path, "news").is_ok(), "{path}");
        }
    }
}
