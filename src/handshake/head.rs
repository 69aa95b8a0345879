//! An HTTP/1.1 head: bytes collected until it is complete, then cut into tokens, once.
//!
//! [`Scanner`] has by then judged every byte; httparse only cuts. The finished head is one allocation, and the values
//! in its [`HeaderMap`] are slices of it. A head that another HTTP server has cut comes in here too, and is judged as far as it
//! still can be.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, request::Parts};

use super::fields::trim_ows;
use super::scan::{HeadError, HeadLimits, Kind, Scanner, is_target_byte};

/// Collects one head. Holds the bytes received, never more than `head_bytes_max`.
#[derive(Debug)]
pub(super) struct HeadBuffer {
    scanner: Scanner,
    bytes: Vec<u8>,
}

/// A request's head, cut; nothing in it has been given a meaning.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

impl RequestHead {
    /// What another HTTP server has cut: its version, its target and the limits are judged here.
    pub(super) fn of_parts(parts: &Parts, limits: HeadLimits) -> Result<Self, HeadError> {
        if parts.version != Version::HTTP_11 {
            return Err(HeadError::Version);
        }
        let (method, target) = (parts.method.clone(), parts.uri.to_string());
        if let Some(byte) = target.bytes().find(|byte| !is_target_byte(*byte)) {
            return Err(HeadError::TargetByte(byte));
        }
        limits.check(method.as_str().len() + target.len() + "  HTTP/1.1".len(), &parts.headers)?;
        Ok(Self { method, target, headers: parts.headers.clone() })
    }
}

/// A response's head, cut.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: StatusCode,
    /// The last digit of the version: 0 or 1.
    pub(super) version_minor: u8,
    pub(super) headers: HeaderMap,
}

impl HeadBuffer {
    pub(super) fn new(kind: Kind, limits: HeadLimits) -> Self {
        Self { scanner: Scanner::new(kind, limits), bytes: Vec::new() }
    }

    /// Whether not one byte has come.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes `input`; returns how many of its bytes belong to the head when it is complete.
    ///
    /// Bytes are looked at before they are kept, so that what breaks a limit costs no memory.
    pub(super) fn receive(&mut self, input: &[u8]) -> Result<Option<usize>, HeadError> {
        let end = self.scanner.scan(input)?;
        self.bytes.extend_from_slice(&input[..end.unwrap_or(input.len())]);
        Ok(end)
    }

    /// Cuts a complete request head.
    pub(super) fn into_request(self) -> Result<RequestHead, HeadError> {
        let headers_max = self.scanner.fields();
        let bytes = Bytes::from(self.bytes);
        let mut fields = vec![httparse::EMPTY_HEADER; headers_max];
        let mut parsed = httparse::Request::new(&mut fields);
        parsed.parse(&bytes).map_err(|_| HeadError::FirstLine)?;
        let method = parsed.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        Ok(RequestHead {
            method: method.ok_or(HeadError::FirstLine)?,
            target: parsed.path.ok_or(HeadError::FirstLine)?.to_owned(),
            headers: header_map(&bytes, parsed.headers)?,
        })
    }

    /// Cuts a complete response head.
    pub(super) fn into_response(self) -> Result<ResponseHead, HeadError> {
        let headers_max = self.scanner.fields();
        let bytes = Bytes::from(self.bytes);
        let mut fields = vec![httparse::EMPTY_HEADER; headers_max];
        let mut parsed = httparse::Response::new(&mut fields);
        parsed.parse(&bytes).map_err(|_| HeadError::FirstLine)?;
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
        Ok(ResponseHead {
            status: status.ok_or(HeadError::FirstLine)?,
            version_minor: parsed.version.ok_or(HeadError::FirstLine)?,
            headers: header_map(&bytes, parsed.headers)?,
        })
    }
}

/// Every field line, repeated names and all, in order.
fn header_map(bytes: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadError> {
    let mut headers = HeaderMap::with_capacity(fields.len().min(128));
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadError::FieldName)?;
        // An empty value may point anywhere, and then there is nothing to share.
        let value = trim_ows(field.value);
        let value = if value.is_empty() { Bytes::new() } else { bytes.slice_ref(value) };
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| HeadError::ValueByte(0))?;
        // `HeaderMap` has a limit of its own, 24 576 names, which a `headers_max` without limit would reach.
        headers.try_append(name, value).map_err(|_| HeadError::Headers { max: headers.len() })?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(kind: Kind) -> HeadBuffer {
        HeadBuffer::new(
            kind,
            HeadLimits { head_bytes_max: 1000, request_line_bytes_max: 100, headers_max: 3 },
        )
    }

    #[test]
    fn a_head_is_cut_into_its_tokens() {
        let mut head = buffer(Kind::Request);
        assert!(head.is_empty());
        assert_eq!(head.receive(b"\r\nGET /a?b HTTP/1.1\r\nA: \t1 \r\nB:\r\n"), Ok(None));
        assert_eq!(head.receive(b"a:2\r\n\r\nrest"), Ok(Some(7)));
        let head = head.into_request().expect("the head is sound");
        assert_eq!((head.method, head.target.as_str()), (Method::GET, "/a?b"));
        assert_eq!(head.headers.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(head.headers["b"], "");
    }

    #[test]
    fn a_response_is_cut_into_its_tokens() {
        let mut head = buffer(Kind::Response);
        assert_eq!(head.receive(b"HTTP/1.0 404\r\n\r\n"), Ok(Some(16)));
        let head = head.into_response().expect("the head is sound");
        assert_eq!((head.status, head.version_minor), (StatusCode::NOT_FOUND, 0));
    }

    /// A head without limit on its fields meets the map's own, and does not panic.
    #[test]
    fn forty_thousand_fields_are_too_many_for_the_map() {
        let limits =
            HeadLimits { head_bytes_max: usize::MAX, request_line_bytes_max: 100, headers_max: usize::MAX };
        let mut head = HeadBuffer::new(Kind::Request, limits);
        let mut text = b"GET / HTTP/1.1\r\n".to_vec();
        for n in 0..40_000 {
            text.extend_from_slice(format!("x{n}: y\r\n").as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        assert_eq!(head.receive(&text), Ok(Some(text.len())));
        assert!(matches!(head.into_request(), Err(HeadError::Headers { .. })));
    }
}
