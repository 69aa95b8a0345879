//! Whom to load: the URL, the address behind it, and the request that opens a connection.

use std::{
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use framecast::handshake::{ClientRequest, Url};

use super::failure::{Failure, explain};

pub(super) struct Target {
    /// As it was given.
    pub(super) url: String,
    pub(super) address: SocketAddr,
    pub(super) request: ClientRequest,
    /// Plain TCP: nobody there speaks WebSocket.
    pub(super) raw: bool,
}

impl Target {
    pub(super) fn resolve(text: &str, raw: bool) -> Result<Self, Failure> {
        let tcp = text.strip_prefix("tcp://");
        let parsed = match tcp {
            Some(_) if !raw => {
                return Err(Failure::Usage(format!("{text}: a tcp:// server is driven with --raw only")));
            }
            Some(rest) => Url::parse(&format!("ws://{rest}")),
            None => Url::parse(text),
        };
        let url = parsed.map_err(|error| Failure::Usage(format!("{text}: {error}")))?;
        if url.is_secure() {
            return Err(Failure::Usage(format!("{text}: the load speaks ws:// only, not TLS")));
        }
        let cannot = |why: String| Failure::CannotConnect(format!("cannot connect to {text}: {why}"));
        let addresses: Vec<_> = (url.host(), url.port())
            .to_socket_addrs()
            .map_err(|error| cannot(format!("{} is not found: {error}", url.host())))?
            .collect();
        let address = match addresses[..] {
            [] => return Err(cannot(format!("{} has no address", url.host()))),
            [address] => address,
            _ => first_that_listens(&addresses).map_err(|error| cannot(explain(&error)))?,
        };
        Ok(Self { url: text.to_owned(), address, request: ClientRequest::new(url), raw })
    }

    /// The same server, with the name of a room put in where the URL says so.
    pub(super) fn for_room(&self, name: &str) -> Result<Self, Failure> {
        let url = Url::parse(&self.url.replace(ROOM, name))
            .map_err(|error| Failure::Usage(format!("{}: {error}", self.url)))?;
        Ok(Self { url: self.url.clone(), request: ClientRequest::new(url), ..*self })
    }
}

/// A name such as `localhost` has several addresses, and a server mostly listens on one.
fn first_that_listens(addresses: &[SocketAddr]) -> std::io::Result<SocketAddr> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, PROBE) {
            Ok(_) => return Ok(*address),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::NotFound.into()))
}

const PROBE: Duration = Duration::from_secs(5);
/// What stands in a URL for the name of a room.
const ROOM: &str = "{room}";
