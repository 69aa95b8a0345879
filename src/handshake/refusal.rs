//! The answer to a request that is not upgraded: one response, then the connection closes.
//!
//! Every refusal says `Connection: close` and the length of its short, fixed body, which never repeats what the peer
//! sent. After it the driver closes and looks at no further byte: what follows a refused head may be meant for a proxy
//! in front of us (catalogue: V-48).

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION,
    WWW_AUTHENTICATE,
};

use super::custom::{HeaderError, add_field, append, custom, write_field};

/// A response other than 101. Its body is the status' reason phrase in a line, unless the application gives one.
///
/// ```
/// use framecast::handshake::Refusal;
/// use http::StatusCode;
///
/// let refusal = Refusal::new(StatusCode::NOT_FOUND).header("cache-control", "no-store")?;
/// assert_eq!(
///     refusal.encode(),
///     b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 10\r\n\
///       cache-control: no-store\r\ncontent-type: text/plain; charset=utf-8\r\n\r\nNot Found\n"
/// );
/// # Ok::<(), framecast::handshake::HeaderError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Refusal {
    status: StatusCode,
    /// Whether to name `websocket` as what the endpoint would switch to.
    names_upgrade: bool,
    headers: HeaderMap,
    /// Not as `Bytes`: callbacks return this by value, and it is the size of a `Result`.
    body: Box<[u8]>,
}

impl Refusal {
    /// A refusal with `status`. A status below 200 would not end the exchange, or would be an upgrade: it becomes 500.
    pub fn new(status: StatusCode) -> Self {
        let status = if status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
        let body = match status.canonical_reason() {
            Some(reason) => format!("{reason}\n").into_bytes().into(),
            None => Box::default(),
        };
        Self { status, names_upgrade: false, headers: HeaderMap::new(), body }
    }

    /// 401: credentials are missing or wrong; `challenge` is the value of `WWW-Authenticate`, such as `Bearer`.
    ///
    /// # Errors
    /// [`HeaderError::InvalidValue`] if `challenge` holds a control byte.
    pub fn unauthorized(challenge: &str) -> Result<Self, HeaderError> {
        Self::new(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE.as_str(), challenge)
    }

    /// 403: the request is understood and not granted.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN)
    }

    /// 408: the head was not complete in time. Where not one byte came, close without it; see
    /// [`ServerHandshake::received_any`](super::ServerHandshake::received_any).
    pub fn request_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT)
    }

    /// 429: this peer asks too often; it may come back in `retry_after_seconds`. RFC 6585 §4.
    pub fn too_many(retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS).set(RETRY_AFTER, retry_after_seconds.into())
    }

    /// 503: no room, or the server is on its way down; the peer may come back in `retry_after_seconds`. Spread the
    /// value over the peers, or they all come back at once.
    pub fn unavailable(retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE).set(RETRY_AFTER, retry_after_seconds.into())
    }

    /// Adds a header. The same name may be added again.
    ///
    /// # Errors
    /// A name that is not a token, a value with a control byte, or a name that belongs to the handshake or to the
    /// message's framing: `Connection`, `Content-Length`, `Expect`, `Host`, `Sec-WebSocket-*`, `TE`, `Trailer`,
    /// `Transfer-Encoding`, `Upgrade`.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        let (name, value) = custom(name, value.as_ref())?;
        append(&mut self.headers, name, value)?;
        Ok(self)
    }

    /// Replaces the body. A 204, 205 or 304 is sent without one all the same.
    ///
    /// Never put in what the peer sent. Without a `Content-Type` of yours it is called plain text.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Vec::from(body.into()).into();
        self
    }

    /// The status it is sent with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The bytes of the response.
    pub fn encode(&self) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or("");
        let mut out = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_str()).into_bytes();
        self.each_field(|name, value| write_field(&mut out, name, value));
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.sent_body());
        out
    }

    /// The response for an HTTP server that writes its own heads; it closes the connection, as `Connection: close` tells it.
    pub fn to_http(&self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::copy_from_slice(self.sent_body()));
        *response.status_mut() = self.status;
        self.each_field(|name, value| add_field(response.headers_mut(), name, value));
        response
    }

    fn sent_body(&self) -> &[u8] {
        if matches!(self.status.as_u16(), 204 | 205 | 304) { &[] } else { &self.body }
    }

    fn each_field(&self, mut field: impl FnMut(&str, &[u8])) {
        if self.names_upgrade {
            // RFC 9110 §7.8: who sends Upgrade also lists it in Connection.
            field("Connection", b"close, Upgrade");
            field("Upgrade", b"websocket");
        } else {
            field("Connection", b"close");
        }
        let body = self.sent_body();
        if !matches!(self.status.as_u16(), 204 | 304) {
            field("Content-Length", body.len().to_string().as_bytes());
        }
        self.headers.iter().for_each(|(name, value)| field(name.as_str(), value.as_bytes()));
        if !body.is_empty() && !self.headers.contains_key(CONTENT_TYPE) {
            field(CONTENT_TYPE.as_str(), b"text/plain; charset=utf-8");
        }
    }

    /// 405, with the one method that is allowed. A HEAD gets no body, by RFC 9110 §9.3.2.
    pub(super) fn method_not_allowed(head: bool) -> Self {
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED).set(ALLOW, HeaderValue::from_static("GET"));
        if head { refusal.body(Bytes::new()) } else { refusal }
    }

    /// 426, naming `websocket`.
    pub(super) fn upgrade_required() -> Self {
        Self { names_upgrade: true, ..Self::new(StatusCode::UPGRADE_REQUIRED) }
    }

    /// Adds the version that we speak (RFC 6455 §4.4).
    pub(super) fn with_version(self) -> Self {
        self.set(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }

    fn set(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}
