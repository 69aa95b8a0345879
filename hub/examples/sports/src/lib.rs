//! Matches live: scores and commentary in SQLite, told to everybody who watches.
//!
//! ```text
//! REST ──► desk ──► store   SQLite, by one thread: what is answered is on the disk
//!            ├────► board   every match as it is, in memory: what who comes in is told first
//!            └────► hub     what changes, to the match's room, in the database's order
//! ```
//! See the README beside this package.

mod api;
mod board;
mod desk;
mod model;
mod refused;
mod rooms;
mod store;

use std::{error::Error, fmt, io, net::SocketAddr, path::PathBuf, thread::JoinHandle, time::Duration};

use framecast_hub::{Bound, BuildError, Limits, PatternError, Secret, Server, Stop, Tokens};

use crate::{board::Board, desk::Desk, store::Store};

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen, such as `127.0.0.1:8000`; with port 0, on any.
    pub listen: String,
    /// The database's file; it is made if it is not there.
    pub database: PathBuf,
    /// What who changes matches has to show. `None`: to be this machine.
    pub admin_token: Option<Secret>,
    /// Whom to let in to watch. Empty: everybody.
    pub tokens: Tokens,
    /// How long who comes without a token may take to send one; then it is closed with 4001.
    pub token_within: Duration,
}

/// A server that has its port and its database.
#[derive(Debug)]
pub struct Sports {
    bound: Bound,
    desk: JoinHandle<()>,
}

/// Why a server does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The database cannot be opened, or read.
    Database(rusqlite::Error),
    /// The port cannot be had.
    Listen(io::Error),
    /// The hub contradicts itself.
    Hub(BuildError),
    /// So does a right.
    Pattern(PatternError),
}

impl Sports {
    /// Opens the database and the port.
    ///
    /// # Errors
    /// What of it cannot be had.
    pub async fn open(options: Options) -> Result<Self, StartError> {
        let Options { listen, database, admin_token, tokens, token_within } = options;
        let opened = tokio::task::spawn_blocking(move || {
            let store = Store::open(&database)?;
            let matches = store.matches()?;
            Ok::<_, rusqlite::Error>((store, matches))
        });
        let (store, matches) = opened.await.map_err(|error| StartError::Listen(error.into()))??;
        let board = Board::default();
        board.fill(matches);
        let mut limits = Limits::default();
        limits.auth_within = token_within;
        // Matches are public, unless tokens are asked for.
        let is_public = tokens.is_empty();
        let hub = rooms::hub(&board)?.tokens(tokens).allow_anonymous(is_public).limits(limits).build()?;
        let server = match admin_token {
            Some(token) => Server::builder(hub.clone()).admin_token(token).build(),
            None => Server::builder(hub.clone()).build(),
        };
        let bound = server.bind(&listen).await.map_err(StartError::Listen)?;
        let (desk, thread) = Desk::open(store, board.clone(), hub);
        Ok(Self { bound: bound.app(api::router(&server, desk, board)), desk: thread })
    }

    /// Where it listens, with the port that was really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr()
    }

    /// The page's address.
    pub fn url(&self) -> String {
        self.bound.url()
    }

    /// Serves until `stop`, and until all that was asked for is on the disk.
    ///
    /// # Errors
    /// The listening socket's.
    pub async fn serve(self, stop: impl Future<Output = Stop>) -> io::Result<()> {
        let served = self.bound.serve(stop).await;
        // The last way to the desk was the router's.
        let _ = tokio::task::spawn_blocking(move || self.desk.join()).await;
        served
    }
}

impl From<rusqlite::Error> for StartError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<BuildError> for StartError {
    fn from(error: BuildError) -> Self {
        Self::Hub(error)
    }
}

impl From<PatternError> for StartError {
    fn from(error: PatternError) -> Self {
        Self::Pattern(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "the database: {error}"),
            Self::Listen(error) => error.fmt(f),
            Self::Hub(error) => error.fmt(f),
            Self::Pattern(error) => error.fmt(f),
        }
    }
}

impl Error for StartError {}
