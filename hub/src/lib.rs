//! Rooms over WebSocket, on the engine [`framecast`]: what `framecast serve` speaks, as a library.
//!
//! [`Hub`] and [`Session`] are its logic, without a socket, a runtime, a clock or chance of its own: messages in, [`Action`]s out. A server opens a
//! [`Session`] for each connection, hands it what the connection receives and does what it says; other connections are reached by
//! their [`Line`]s. [`Server`] is such a server, on axum.
//!
//! | room | what is in it |
//! |---|---|
//! | `envelope`, `request`, `binary`, `rpc` | what clients send, parsed strictly |
//! | `answer`, `json` | what they are sent, with payloads untouched |
//! | `session` | one connection as a state machine |
//! | `clients`, `dedupe`, `receipts` | who is connected, what they have sent, what others have yet to acknowledge |
//! | `rights`, `token`, `jwt` | who may what |
//! | `limits`, `meters`, `addresses`, `proxies` | how much, and from where |
//! | `bridge`, `errand` | the way to a broker, for hubs of several processes |
//! | `counters`, `counts`, `ending` | what came of it all, in numbers |
//! | `hooks`, `routes`, `hub` | what an application adds, and how a hub is made |
//! | `server` | WebSocket upgrades, REST, metrics and TLS around it; nothing else here knows of it |

mod addresses;
mod answer;
mod binary;
mod bridge;
mod clients;
mod clock;
mod connection;
mod counters;
mod counts;
mod dedupe;
mod ending;
mod envelope;
mod errand;
mod fault;
mod hooks;
mod hub;
mod id;
mod json;
mod jwt;
mod limits;
mod meters;
mod post;
mod proxies;
mod random;
mod receipts;
mod request;
mod rights;
mod routes;
mod rpc;
mod server;
mod session;
mod token;

pub use addresses::{AddressError, Addresses, Admitted};
pub use bridge::BrokerState;
pub use clock::{Clock, Now};
pub use connection::Line;
pub use counters::Stats;
pub use counts::{Count, Counts};
pub use errand::{Errand, Returned};
pub use fault::{ErrorCode, close};
pub use framecast::CloseCode;
pub use hooks::{Context, Denied, Incoming, Params};
pub use hub::{BuildError, Hub, HubBuilder};
pub use jwt::{JwtKey, KeyError};
pub use limits::{Limits, Rate};
pub use post::Post;
pub use proxies::{Proxies, ProxyError, is_local};
pub use random::Random;
pub use rights::{PatternError, Patterns, Rights};
pub use routes::RouteError;
pub use rpc::RpcError;
pub use server::{Bound, ServeError, Server, ServerBuilder, Stop, Tls, TlsError};
pub use session::{Action, Call, Reply, Session, Subscribe, Ticket, Visitor};
pub use token::{Grant, Secret, TokenError, TokenFileError, Tokens};
