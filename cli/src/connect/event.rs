//! What happens to a connection, and how it is printed: for people, for pipes, as JSON.

use std::{io, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use framecast::Message;
use serde::Serialize;

use crate::show;

#[derive(Debug)]
pub(super) enum Event {
    Open {
        subprotocol: Option<Box<str>>,
        /// Compression was agreed on.
        compressed: bool,
    },
    Message(Message),
    Pong {
        payload: Vec<u8>,
        took: Duration,
    },
    Close {
        code: u16,
        reason: Box<str>,
        clean: bool,
    },
    Error {
        message: String,
        status: Option<u16>,
    },
    /// For whoever sits there; no event of the connection's.
    Notice(String),
}

/// An event, as `--json` has it.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Json<'e> {
    Open {
        subprotocol: Option<&'e str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        compressed: bool,
    },
    Message {
        r#type: &'static str,
        data: &'e str,
    },
    Pong {
        payload: &'e str,
        round_trip_ms: f64,
    },
    Close {
        code: u16,
        reason: &'e str,
        clean: bool,
    },
    Error {
        message: &'e str,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
}

impl Event {
    /// A line of JSON with its line feed; `None`: not for a program.
    pub(super) fn json(&self) -> Option<io::Result<String>> {
        let (text, data);
        let json = match self {
            Self::Open { subprotocol, compressed } => {
                Json::Open { subprotocol: subprotocol.as_deref(), compressed: *compressed }
            }
            Self::Message(Message::Text(text)) => Json::Message { r#type: "text", data: text },
            Self::Message(Message::Binary(bytes)) => {
                data = STANDARD.encode(bytes);
                Json::Message { r#type: "binary", data: &data }
            }
            Self::Pong { payload, took } => {
                text = String::from_utf8_lossy(payload);
                Json::Pong { payload: &text, round_trip_ms: milliseconds(*took) }
            }
            Self::Close { code, reason, clean } => Json::Close { code: *code, reason, clean: *clean },
            Self::Error { message, status } => Json::Error { message, status: *status },
            Self::Notice(_) => return None,
        };
        Some(serde_json::to_string(&json).map(|line| line + "\n").map_err(io::Error::from))
    }

    /// What a person at a terminal reads, with its line feed. The end, and errors that end it, come on stderr instead.
    pub(super) fn for_people(&self) -> Option<String> {
        match self {
            Self::Message(Message::Text(text)) => Some(format!("< {}\n", show::text(text))),
            Self::Message(Message::Binary(bytes)) => Some(format!("< {}\n", show::binary(bytes))),
            _ => None,
        }
    }

    /// What is said besides, on stderr where stdout is a pipe.
    pub(super) fn remark(&self) -> Option<String> {
        match self {
            Self::Pong { payload, took } => {
                let payload = show::short_line(&String::from_utf8_lossy(payload));
                let colon = if payload.is_empty() { "" } else { ": " };
                Some(format!("pong after {} ms{colon}{payload}", milliseconds(*took)))
            }
            Self::Open { subprotocol: Some(subprotocol), .. } => Some(format!("subprotocol {subprotocol}")),
            Self::Notice(text) => Some(text.clone()),
            _ => None,
        }
    }
}

/// To the microsecond.
fn milliseconds(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}
