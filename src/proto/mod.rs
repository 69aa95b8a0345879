//! RFC 6455 §5–§8 as a state machine: no I/O, no clock, no `async`.
//!
//! [`Connection`] is the one door. [`Inbound`] and [`Outbound`] are what a driver's thread lends it.

mod close;
mod closing;
mod config;
mod connection;
mod deflate;
mod error;
mod frame;
mod keepalive;
mod kept;
mod mask;
mod message;
mod outbox;
mod partial;
mod prepared;
mod random;
mod receiver;
mod short;
mod stats;
mod time;
mod utf8;

pub use close::{CloseCode, CloseFrame, REASON_BYTES_MAX, truncate_reason};
pub use closing::{Cause, State, Want};
pub use config::{Config, ConfigBuilder, ConfigError};
pub use connection::{Admission, Connection, Transmit};
pub use deflate::{Deflate, DeflateTerms, DeflateTermsError};
pub(crate) use deflate::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
pub use error::{Limit, LimitError, ProtocolError, SendError};
pub use frame::{FrameHeader, HEADER_BYTES_MAX, HeaderBytes, OpCode, Role};
pub use mask::mask;
pub use message::{Compression, Control, Event, Kind, Message, Outgoing, Payload, Text};
pub use outbox::{Outbound, Slices};
pub use partial::{Inbound, Target};
pub use prepared::PreparedMessage;
pub use random::Masks;
pub use stats::Stats;
pub use utf8::Utf8Bytes;
