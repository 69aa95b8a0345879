//! A member that is no connection: what it is given is taken out by hand, with the clock as an argument.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use super::{
    giving::{Flushed, Outlet, Outlets},
    inbox::Inbox,
    member::{Member, MemberState},
    shard::Shard,
    topics::Topics,
};
use crate::proto::{CloseCode, PreparedMessage, SendError};

/// Takes part in [`Topics`] inside the process, without a connection, a runtime or a clock of its own: for tests that replay, and for
/// whoever listens in.
///
/// Nothing is done for it unless it [takes](Self::take): what is published until then waits, up to 65,536 requests or 64 MiB of messages. Above
/// that, publishing to what it has subscribed to is [`Full`](super::TopicError::Full) for all.
///
/// ```
/// use framecast::broadcast::{Local, Subscription, Topics};
/// use std::time::Instant;
///
/// let topics = Topics::new();
/// let local = Local::new(&topics);
/// local.member().subscribe("room", Subscription::new())?;
/// topics.publish("room", "hello")?;
/// assert_eq!(local.take(Instant::now())[0].as_text(), Some("hello"));
/// # Ok::<(), framecast::broadcast::TopicError>(())
/// ```
pub struct Local {
    topics: Topics,
    inbox: Arc<Inbox>,
    member: OnceLock<Member>,
    state: Mutex<State>,
}

struct State {
    shard: Shard<()>,
    post: Post,
}

/// What would be a socket and the outbox before it.
#[derive(Debug)]
struct Post {
    outbox: VecDeque<PreparedMessage>,
    bytes: usize,
    arrived: Vec<PreparedMessage>,
    messages_max: usize,
    bytes_max: usize,
    held: bool,
    closed: Option<(CloseCode, String)>,
    tell_when_drained: Option<Arc<MemberState>>,
}

impl Local {
    /// With an outbox of 16,384 messages and 1 MiB.
    pub fn new(topics: &Topics) -> Self {
        Self::with_bounds(topics, 16 << 10, 1 << 20)
    }

    /// With an outbox of so many messages and bytes while it is [held](Self::hold).
    pub fn with_bounds(topics: &Topics, messages_max: usize, bytes_max: usize) -> Self {
        let inbox = topics.attach(Box::new(|| ()));
        let post = Post {
            outbox: VecDeque::new(),
            bytes: 0,
            arrived: Vec::new(),
            messages_max,
            bytes_max,
            held: false,
            closed: None,
            tell_when_drained: None,
        };
        let shard = Shard::new(topics, inbox.clone());
        let state = Mutex::new(State { shard, post });
        Self { topics: topics.clone(), inbox, member: OnceLock::new(), state }
    }

    /// What subscribes. It takes part from the first call on: what is published to all comes then, too.
    pub fn member(&self) -> &Member {
        self.member.get_or_init(|| self.topics.join(&self.inbox, Box::new(())))
    }

    /// Sends to it directly, behind what it was given already.
    ///
    /// # Errors
    /// [`SendError::Full`] while it is held, [`SendError::Closed`].
    pub fn send(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut state = self.lock();
        state.post.send(message)?;
        state.post.deliver();
        Ok(())
    }

    /// Closes it, as the first to do so. It has ended once it is [taken](Self::take) from.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.lock().post.close(code, reason);
    }

    /// Has it read nothing more, or read on: a reader who is too slow.
    pub fn hold(&self, on: bool) {
        let mut state = self.lock();
        state.post.held = on;
        state.post.deliver();
    }

    /// Gives it what was published until now, and takes what has arrived.
    pub fn take(&self, now: Instant) -> Vec<PreparedMessage> {
        let mut state = self.lock();
        let State { shard, post } = &mut *state;
        while shard.work(now, post, usize::MAX) {}
        let closed = post.closed.is_some();
        let arrived = mem::take(&mut post.arrived);
        drop(state);
        if closed {
            self.leave();
        }
        arrived
    }

    /// The code and the reason that it was closed with.
    pub fn closed(&self) -> Option<(CloseCode, String)> {
        self.lock().post.closed.clone()
    }

    fn leave(&self) {
        if let Some(member) = self.member.get() {
            member.leave();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Post {
    fn deliver(&mut self) {
        if self.held {
            return;
        }
        self.arrived.extend(self.outbox.drain(..));
        self.bytes = 0;
        if let Some(member) = self.tell_when_drained.take() {
            member.drained();
        }
    }
}

impl Outlets for Post {
    type Key = ();

    fn with(&mut self, (): &(), f: impl FnOnce(&mut dyn Outlet)) -> bool {
        if self.closed.is_none() {
            f(self);
        }
        self.closed.is_none()
    }
}

impl Outlet for Post {
    fn send(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if self.closed.is_some() {
            return Err(SendError::Closed);
        }
        let bytes = self.bytes + message.frame_bytes();
        if !self.outbox.is_empty() && (self.outbox.len() >= self.messages_max || bytes > self.bytes_max) {
            return Err(SendError::Full);
        }
        self.bytes = bytes;
        self.outbox.push_back(message.clone());
        Ok(())
    }

    fn flush(&mut self) -> Flushed {
        self.deliver();
        if self.held { Flushed::Some } else { Flushed::All }
    }

    fn queued(&self) -> (usize, usize) {
        (self.outbox.len(), self.bytes)
    }

    fn bounds(&self) -> (usize, usize) {
        (self.messages_max, self.bytes_max)
    }

    fn retract(&mut self, messages: usize) -> usize {
        let retracted = messages.min(self.outbox.len().saturating_sub(1));
        for message in self.outbox.drain(self.outbox.len() - retracted..) {
            self.bytes -= message.frame_bytes();
        }
        retracted
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        self.closed.get_or_insert_with(|| (code, reason.to_owned()));
    }

    fn tell_when_drained(&mut self, member: &Arc<MemberState>) {
        self.tell_when_drained = Some(member.clone());
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("member", &self.member).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::{HistoryLimits, OverflowPolicy, Position, Subscription};

    fn texts(local: &Local) -> Vec<String> {
        local.take(Instant::now()).iter().filter_map(|message| message.as_text().map(str::to_owned)).collect()
    }

    /// What a subscription's answer says has to be there before its messages are, the missed ones with them.
    #[test]
    fn what_a_subscription_is_told_comes_before_its_messages() {
        let topics = Topics::builder().history(HistoryLimits::default()).build();
        let epoch = topics.publish("room", "missed").expect("it is published").position().epoch;
        let local = Local::new(&topics);
        let since = Subscription::new().since(Position { epoch, offset: 0 });
        let subscribed = local.member().subscribe_with("room", since, |subscribed| {
            local.send(&format!("subscribed, {:?}", subscribed.recovered).into()).expect("there is room");
        });
        assert!(subscribed.is_ok());
        topics.publish("room", "live").expect("it is published");
        assert_eq!(texts(&local), ["subscribed, Some(1)", "missed", "live"]);
    }

    #[test]
    fn one_that_is_held_gets_what_its_policy_leaves() {
        let topics = Topics::new();
        let local = Local::with_bounds(&topics, 3, 1 << 10);
        let newest = Subscription::new().policy(OverflowPolicy::DropOldest);
        local.member().subscribe("room", newest).expect("there is room");
        local.hold(true);
        for number in 0..10 {
            topics.publish("room", number.to_string()).expect("it is published");
            local.take(Instant::now());
        }
        local.hold(false);
        assert_eq!(texts(&local), ["0", "8", "9"]);
        assert_eq!(local.member().lost(), 7);
    }
}
