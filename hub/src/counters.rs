//! What is counted over all connections: for `stats`, and with reasons for metrics.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use framecast::broadcast::{BrokerError, Published, TopicError};

use crate::{
    counts::{Counts, Family, Kind, kinds},
    ending::Ending,
    fault::ErrorCode,
    meters::Scope,
    token::TokenError,
};

/// What `stats` tells, but for what a server adds: its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections whose client is known: neither refused nor still without a token.
    pub total_connections: u64,
    /// Rooms that somebody has subscribed to by name.
    pub total_rooms: u64,
    /// Messages that came from clients, of any type.
    pub messages_in: u64,
    /// Messages of rooms that subscribers were given, each counted.
    pub messages_out: u64,
    /// Messages of rooms that subscribers did not get.
    pub dropped: u64,
    /// Seconds since the hub was made.
    pub uptime_s: u64,
}

/// They only grow.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) messages_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) since: Instant,
    pub(crate) auth: Family<Auth>,
    pub(crate) closes: Family<Ending>,
    pub(crate) directs: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) errors: Family<ErrorCode>,
    pub(crate) joins: AtomicU64,
    pub(crate) joins_refused: Family<ErrorCode>,
    pub(crate) publishes: AtomicU64,
    pub(crate) publishes_refused: Family<Unpublished>,
    pub(crate) rate_limited: Family<Scope>,
    pub(crate) receipts: Family<Receipt>,
    pub(crate) recoveries: Family<Recovered>,
    pub(crate) rpc: Family<Called>,
}

kinds! {
    /// What came of a token, or of there being none.
    pub(crate) enum Auth {
        Ok = "ok",
        Renewed = "renewed",
        Anonymous = "anonymous",
        NoneInTime = "none_in_time",
        OtherUser = "other_user",
        Unknown = "unknown",
        Algorithm = "algorithm",
        Signature = "signature",
        Expired = "expired",
        NotYet = "not_yet",
        Claims = "claims",
        TooLong = "too_long",
    }
}

kinds! {
    /// Why something that was allowed was not published.
    pub(crate) enum Unpublished {
        Name = "name",
        TooManyTopics = "too_many_topics",
        Full = "full",
        Other = "other",
        BrokerAway = "broker_away",
        BrokerBusy = "broker_busy",
        BrokerRefused = "broker_refused",
        BrokerTimedOut = "broker_timed_out",
    }
}

kinds! {
    /// How many of those who were to have acknowledged a direct message.
    pub(crate) enum Receipt {
        All = "all",
        Some = "some",
        None = "none",
        Nobody = "nobody_there",
    }
}

kinds! {
    /// Whether who came back got all that it missed.
    pub(crate) enum Recovered {
        Yes = "yes",
        No = "no",
    }
}

kinds! {
    /// What came of a JSON-RPC request.
    pub(crate) enum Called {
        Ok = "ok",
        Failed = "failed",
        NotFound = "not_found",
        Refused = "refused",
        Invalid = "invalid",
    }
}

impl Counters {
    pub(crate) fn new(since: Instant) -> Self {
        Self {
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            since,
            auth: Family::default(),
            closes: Family::default(),
            directs: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            errors: Family::default(),
            joins: AtomicU64::new(0),
            joins_refused: Family::default(),
            publishes: AtomicU64::new(0),
            publishes_refused: Family::default(),
            rate_limited: Family::default(),
            receipts: Family::default(),
            recoveries: Family::default(),
            rpc: Family::default(),
        }
    }

    pub(crate) fn received(&self) {
        one_more(&self.messages_in);
    }

    pub(crate) fn published(&self, published: Published) {
        let Published { delivered, queued, .. } = published;
        self.messages_out.fetch_add(u64::from(delivered + queued), Ordering::Relaxed);
    }

    /// Somebody may know a place now that it came back to.
    pub(crate) fn joined(&self, came_back: bool, recovered: bool) {
        one_more(&self.joins);
        if came_back {
            self.recoveries.add(if recovered { Recovered::Yes } else { Recovered::No });
        }
    }

    pub(crate) fn receipt(&self, acked: u32, of: u32) {
        self.receipts.add(match (acked, of) {
            (_, 0) => Receipt::Nobody,
            (0, _) => Receipt::None,
            (acked, of) if acked == of => Receipt::All,
            _ => Receipt::Some,
        });
    }

    /// All of it. `too_slow` are the connections that the rooms themselves have closed, for their readers.
    pub(crate) fn counts(&self, too_slow: u64) -> Counts {
        let mut counts = Counts::new();
        counts.one("messages_in", "Messages that came from clients, of any type.", &self.messages_in);
        counts.one("messages_out", "Messages of rooms that subscribers were given.", &self.messages_out);
        counts.one("publishes", "Messages that were given their place in a room.", &self.publishes);
        let help = "Messages that were allowed and could not be published.";
        counts.family("publishes_refused", help, "reason", &self.publishes_refused);
        counts.one("directs", "Direct messages, each connection of a user counted.", &self.directs);
        let help = "Receipts of direct messages, by how many of those who were to have acknowledged them.";
        counts.family("receipts", help, "acked", &self.receipts);
        counts.one("duplicates", "Messages that were acknowledged again.", &self.duplicates);
        counts.one("joins", "Subscriptions that were entered.", &self.joins);
        counts.family("joins_refused", "Subscriptions that were not.", "code", &self.joins_refused);
        let help = "Subscriptions from a place on, by whether all since then could be given.";
        counts.family("recoveries", help, "recovered", &self.recoveries);
        counts.family("rpc_requests", "JSON-RPC requests, by what came of them.", "outcome", &self.rpc);
        counts.family("errors", "Errors that clients were sent.", "code", &self.errors);
        let help = "Messages above a rate, by whose rate it is.";
        counts.family("rate_limited", help, "scope", &self.rate_limited);
        counts.family("auth", "Who came, and what its token was.", "outcome", &self.auth);
        counts.family("closes", "Connections that the hub closed.", "reason", &self.closes);
        counts.more("closes", Ending::TooSlow, too_slow);
        counts
    }
}

pub(crate) fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl From<TokenError> for Auth {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Unknown => Self::Unknown,
            TokenError::Algorithm => Self::Algorithm,
            TokenError::Signature => Self::Signature,
            TokenError::Expired => Self::Expired,
            TokenError::NotYet => Self::NotYet,
            TokenError::Claims => Self::Claims,
            TokenError::TooLong => Self::TooLong,
        }
    }
}

impl From<TopicError> for Unpublished {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Name(_) => Self::Name,
            TopicError::TooManyTopics { .. } => Self::TooManyTopics,
            TopicError::Full => Self::Full,
            _ => Self::Other,
        }
    }
}

impl From<&BrokerError> for Unpublished {
    fn from(error: &BrokerError) -> Self {
        match error {
            BrokerError::Away => Self::BrokerAway,
            BrokerError::TimedOut => Self::BrokerTimedOut,
            BrokerError::Topic(error) => (*error).into(),
            _ => Self::BrokerRefused,
        }
    }
}

impl Kind for ErrorCode {
    const ALL: &'static [Self] = &[
        Self::BadJson,
        Self::BadRequest,
        Self::UnknownType,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotSubscribed,
        Self::RateLimited,
        Self::TooLarge,
        Self::TooManyRooms,
        Self::HistoryGone,
        Self::Unavailable,
    ];

    fn place(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_their_places<K: Kind>() {
        for (at, kind) in K::ALL.iter().enumerate() {
            assert_eq!(kind.place(), at, "{}", kind.name());
        }
    }

    #[test]
    fn each_kind_has_a_place_and_no_name_comes_twice() {
        in_their_places::<ErrorCode>();
        in_their_places::<Ending>();
        // The last one of all, so that none is missing behind it.
        assert_eq!(ErrorCode::ALL.len(), ErrorCode::Unavailable as usize + 1);
        let counts = Counters::new(Instant::now()).counts(3);
        assert_eq!(counts.get("closes", Some("too_slow")), Some(3));
        let mut names: Vec<_> = counts.iter().map(|count| (count.name, count.label)).collect();
        let len = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), len);
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(counts.iter().all(|count| is_plain(count.name)));
        assert!(
            counts
                .iter()
                .all(|count| count.label.is_none_or(|(name, value)| is_plain(name) && is_plain(value)))
        );
    }
}
