//! `Sec-WebSocket-Extensions` (RFC 6455 §9.1), and the terms of the one that there is, permessage-deflate (RFC 7692 §5, §7.1).
//!
//! An offer that is well formed and unknown is passed over in silence, as §9.1 asks, and so is one of permessage-deflate that
//! cannot be met: the next may fit.

use std::fmt;

use http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};

use super::fields::{Cursor, EMPTY_ELEMENTS_MAX, LIST_NAMES_MAX, Malformed};
use super::response::ConnectError;
use crate::proto::{Deflate, DeflateTerms, WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// One extension the client would like, with its parameters in their order, repeated ones included.
///
/// ```
/// # use framecast::{handshake::{Endpoint, ServerHandshake}, proto::Config};
/// let head = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
///     Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; x=\"10\"\r\n\r\n";
/// let mut handshake = ServerHandshake::new(&Config::default(), Endpoint::new().into());
/// let (request, _) = handshake.receive(head)?.expect("the head is complete");
/// let offer = &request.extensions()[0];
/// assert_eq!(offer.name, "permessage-deflate");
/// assert_eq!(offer.params[0], ("client_max_window_bits".to_owned(), None));
/// assert_eq!(offer.params[1], ("x".to_owned(), Some("10".to_owned())));
/// # Ok::<(), framecast::handshake::HandshakeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The extension's token, as sent.
    pub name: String,
    /// Each parameter's name, and its value without quotes if it has one.
    pub params: Vec<(String, Option<String>)>,
}

/// All offers of a head, over all lines of the field, in order. No field: no offer.
///
/// White space is allowed around `;`, `,` and `=`, because RFC 6455 §9.1 is written in the grammar of RFC 2616 §2.1.
/// More than 8 empty elements or more than 128 names are malformed.
pub(super) fn offers(headers: &HeaderMap) -> Result<Vec<Offer>, Malformed> {
    let mut offers = Vec::new();
    let (mut empty, mut names) = (0, 0);
    for line in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let mut cursor = Cursor::new(line.as_bytes());
        loop {
            if matches!(cursor.peek(), None | Some(b',')) {
                empty += 1;
            } else {
                offers.push(offer(&mut cursor, &mut names)?);
            }
            if empty > EMPTY_ELEMENTS_MAX {
                return Err(Malformed);
            }
            if !cursor.take(b',') {
                break;
            }
        }
        if cursor.peek().is_some() {
            return Err(Malformed);
        }
    }
    if offers.is_empty() && empty > 0 { Err(Malformed) } else { Ok(offers) }
}

fn offer(cursor: &mut Cursor<'_>, names: &mut usize) -> Result<Offer, Malformed> {
    let mut offer = Offer { name: counted(cursor, names)?, params: Vec::new() };
    while cursor.take(b';') {
        let name = counted(cursor, names)?;
        let value = if cursor.take(b'=') { Some(cursor.token_or_quoted()?) } else { None };
        offer.params.push((name, value));
    }
    Ok(offer)
}

fn counted(cursor: &mut Cursor<'_>, names: &mut usize) -> Result<String, Malformed> {
    *names += 1;
    if *names > LIST_NAMES_MAX { Err(Malformed) } else { cursor.token().map(str::to_owned) }
}

/// A server's choice: the terms of the first offer that can be met, and what the 101 says of them.
pub(super) fn choose(offers: &[Offer], ours: &Deflate) -> Option<(DeflateTerms, String)> {
    offers.iter().take(OFFERS_MAX).filter(|offer| offer.name == NAME).find_map(|offer| meet(offer, ours))
}

fn meet(offer: &Offer, ours: &Deflate) -> Option<(DeflateTerms, String)> {
    let asked = Params::parse(&offer.params)?;
    let terms = DeflateTerms {
        server_no_context_takeover: asked.server_no_context_takeover || ours.terms.server_no_context_takeover,
        client_no_context_takeover: asked.client_no_context_takeover || ours.terms.client_no_context_takeover,
        server_max_window_bits: asked
            .server_bits
            .unwrap_or(WINDOW_BITS_MAX)
            .min(ours.terms.server_max_window_bits),
        // Only a client that says so can be asked for less (RFC 7692 §7.1.2.2).
        client_max_window_bits: match asked.client_bits {
            Some(bits) => bits.unwrap_or(WINDOW_BITS_MAX).min(ours.terms.client_max_window_bits),
            None => WINDOW_BITS_MAX,
        },
    };
    if terms.server_max_window_bits.min(terms.client_max_window_bits) < WINDOW_BITS_MIN {
        return None;
    }
    let answer = Params {
        server_no_context_takeover: terms.server_no_context_takeover,
        client_no_context_takeover: terms.client_no_context_takeover,
        server_bits: asked.server_bits.map(|_| terms.server_max_window_bits),
        client_bits: (terms.client_max_window_bits < WINDOW_BITS_MAX)
            .then_some(Some(terms.client_max_window_bits)),
    };
    Some((terms, answer.to_string()))
}

/// A client's offers, the preferred one first.
pub(super) fn offer_of(ours: &Deflate) -> String {
    let bits = |bits| (bits < WINDOW_BITS_MAX).then_some(bits);
    let first = Params {
        server_no_context_takeover: ours.terms.server_no_context_takeover,
        client_no_context_takeover: ours.terms.client_no_context_takeover,
        server_bits: bits(ours.terms.server_max_window_bits),
        client_bits: Some(bits(ours.terms.client_max_window_bits)),
    };
    let any = Params { client_bits: Some(None), ..Params::default() };
    if ours.fallback && first != any { format!("{first}, {any}") } else { first.to_string() }
}

/// The terms that a server chose, held against what was offered (RFC 7692 §5.1, §7.1).
pub(super) fn chosen(
    headers: &HeaderMap,
    ours: Option<&Deflate>,
) -> Result<Option<DeflateTerms>, ConnectError> {
    let answers = offers(headers).map_err(|_| ConnectError::Extension)?;
    let Some(first) = answers.first() else { return Ok(None) };
    let Some(ours) = ours.filter(|_| answers.iter().all(|answer| answer.name == NAME)) else {
        return Err(ConnectError::Extension);
    };
    let said = if answers.len() == 1 { Params::parse(&first.params) } else { None };
    let said = said.ok_or(ConnectError::DeflateTerms)?;
    let server_bits = said.server_bits.unwrap_or(WINDOW_BITS_MAX);
    let client_bits = match said.client_bits {
        Some(Some(bits)) => bits,
        Some(None) => return Err(ConnectError::DeflateTerms),
        None => WINDOW_BITS_MAX,
    };
    // What was asked of the server must be answered. What we said of ourselves is a hint that it may leave aside
    // (§7.1.2.2): a larger window than ours is agreed on then, and we use ours all the same (§7.2.1).
    let meets_first = (said.server_no_context_takeover || !ours.terms.server_no_context_takeover)
        && server_bits <= ours.terms.server_max_window_bits;
    if !meets_first && !ours.fallback {
        return Err(ConnectError::DeflateTerms);
    }
    Ok(Some(DeflateTerms {
        server_no_context_takeover: said.server_no_context_takeover,
        client_no_context_takeover: said.client_no_context_takeover || ours.terms.client_no_context_takeover,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits.min(ours.terms.client_max_window_bits),
    }))
}

/// permessage-deflate's parameters, each at most once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_bits: Option<u8>,
    /// Some(None): without a value, as only an offer may.
    client_bits: Option<Option<u8>>,
}

impl Params {
    /// `None`: one that is not known, is repeated, or has a value that it must not have (RFC 7692 §7.1).
    fn parse(params: &[(String, Option<String>)]) -> Option<Self> {
        let mut parsed = Self::default();
        for (name, value) in params {
            let value = value.as_deref();
            let is_new = match (name.as_str(), value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut parsed.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut parsed.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    parsed.server_bits.replace(window_bits(value)?).is_none()
                }
                ("client_max_window_bits", value) => {
                    let bits = match value {
                        Some(value) => Some(window_bits(value)?),
                        None => None,
                    };
                    parsed.client_bits.replace(bits).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(parsed)
    }
}

/// 8 to 15, without sign or leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] | [b'1', digit @ b'0'..=b'5'] => {
            Some(digit - b'0' + if value.len() == 2 { 10 } else { 0 })
        }
        _ => None,
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}")?;
        if self.server_no_context_takeover {
            write!(f, "; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            write!(f, "; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_bits {
            Some(Some(bits)) => write!(f, "; client_max_window_bits={bits}"),
            Some(None) => write!(f, "; client_max_window_bits"),
            None => Ok(()),
        }
    }
}

const NAME: &str = "permessage-deflate";
/// Offers that are looked at: nobody has use for more.
const OFFERS_MAX: usize = 16;
