//! The driver over tokio.

mod close_info;
mod lent;
mod pump;
mod run;
mod shared;
mod websocket;

pub use close_info::{CloseInfo, Initiator};
pub use websocket::{Sender, WebSocket};
