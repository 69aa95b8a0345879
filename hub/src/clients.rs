//! Who is connected: clients by the ids they go by, users by their connections.
//!
//! A client's id belongs to its user, or, for one without a user, to whoever has the secret of its first welcome. It belongs to
//! them for a while after they are gone, with what they have sent lately.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use framecast::proto::PreparedMessage;
use subtle::ConstantTimeEq;

use crate::{
    clock::Clock,
    connection::Connection,
    dedupe::{Remembered, Seen},
    ending::Ending,
    limits::Limits,
    meters::UserMeters,
    random::Random,
    token::Secret,
};

#[derive(Debug, Default)]
pub(crate) struct Clients {
    inner: Mutex<Inner>,
    /// The ids that they have sent.
    remembered: Remembered,
}

#[derive(Debug, Default)]
struct Inner {
    clients: HashMap<Arc<str>, Client>,
    users: HashMap<Arc<str>, User>,
    /// Users without a connection, whose meters still know what they have sent; the one without for longest first.
    idle: VecDeque<(Instant, Arc<str>)>,
    /// Those who are gone, the one that is gone for longest first.
    gone: VecDeque<(Instant, Arc<str>)>,
    /// Those among them that something of what they have sent may be remembered of, likewise.
    remembering: VecDeque<(Instant, Arc<str>)>,
    /// When it was last looked for what is too old of what all have sent.
    looked: Option<Instant>,
    connected: u64,
}

#[derive(Debug)]
struct Client {
    /// Whose it is; `None`: of who has the secret.
    user_id: Option<Arc<str>>,
    resume: Secret,
    seen: Arc<Mutex<Seen>>,
    connection: Option<Arc<Connection>>,
    gone_since: Option<Instant>,
}

#[derive(Debug)]
struct User {
    connections: Vec<Arc<Connection>>,
    meters: Arc<UserMeters>,
    idle_since: Option<Instant>,
}

/// Somebody who wants to be a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'c> {
    pub(crate) client_id: &'c str,
    pub(crate) resume: Option<&'c str>,
    pub(crate) user_id: Option<&'c Arc<str>>,
    pub(crate) connection: &'c Arc<Connection>,
}

/// Somebody who is one.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) client_id: Arc<str>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    /// What it shares with its user's other connections.
    pub(crate) meters: Option<Arc<UserMeters>>,
}

/// Why somebody is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The id is none.
    BadId,
    /// The id is somebody else's.
    Stranger,
    /// The connection's client is by another one now.
    TakenOver,
    /// The user has as many connections as it may have.
    TooMany,
}

impl Clients {
    /// Gives a connection its client; an older connection of the same one is closed. `first` makes what it is sent before anybody
    /// else can reach it, of its secret.
    pub(crate) fn claim(
        &self,
        claim: Claim<'_>,
        limits: &Limits,
        random: &Random,
        clock: &Clock,
        first: impl FnOnce(&str) -> PreparedMessage,
    ) -> Result<Claimed, Refused> {
        let Claim { client_id, resume, user_id, connection } = claim;
        if !is_client_id(client_id) {
            return Err(Refused::BadId);
        }
        let client_id: Arc<str> = client_id.into();
        let now = clock.now().instant;
        let mut inner = self.lock();
        inner.forget_gone(now, limits);
        let known = inner.clients.get(&client_id);
        if known.is_some_and(|client| !client.belongs_to(user_id, resume)) {
            return Err(Refused::Stranger);
        }
        // Whoever takes over takes the older one's place.
        let older = known.and_then(|client| client.connection.as_ref()).and_then(|older| older.user_id());
        if let Some(user_id) = user_id {
            inner.has_room(user_id, usize::from(older == Some(user_id)), limits)?;
        }
        let client = inner.clients.entry(client_id.clone()).or_insert_with(|| Client {
            user_id: None,
            resume: Secret::new(random.name::<16>("")),
            seen: Arc::new(Mutex::new(Seen::new(&self.remembered))),
            connection: None,
            gone_since: None,
        });
        client.user_id = user_id.cloned();
        client.gone_since = None;
        let older = client.connection.replace(connection.clone());
        let seen = client.seen.clone();
        connection.send(&first(client.resume.expose()));
        match &older {
            Some(older) => inner.leave_users(older, now),
            None => inner.connected += 1,
        }
        let meters = user_id.map(|user_id| inner.enter_users(user_id, connection, limits, clock));
        drop(inner);
        if let Some(older) = older {
            older.close(Ending::TakenOver, Refused::TakenOver.as_str());
        }
        Ok(Claimed { client_id, seen, meters })
    }

    /// A client without a user becomes a user's.
    pub(crate) fn adopt(
        &self,
        client_id: &str,
        user_id: &Arc<str>,
        connection: &Arc<Connection>,
        limits: &Limits,
        clock: &Clock,
        first: &PreparedMessage,
    ) -> Result<Arc<UserMeters>, Refused> {
        let mut inner = self.lock();
        inner.has_room(user_id, 0, limits)?;
        let client = inner.clients.get_mut(client_id).filter(|client| client.is_by(connection));
        client.ok_or(Refused::TakenOver)?.user_id = Some(user_id.clone());
        connection.send(first);
        Ok(inner.enter_users(user_id, connection, limits, clock))
    }

    /// A connection has ended. Its client stays for a while, unless it is by another one already.
    pub(crate) fn release(&self, client_id: &str, connection: &Arc<Connection>, now: Instant) {
        let mut inner = self.lock();
        inner.leave_users(connection, now);
        let Some((name, _)) = inner.clients.get_key_value(client_id) else { return };
        let name = name.clone();
        let Some(client) = inner.clients.get_mut(client_id).filter(|client| client.is_by(connection)) else {
            return;
        };
        client.connection = None;
        client.gone_since = Some(now);
        inner.remembering.push_back((now, name.clone()));
        inner.gone.push_back((now, name));
        inner.connected -= 1;
    }

    /// A user's connections.
    pub(crate) fn of_user(&self, user_id: &str) -> Vec<Arc<Connection>> {
        self.lock().users.get(user_id).map(|user| user.connections.clone()).unwrap_or_default()
    }

    /// Sends a user's connections away; how many it was.
    pub(crate) fn disconnect(&self, user_id: &str, reason: &str) -> usize {
        let connections = self.of_user(user_id);
        connections.iter().for_each(|connection| connection.close(Ending::Disconnected, reason));
        connections.len()
    }

    /// Ids that were forgotten within the window.
    pub(crate) fn ids_forgotten(&self) -> &AtomicU64 {
        self.remembered.forgotten_early()
    }

    pub(crate) fn connected(&self) -> u64 {
        self.lock().connected
    }

    /// When as many ids are remembered as may be: forgets what is too old of all clients, now and then. Those who are connected and
    /// silent would keep it.
    pub(crate) fn make_room_for_ids(&self, now: Instant, limits: &Limits) {
        if !self.remembered.is_full(limits) {
            return;
        }
        let mut inner = self.lock();
        if inner.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOKS_EVERY) {
            return;
        }
        inner.looked = Some(now);
        inner.clients.values().for_each(|client| client.forget_old_ids(now, limits));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_gone(&mut self, now: Instant, limits: &Limits) {
        while let Some((since, client_id)) = self.gone.front()
            && (now.saturating_duration_since(*since) >= limits.client_kept
                || self.gone.len() > limits.clients_kept_max)
        {
            // It may have come back since, and gone again.
            if self.clients.get(client_id).is_some_and(|client| client.gone_since == Some(*since)) {
                self.clients.remove(client_id);
            }
            self.gone.pop_front();
        }
        while let Some((since, client_id)) = self.remembering.front()
            && now.saturating_duration_since(*since) >= limits.dedupe_window
        {
            if let Some(client) = self.clients.get(client_id) {
                client.forget_old_ids(now, limits);
            }
            self.remembering.pop_front();
        }
        let forgets_after = UserMeters::forgets_after(limits);
        while let Some((since, user_id)) = self.idle.front()
            && (now.saturating_duration_since(*since) >= forgets_after
                || self.idle.len() > limits.clients_kept_max)
        {
            if self.users.get(user_id).is_some_and(|user| user.idle_since == Some(*since)) {
                self.users.remove(user_id);
            }
            self.idle.pop_front();
        }
    }

    /// Whether a user may have one connection more, when so many of its own end for it.
    fn has_room(&self, user_id: &str, ending: usize, limits: &Limits) -> Result<(), Refused> {
        let connections = self.users.get(user_id).map_or(0, |user| user.connections.len());
        match connections.saturating_sub(ending) >= limits.connections_per_user_max {
            true => Err(Refused::TooMany),
            false => Ok(()),
        }
    }

    fn enter_users(
        &mut self,
        user_id: &Arc<str>,
        connection: &Arc<Connection>,
        limits: &Limits,
        clock: &Clock,
    ) -> Arc<UserMeters> {
        connection.is_of(user_id);
        let user = self.users.entry(user_id.clone()).or_insert_with(|| User {
            connections: Vec::new(),
            meters: Arc::new(UserMeters::new(limits, clock)),
            idle_since: None,
        });
        user.idle_since = None;
        user.connections.push(connection.clone());
        user.meters.clone()
    }

    fn leave_users(&mut self, connection: &Connection, now: Instant) {
        let Some(user_id) = connection.user_id() else { return };
        let Some(user) = self.users.get_mut(user_id).filter(|user| user.idle_since.is_none()) else { return };
        user.connections.retain(|other| other.number != connection.number);
        if user.connections.is_empty() {
            // Who comes back at once has sent no less for it.
            user.idle_since = Some(now);
            self.idle.push_back((now, user_id.clone()));
        }
    }
}

impl Client {
    fn belongs_to(&self, user_id: Option<&Arc<str>>, resume: Option<&str>) -> bool {
        match &self.user_id {
            Some(owner) => user_id == Some(owner),
            None => resume
                .is_some_and(|resume| bool::from(resume.as_bytes().ct_eq(self.resume.expose().as_bytes()))),
        }
    }

    fn forget_old_ids(&self, now: Instant, limits: &Limits) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget_old(now, limits.dedupe_window);
    }

    fn is_by(&self, connection: &Connection) -> bool {
        self.connection.as_ref().is_some_and(|by| by.number == connection.number)
    }
}

impl Refused {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BadId => "client_id is not valid",
            Self::Stranger => "client_id is somebody else's",
            Self::TakenOver => "connected again elsewhere",
            Self::TooMany => "too many connections of this user",
        }
    }

    /// What who comes with a connection of its own is closed with.
    pub(crate) const fn ending(self) -> Ending {
        match self {
            Self::BadId | Self::Stranger => Ending::ClientId,
            Self::TakenOver => Ending::TakenOver,
            Self::TooMany => Ending::TooManyConnections,
        }
    }
}

/// How often all clients are looked at, at most.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// 1 to 64 characters, none of them a control character.
pub(crate) fn is_client_id(client_id: &str) -> bool {
    (1..=64).contains(&client_id.chars().count()) && !client_id.contains(char::is_control)
}
