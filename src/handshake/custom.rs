//! Header fields that the application adds to a request, a 101 or a refusal, checked before anything is sent.
//!
//! What was checked cannot split a response (catalogue: V-52, V-53): neither a name nor a value can hold CR, LF or NUL.

use std::fmt;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Why a header that the application gave is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is not a token. RFC 9110 §5.1.
    InvalidName,
    /// The value holds CR, LF, NUL or another control byte. RFC 9110 §5.5.
    InvalidValue,
    /// The handshake writes this field itself, or a message without a body must not have it.
    Reserved(HeaderName),
    /// A request already has this field.
    Duplicate(HeaderName),
    /// More fields than anyone would read: 24 576 names.
    TooMany,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName => write!(f, "header name is not a token"),
            Self::InvalidValue => write!(f, "header value holds a control byte"),
            Self::Reserved(name) => write!(f, "header {name} is the handshake's own"),
            Self::Duplicate(name) => write!(f, "header {name} is given twice"),
            Self::TooMany => write!(f, "too many headers"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// Parses a name and a value as the application gave them; refuses what no application may set.
pub(super) fn custom(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), HeaderError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidName)?;
    if is_reserved(&name) {
        return Err(HeaderError::Reserved(name));
    }
    let value = HeaderValue::from_bytes(value).map_err(|_| HeaderError::InvalidValue)?;
    Ok((name, value))
}

/// Adds a field behind the others.
pub(super) fn append(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
) -> Result<(), HeaderError> {
    headers.try_append(name, value).map(|_| ()).map_err(|_| HeaderError::TooMany)
}

/// Writes one field line.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Writes all field lines of `headers`.
pub(super) fn write_fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        write_field(out, name.as_str(), value.as_bytes());
    }
}

/// Adds one field line that [`write_field`] could write to a head that somebody else will.
pub(super) fn add_field(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    let added = match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        (Ok(name), Ok(value)) => append(headers, name, value).is_ok(),
        _ => false,
    };
    debug_assert!(added, "{name} is ours, or was checked when it was given");
}

/// What decides about the upgrade or about where the message ends.
fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [HeaderName; 8] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    RESERVED.contains(name) || name.as_str().starts_with("sec-websocket-")
}
