//! Offers in `Sec-WebSocket-Extensions` (RFC 6455 §9.1), parsed and kept for whoever negotiates.
//!
//! Nothing is negotiated here: an offer that is well formed and unknown is passed over in silence, as §9.1 asks.

use http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};

use super::fields::{Cursor, EMPTY_ELEMENTS_MAX, LIST_NAMES_MAX, Malformed};

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
