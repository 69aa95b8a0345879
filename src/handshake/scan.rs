//! The byte-by-byte half of a head: where it ends, and the first byte that proves it bad (RFC 9112 §2–§5).
//!
//! Every byte is looked at once, in order, so a verdict does not depend on how the bytes were split, and rubbish is
//! refused at the byte that proves it. All framing rules are held here, because a tokenizer that forgives a bare LF, a
//! folded line or a second space is one that a proxy in front of us may read differently. Meaning is not looked at:
//! what the fields say is [`upgrade`](super::upgrade)'s and [`connect`](super::connect)'s.

use std::fmt;

use http::{HeaderMap, StatusCode};

use super::fields::is_tchar;
use crate::proto::Config;

/// Which of the two heads is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// What a head may weigh; the [`Config`] knobs of the same names.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    pub(super) head_bytes_max: usize,
    pub(super) request_line_bytes_max: usize,
    pub(super) headers_max: usize,
}

impl HeadLimits {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            head_bytes_max: config.head_bytes_max,
            request_line_bytes_max: config.request_line_bytes_max,
            headers_max: config.headers_max,
        }
    }

    /// Judges a head that is there already, cut by somebody else: its bytes are counted as if no white space had stood in it, so
    /// that none is too long that is not when it is scanned.
    pub(super) fn check(&self, request_line_bytes: usize, headers: &HeaderMap) -> Result<(), HeadError> {
        if request_line_bytes > self.request_line_bytes_max {
            return Err(HeadError::RequestLineBytes { max: self.request_line_bytes_max });
        }
        if headers.len() > self.headers_max {
            return Err(HeadError::Headers { max: self.headers_max });
        }
        // A colon and a line end for each field, and two line ends besides.
        let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 3);
        if fields.sum::<usize>() + request_line_bytes + 4 > self.head_bytes_max {
            return Err(HeadError::HeadBytes { max: self.head_bytes_max });
        }
        Ok(())
    }
}

/// What is wrong with an HTTP/1.1 head, before anything it says is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// A line that ends in LF without CR. RFC 9112 §2.2 lets a recipient accept it; smuggling lives on that.
    BareLf,
    /// CR that is not followed by LF. RFC 9112 §2.2.
    BareCr,
    /// More than four empty lines before the request line. RFC 9112 §2.2.
    EmptyLines,
    /// Not `method SP target SP HTTP/x.y`, or not `HTTP/1.1 SP status`. RFC 9112 §3, §4.
    FirstLine,
    /// A byte that must not be in a request target: a control, a space, `"`, `#`, `<`, `>`, `\` or not ASCII.
    /// RFC 9112 §3.2, RFC 3986 §2.
    TargetByte(u8),
    /// A well-formed version that is not HTTP/1.1. RFC 6455 §4.1, §4.2.1.
    Version,
    /// A line that begins with white space: obsolete folding, or white space before the first field. RFC 9112 §2.2, §5.2.
    Folded,
    /// A field name that is empty or no token, white space before the colon among them. RFC 9112 §5.1.
    FieldName,
    /// A field line without a colon. RFC 9112 §5.
    NoColon,
    /// A control byte in a field's value. RFC 9110 §5.5.
    ValueByte(u8),
    /// The head is longer than `head_bytes_max`.
    HeadBytes {
        /// The limit.
        max: usize,
    },
    /// The request line is longer than `request_line_bytes_max`, its CRLF not counted. RFC 9112 §3.
    RequestLineBytes {
        /// The limit.
        max: usize,
    },
    /// There are more field lines than `headers_max`. RFC 6585 §5.
    Headers {
        /// The limit.
        max: usize,
    },
}

impl HeadError {
    /// The status with which a server answers it: 400, 414, 431 or 505.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BareLf
            | Self::BareCr
            | Self::EmptyLines
            | Self::FirstLine
            | Self::TargetByte(_)
            | Self::Folded
            | Self::FieldName
            | Self::NoColon
            | Self::ValueByte(_) => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::RequestLineBytes { .. } => StatusCode::URI_TOO_LONG,
            Self::HeadBytes { .. } | Self::Headers { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BareLf => write!(f, "line ends in LF without CR (RFC 9112 §2.2)"),
            Self::BareCr => write!(f, "CR without LF (RFC 9112 §2.2)"),
            Self::EmptyLines => {
                write!(f, "more than {EMPTY_LINES_MAX} empty lines before the head (RFC 9112 §2.2)")
            }
            Self::FirstLine => write!(f, "malformed first line (RFC 9112 §3, §4)"),
            Self::TargetByte(byte) => write!(f, "byte {byte:#04x} in request target (RFC 9112 §3.2)"),
            Self::Version => write!(f, "version is not HTTP/1.1 (RFC 6455 §4.2.1)"),
            Self::Folded => write!(f, "line begins with white space (RFC 9112 §5.2)"),
            Self::FieldName => write!(f, "field name is not a token (RFC 9112 §5.1)"),
            Self::NoColon => write!(f, "field line without a colon (RFC 9112 §5)"),
            Self::ValueByte(byte) => write!(f, "control byte {byte:#04x} in field value (RFC 9110 §5.5)"),
            Self::HeadBytes { max } => write!(f, "head above {max} bytes"),
            Self::RequestLineBytes { max } => write!(f, "request line above {max} bytes (RFC 9112 §3)"),
            Self::Headers { max } => write!(f, "more than {max} field lines (RFC 6585 §5)"),
        }
    }
}

impl std::error::Error for HeadError {}

/// Where in the head the next byte stands.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Before the request line; a few empty lines may come.
    Start,
    StartCr,
    Method,
    Target,
    /// In `HTTP/x.y`, this many bytes of it read.
    Version(u8),
    /// In `HTTP/1.x NNN`, this many bytes of it read.
    Status(u8),
    Reason,
    FirstLineCr,
    /// At the first byte of a field line, or at the CR of the empty line that ends the head.
    LineStart,
    Name,
    Value,
    ValueCr,
    EndCr,
}

/// The state machine. A few words, whatever the head's length.
#[derive(Debug)]
pub(super) struct Scanner {
    at: At,
    limits: HeadLimits,
    /// The lowest `x` of `HTTP/1.x` that is read on.
    version_minor_min: u8,
    /// Bytes looked at.
    seen: usize,
    /// Bytes of the request line, of them the current part's.
    line_bytes: usize,
    part_bytes: usize,
    empty_lines: u8,
    /// The version's digits.
    version: (u8, u8),
    fields: usize,
}

impl Scanner {
    pub(super) fn new(kind: Kind, limits: HeadLimits) -> Self {
        // A response in HTTP/1.0 is read, so that an old proxy's refusal can be told; as a 101 the client refuses it.
        let (at, version_minor_min) = match kind {
            Kind::Request => (At::Start, 1),
            Kind::Response => (At::Status(0), 0),
        };
        Self {
            at,
            limits,
            version_minor_min,
            seen: 0,
            line_bytes: 0,
            part_bytes: 0,
            empty_lines: 0,
            version: (0, 0),
            fields: 0,
        }
    }

    /// Field lines begun so far.
    pub(super) fn fields(&self) -> usize {
        self.fields
    }

    /// Looks at `input`; returns how many of its bytes end the head, or `None` when all of them are inside it.
    pub(super) fn scan(&mut self, input: &[u8]) -> Result<Option<usize>, HeadError> {
        for (index, &byte) in input.iter().enumerate() {
            if self.seen == self.limits.head_bytes_max {
                return Err(HeadError::HeadBytes { max: self.seen });
            }
            self.seen += 1;
            if self.step(byte)? {
                return Ok(Some(index + 1));
            }
        }
        Ok(None)
    }

    /// One byte; `true` when it is the head's last.
    fn step(&mut self, byte: u8) -> Result<bool, HeadError> {
        match self.at {
            At::Start | At::StartCr | At::Method | At::Target | At::Version(_) => {
                self.step_request_line(byte)?
            }
            At::Status(_) | At::Reason => self.step_status_line(byte)?,
            At::FirstLineCr => {
                expect_lf(byte)?;
                // Only now, because `HTTP/2.01` is malformed where `HTTP/2.0` is merely not ours.
                if self.version.0 != 1 || !(self.version_minor_min..=1).contains(&self.version.1) {
                    return Err(HeadError::Version);
                }
                self.at = At::LineStart;
            }
            At::EndCr => {
                expect_lf(byte)?;
                return Ok(true);
            }
            At::LineStart | At::Name | At::Value | At::ValueCr => self.step_field(byte)?,
        }
        Ok(false)
    }

    fn step_request_line(&mut self, byte: u8) -> Result<(), HeadError> {
        if let At::StartCr = self.at {
            expect_lf(byte)?;
            self.empty_lines += 1;
            self.at = At::Start;
            return if self.empty_lines > EMPTY_LINES_MAX { Err(HeadError::EmptyLines) } else { Ok(()) };
        }
        if let (At::Start, b'\r') = (self.at, byte) {
            self.at = At::StartCr;
            return Ok(());
        }
        if byte == b'\n' {
            return Err(HeadError::BareLf);
        }
        if byte != b'\r' {
            if self.line_bytes == self.limits.request_line_bytes_max {
                return Err(HeadError::RequestLineBytes { max: self.line_bytes });
            }
            self.line_bytes += 1;
        }
        self.at = match (self.at, byte) {
            (At::Method, b' ') => self.next_part(At::Target),
            (At::Start | At::Method, _) if is_tchar(byte) && self.part_bytes < METHOD_BYTES_MAX => {
                self.part_bytes += 1;
                At::Method
            }
            (At::Target, b' ') if self.part_bytes > 0 => self.next_part(At::Version(0)),
            (At::Target, b' ' | b'\r') => return Err(HeadError::FirstLine),
            (At::Target, _) if is_target_byte(byte) => {
                self.part_bytes += 1;
                At::Target
            }
            (At::Target, _) => return Err(HeadError::TargetByte(byte)),
            (At::Version(8), b'\r') => At::FirstLineCr,
            (At::Version(read), _) if is_version_byte(read, byte) => {
                self.note_version(read, byte);
                At::Version(read + 1)
            }
            _ => return Err(HeadError::FirstLine),
        };
        Ok(())
    }

    fn next_part(&mut self, at: At) -> At {
        self.part_bytes = 0;
        at
    }

    fn step_status_line(&mut self, byte: u8) -> Result<(), HeadError> {
        self.at = match (self.at, byte) {
            (_, b'\n') => return Err(HeadError::BareLf),
            (At::Status(read @ ..8), _) if is_version_byte(read, byte) => {
                self.note_version(read, byte);
                At::Status(read + 1)
            }
            (At::Status(8), b' ') => At::Status(9),
            (At::Status(9), b'1'..=b'9') => At::Status(10),
            (At::Status(read @ 10..=11), b'0'..=b'9') => At::Status(read + 1),
            (At::Status(12), b' ') => At::Reason,
            // RFC 9112 §4 wants the space even before an empty reason; servers that forget it are common and harmless.
            (At::Status(12) | At::Reason, b'\r') => At::FirstLineCr,
            (At::Reason, _) if is_value_byte(byte) => At::Reason,
            _ => return Err(HeadError::FirstLine),
        };
        Ok(())
    }

    fn note_version(&mut self, read: u8, byte: u8) {
        match read {
            5 => self.version.0 = byte - b'0',
            7 => self.version.1 = byte - b'0',
            _ => {}
        }
    }

    fn step_field(&mut self, byte: u8) -> Result<(), HeadError> {
        self.at = match (self.at, byte) {
            (At::ValueCr, _) => {
                expect_lf(byte)?;
                At::LineStart
            }
            (_, b'\n') => return Err(HeadError::BareLf),
            (At::LineStart, b'\r') => At::EndCr,
            (At::LineStart, b' ' | b'\t') => return Err(HeadError::Folded),
            (At::LineStart, _) if is_tchar(byte) => {
                if self.fields == self.limits.headers_max {
                    return Err(HeadError::Headers { max: self.fields });
                }
                self.fields += 1;
                At::Name
            }
            (At::Name, b':') => At::Value,
            (At::Name, b'\r') => return Err(HeadError::NoColon),
            (At::Name, _) if is_tchar(byte) => At::Name,
            (At::Value, b'\r') => At::ValueCr,
            (At::Value, _) if is_value_byte(byte) => At::Value,
            (At::Value, _) => return Err(HeadError::ValueByte(byte)),
            _ => return Err(HeadError::FieldName),
        };
        Ok(())
    }
}

fn expect_lf(byte: u8) -> Result<(), HeadError> {
    if byte == b'\n' { Ok(()) } else { Err(HeadError::BareCr) }
}

/// Whether `byte` can stand in a request target: visible ASCII without the delimiters of RFC 3986 that no part of a
/// URI may hold. `^`, `|`, `{`, `}` and the backtick are let through, since browsers send them unescaped in queries.
pub(super) fn is_target_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\')
}

/// `HTTP/d.d`, the byte at `index` of it.
fn is_version_byte(index: u8, byte: u8) -> bool {
    match index {
        5 | 7 => byte.is_ascii_digit(),
        _ => b"HTTP/_._".get(usize::from(index)) == Some(&byte),
    }
}

/// Visible ASCII, space, tab, and opaque bytes above ASCII (RFC 9110 §5.5).
fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

/// RFC 9112 §2.2 asks for at least one; old clients sent one after a POST's body.
const EMPTY_LINES_MAX: u8 = 4;

/// No registered method comes near; a stream without a space is rubbish after this many bytes.
const METHOD_BYTES_MAX: usize = 32;
