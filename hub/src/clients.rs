//! Who is connected: clients by the ids they go by, users by their connections.
//!
//! A client's id belongs to its user, or, for one without a user, to whoever has the secret of its first welcome. It belongs to
//! them for a while after they are gone, with what they have sent lately.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use framecast::{CloseCode, proto::PreparedMessage};
use subtle::ConstantTimeEq;

use crate::{
    connection::Connection, dedupe::Seen, fault::close, limits::Limits, random::Random, token::Secret,
};

#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    clients: HashMap<Arc<str>, Client>,
    users: HashMap<Arc<str>, Vec<Arc<Connection>>>,
    /// Those who are gone, the one that is gone for longest first.
    gone: VecDeque<(Instant, Arc<str>)>,
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
}

/// The id is somebody else's, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

impl Clients {
    /// Gives a connection its client; an older connection of the same one is closed. `first` makes what it is sent before anybody
    /// else can reach it, of its secret.
    pub(crate) fn claim(
        &self,
        claim: Claim<'_>,
        limits: &Limits,
        random: &Random,
        now: Instant,
        first: impl FnOnce(&str) -> PreparedMessage,
    ) -> Result<Claimed, Refused> {
        let Claim { client_id, resume, user_id, connection } = claim;
        if !is_client_id(client_id) {
            return Err(Refused("client_id is not valid"));
        }
        let client_id: Arc<str> = client_id.into();
        let mut inner = self.lock();
        inner.forget_gone(now, limits);
        let client = inner.clients.entry(client_id.clone()).or_insert_with(|| Client {
            user_id: user_id.cloned(),
            resume: Secret::new(random.name::<16>("")),
            seen: Arc::new(Mutex::new(Seen::new())),
            connection: None,
            gone_since: None,
        });
        let is_new = client.connection.is_none() && client.gone_since.is_none();
        if !is_new && !client.belongs_to(user_id, resume) {
            return Err(Refused("client_id is somebody else's"));
        }
        client.user_id = user_id.cloned();
        client.gone_since = None;
        let older = client.connection.replace(connection.clone());
        let claimed = Claimed { client_id, seen: client.seen.clone() };
        connection.send(&first(client.resume.expose()));
        match &older {
            Some(older) => inner.leave_users(older),
            None => inner.connected += 1,
        }
        if let Some(user_id) = user_id {
            connection.is_of(user_id);
            inner.users.entry(user_id.clone()).or_default().push(connection.clone());
        }
        drop(inner);
        if let Some(older) = older {
            older.close(close::TAKEN_OVER, "connected again elsewhere");
        }
        Ok(claimed)
    }

    /// A client without a user becomes a user's. False if the connection is its client's no more.
    pub(crate) fn adopt(
        &self,
        client_id: &str,
        user_id: &Arc<str>,
        connection: &Arc<Connection>,
        first: &PreparedMessage,
    ) -> bool {
        let mut inner = self.lock();
        let Some(client) = inner.clients.get_mut(client_id).filter(|client| client.is_by(connection)) else {
            return false;
        };
        client.user_id = Some(user_id.clone());
        connection.is_of(user_id);
        connection.send(first);
        inner.users.entry(user_id.clone()).or_default().push(connection.clone());
        true
    }

    /// A connection has ended. Its client stays for a while, unless it is by another one already.
    pub(crate) fn release(&self, client_id: &str, connection: &Arc<Connection>, now: Instant) {
        let mut inner = self.lock();
        inner.leave_users(connection);
        let Some((name, _)) = inner.clients.get_key_value(client_id) else { return };
        let name = name.clone();
        let Some(client) = inner.clients.get_mut(client_id).filter(|client| client.is_by(connection)) else {
            return;
        };
        client.connection = None;
        client.gone_since = Some(now);
        inner.gone.push_back((now, name));
        inner.connected -= 1;
    }

    /// A user's connections.
    pub(crate) fn of_user(&self, user_id: &str) -> Vec<Arc<Connection>> {
        self.lock().users.get(user_id).cloned().unwrap_or_default()
    }

    /// Closes a user's connections; how many it was.
    pub(crate) fn disconnect(&self, user_id: &str, code: CloseCode, reason: &str) -> usize {
        let connections = self.of_user(user_id);
        connections.iter().for_each(|connection| connection.close(code, reason));
        connections.len()
    }

    pub(crate) fn connected(&self) -> u64 {
        self.lock().connected
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    }

    fn leave_users(&mut self, connection: &Connection) {
        let Some(user_id) = connection.user_id() else { return };
        let Some(connections) = self.users.get_mut(user_id) else { return };
        connections.retain(|other| other.number != connection.number);
        if connections.is_empty() {
            self.users.remove(user_id);
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

    fn is_by(&self, connection: &Connection) -> bool {
        self.connection.as_ref().is_some_and(|by| by.number == connection.number)
    }
}

/// 1 to 64 characters, none of them a control character.
pub(crate) fn is_client_id(client_id: &str) -> bool {
    (1..=64).contains(&client_id.chars().count()) && !client_id.contains(char::is_control)
}
