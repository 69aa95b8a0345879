//! The opening handshake (RFC 6455 §4), both roles: bytes in, a typed request or response out. No I/O, no clock.
//!
//! A server's driver gives what it reads to a [`ServerHandshake`], shows the [`Request`] to the application, and writes
//! the [`Response`] or the [`Refusal`] that comes of it. A client's driver writes the bytes of
//! [`ClientRequest::start`] and gives what it reads to the [`ClientHandshake`]. Where another HTTP server reads the heads,
//! [`Endpoint::check`] holds a request against the same rules. Deadlines are the driver's, and so is
//! closing after a refusal without looking at another byte.
//!
//! ```
//! use framecast::handshake::{ClientRequest, Endpoint, ServerHandshake, Url};
//! use framecast::proto::Config;
//! use std::sync::Arc;
//!
//! let (config, endpoint) = (Config::default(), Arc::new(Endpoint::new().subprotocols(["chat"])?));
//! let mut server = ServerHandshake::new(&config, endpoint);
//! let ask = ClientRequest::new(Url::parse("ws://localhost:9001/ws?room=1")?).subprotocols(["chat"])?;
//! let (bytes, mut client) = ask.start(&config, *b"the sample nonce");
//!
//! let (request, used) = server.receive(&bytes)?.expect("the head is complete");
//! assert_eq!((request.path(), request.query(), used), ("/ws", Some("room=1"), bytes.len()));
//! let bytes = request.accept().header("x-node", "7")?.encode();
//!
//! let (established, used) = client.receive(&bytes)?.expect("the head is complete");
//! assert_eq!((established.subprotocol(), used), (Some("chat"), bytes.len()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accept;
mod authority;
mod connect;
mod custom;
mod endpoint;
mod error;
mod extensions;
mod fields;
mod head;
mod key;
mod origin;
mod refusal;
mod request;
mod response;
mod scan;
mod target;
mod upgrade;
mod url;

pub use accept::{Response, ServerHandshake};
pub use connect::{ClientHandshake, ClientRequest};
pub use custom::HeaderError;
pub use endpoint::{Endpoint, SubprotocolError};
pub use error::HandshakeError;
pub use extensions::Offer;
pub use key::random_key;
pub use origin::{OriginError, OriginPolicy};
pub use refusal::Refusal;
pub use request::Request;
pub use response::{ConnectError, Established, RefusedByServer};
pub use scan::HeadError;
pub use url::{Url, UrlError};
