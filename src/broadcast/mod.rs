//! One message to many: topics, what a slow reader gets, history, presence. No I/O, no clock, no `async`.
//!
//! [`Topics`] is the one door for applications: publish, and ask who is there and what was. A [`Member`] is a connection that takes
//! part; the drivers make it. Each event loop, and each worker of a runtime, has a `Shard`, which knows its members and gives them
//! what is published, by one message a shard for each publish. What a connection cannot take at once waits in the shard, by
//! reference, within the connection's bounds and by the [`OverflowPolicy`] of the subscription; what is lost by that is told
//! as a [`Gap`].
//!
//! A subscriber who reads too slowly keeps the newest two and is told what it lost; one who comes back gets what it missed. (The
//! [`Local`] ones of this example are connections elsewhere: `ws.join(&topics)` on tokio, `ws.subscribe(…)` on the reactor.)
//!
//! ```
//! use framecast::broadcast::{HistoryLimits, Local, OverflowPolicy, Subscription, Topics};
//! use std::time::Instant;
//!
//! let topics = Topics::builder()
//!     .history(HistoryLimits::default())
//!     .tell_gap(|gap| Some(format!("{} to {} are lost", gap.from, gap.to).into()))
//!     .build();
//! let texts = |local: &Local| -> Vec<String> {
//!     local.take(Instant::now()).iter().filter_map(|message| message.as_text().map(str::to_owned)).collect()
//! };
//!
//! let slow = Local::new(&topics);
//! slow.member()
//!     .subscribe("match:42", Subscription::new().policy(OverflowPolicy::DropOldest).messages_max(2))?;
//! slow.hold(true);
//! for score in ["0:0", "1:0", "1:1", "2:1"] {
//!     topics.publish("match:42", score)?;
//!     slow.take(Instant::now());
//! }
//! slow.hold(false);
//! assert_eq!(texts(&slow), ["0:0", "2 to 2 are lost", "1:1", "2:1"]);
//!
//! let last = topics.position("match:42").expect("it is known");
//! topics.publish("match:42", "2:2")?;
//! let back = Local::new(&topics);
//! let subscribed = back.member().subscribe("match:42", Subscription::new().since(last))?;
//! assert_eq!(subscribed.recovered, Some(1));
//! assert_eq!(texts(&back), ["2:2"]);
//! # Ok::<(), framecast::broadcast::TopicError>(())
//! ```

mod batch;
mod broker;
mod entry;
mod error;
mod gap;
mod giving;
mod history;
mod inbox;
#[cfg(any(feature = "tokio", feature = "reactor"))]
mod local;
mod losses;
mod member;
mod name;
mod options;
mod patterns;
mod places;
mod presence;
mod publication;
mod queue;
mod shard;
mod topics;
mod wildcards;

pub use broker::{Broker, BrokerError, BrokerFuture, MemoryBroker};
pub use error::{NameError, TopicError};
pub use gap::{Gap, GapReason};
pub use history::{HistoryLimits, Page, Position, Since};
#[cfg(any(feature = "tokio", feature = "reactor"))]
pub use local::Local;
pub use losses::{Backlog, Losses};
pub use member::{Member, Subscribed};
pub use name::Named;
pub use options::{ConflateBy, OverflowPolicy, Subscription};
pub use presence::{PresenceChange, PresenceKind, Present};
pub use publication::{Publication, Publish, Published, Publishing};
pub use topics::{Topics, TopicsBuilder};

#[cfg(feature = "tokio")]
pub(crate) use inbox::Inbox;
pub(crate) use {
    giving::{Flushed, Outlet, Outlets},
    member::MemberState,
    shard::Shard,
};

// Without a driver nobody works on a shard.
#[cfg(all(test, any(feature = "tokio", feature = "reactor")))]
mod tests;
