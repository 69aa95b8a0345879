//! RFC 6455 §5–§8 as a state machine: no I/O, no clock, no `async`.

mod close;
mod config;
mod error;

pub use close::{CloseCode, CloseFrame, REASON_BYTES_MAX, truncate_reason};
pub use config::{Config, ConfigBuilder, ConfigError};
pub use error::{Limit, LimitError, ProtocolError, SendError};
