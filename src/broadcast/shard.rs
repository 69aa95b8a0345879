//! The members of one event loop, or of one worker: who has subscribed to what there, what is published to them, and who waits.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    batch::Batch,
    gap::Gap,
    giving::{Giving, Handed, Outlets},
    inbox::{Command, Inbox},
    losses::Backlog,
    member::MemberState,
    name::base,
    options::Terms,
    patterns::Patterns,
    places::{Places, shrink},
    publication::{Delivery, Publication, Published},
    queue::Queue,
    topics::{Settings, Shards, Topics},
};
use crate::proto::CloseFrame;

/// A shard of [`Topics`], driven by whoever owns its members' sockets. It knows them by a `K`.
#[derive(Debug)]
pub(crate) struct Shard<K> {
    inbox: Arc<Inbox>,
    settings: Arc<Settings>,
    shards: Arc<Shards>,
    /// Taken from the inbox, and not done yet.
    commands: VecDeque<Command>,
    seats: Places<Seat<K>>,
    numbers: HashMap<u64, u32>,
    rooms: HashMap<Arc<str>, Room>,
    patterns: Patterns,
    turn: Turn,
    due: Due,
    /// How many have waited in the shard.
    waited: u64,
    /// Used anew for each member.
    handed: Vec<Handed>,
}

/// The subscribers of a name.
#[derive(Debug, Default)]
pub(super) struct Room(Vec<Subscriber>);

#[derive(Clone, Copy, Debug)]
struct Subscriber {
    seat: u32,
    subscription: u32,
}

/// A member's place in its shard.
#[derive(Debug)]
pub(super) struct Seat<K> {
    pub(super) member: Arc<MemberState>,
    pub(super) key: K,
    pub(super) subscriptions: Places<Entered>,
    pub(super) waiting: Waiting,
}

/// What is known of a member that cannot take everything at once.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Its outbox is not empty: what comes has to wait until it is.
    pub(super) behind: bool,
    /// It is closed, or gone.
    pub(super) closing: bool,
    /// It is to be closed like this, once it has what waits for it.
    pub(super) leaves_with: Option<Box<CloseFrame>>,
    /// Subscriptions that have a rate.
    pub(super) rates: u32,
    /// The subscriptions of which something waits.
    pub(super) subscriptions: Vec<u32>,
    /// Those among them that have ended.
    ended: Vec<u32>,
    /// That of what is published to all, once something of it had to wait.
    pub(super) everybody: Option<u32>,
}

/// A subscription as the shard has it.
#[derive(Debug)]
pub(super) struct Entered {
    name: Arc<str>,
    /// Its place among the subscribers of the name.
    at: usize,
    is_pattern: bool,
    pub(super) terms: Terms,
    pub(super) queue: Option<Box<Queue>>,
    /// Before then nothing more, by its rate.
    pub(super) not_before: Option<Instant>,
    /// The clock is set for then.
    pub(super) clock_is_set: bool,
    /// Nothing more comes; it stays for what waits.
    ended: bool,
}

impl Entered {
    pub(super) fn new(name: Arc<str>, is_pattern: bool, terms: Terms) -> Self {
        Self {
            name,
            at: 0,
            is_pattern,
            terms,
            queue: None,
            not_before: None,
            clock_is_set: false,
            ended: false,
        }
    }
}

/// What is published in one turn, and to whom.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) given: Vec<Given>,
    pub(super) parcels: Vec<Parcel>,
    pub(super) batch: Batch,
    touched: Vec<u32>,
    /// How many of the touched had their turn.
    done: usize,
    /// By a member's place. Apart from the seats, as all of a topic's are gone through to gather what is for them, and then once
    /// more to give it: so the first time costs a few bytes of the cache for each.
    chains: Vec<Chain>,
}

/// What a turn has for a member: the first and the last of a chain of parcels.
#[derive(Clone, Copy, Debug)]
struct Chain {
    first: u32,
    last: u32,
    taken: bool,
    touched: bool,
}

const EMPTY: Chain = Chain { first: NONE, last: NONE, taken: true, touched: false };

/// Something to give to members.
#[derive(Debug)]
pub(super) enum Given {
    Live(Delivery),
    /// Of the history, for one who comes back: nobody counts it.
    Missed(Arc<Publication>, Published),
    Lost(Gap),
}

impl Given {
    pub(super) fn publication(&self) -> Option<&Arc<Publication>> {
        match self {
            Self::Live(delivery) => Some(delivery.publication()),
            Self::Missed(publication, _) => Some(publication),
            Self::Lost(_) => None,
        }
    }

    pub(super) fn tally(&mut self) -> Option<&mut Published> {
        match self {
            Self::Live(delivery) => Some(delivery.tally()),
            Self::Missed(_, tally) => Some(tally),
            Self::Lost(_) => None,
        }
    }
}

/// One thing for one member, and which is its next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parcel {
    pub(super) given: u32,
    pub(super) subscription: u32,
    pub(super) next: u32,
}

/// When somebody's rate lets the next message through.
#[derive(Debug, Default)]
pub(super) struct Due(BinaryHeap<Reverse<(Instant, u64, u32)>>);

impl Due {
    pub(super) fn set(&mut self, at: Instant, member: u64, subscription: u32) {
        self.0.push(Reverse((at, member, subscription)));
    }
}

impl<K: 'static> Shard<K> {
    /// It does not keep the topics, which may keep it.
    pub(crate) fn new(topics: &Topics, inbox: Arc<Inbox>) -> Self {
        Self {
            inbox,
            settings: topics.0.settings.clone(),
            shards: topics.0.shards.clone(),
            commands: VecDeque::new(),
            seats: Places::default(),
            numbers: HashMap::new(),
            rooms: HashMap::new(),
            patterns: Patterns::default(),
            turn: Turn::default(),
            due: Due::default(),
            waited: 0,
            handed: Vec::new(),
        }
    }

    #[cfg_attr(not(any(feature = "reactor", test)), expect(dead_code, reason = "it is the reactor's"))]
    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// When to [work](Self::work) again, if nobody rings before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// Does what there is to do, for as many as `members` members; whether there is more.
    ///
    /// What was published since the last turn leaves in one write for each member, and one member after the other, so that the
    /// memory in which its messages gather is the same for all. Who comes and goes is work too (catalogue: DS-44).
    pub(crate) fn work(
        &mut self,
        now: Instant,
        outlets: &mut impl Outlets<Key = K>,
        mut members: usize,
    ) -> bool {
        self.fire(now);
        let mut commands = 0_usize;
        loop {
            while let Some(place) = self.turn.next() {
                if members == 0 {
                    self.turn.done -= 1;
                    return true;
                }
                members -= 1;
                self.give(place, now, outlets);
            }
            self.turn.finish();
            if self.commands.is_empty() {
                self.inbox.take(&mut self.commands);
                if self.commands.is_empty() {
                    return false;
                }
            }
            while self.turn.has_room()
                && let Some(command) = self.next_command()
            {
                self.obey(command, outlets);
                // What is for nobody here takes time too.
                commands += 1;
                if commands.is_multiple_of(COMMANDS_A_MEMBER) {
                    members = members.saturating_sub(1);
                    if members == 0 {
                        return true;
                    }
                }
            }
        }
    }

    /// Who comes or goes does so between two turns, so that no place changes its owner within one.
    fn next_command(&mut self) -> Option<Command> {
        let goes_on = match self.commands.front()? {
            Command::Publish(_) | Command::Everybody(_) | Command::Subscribe { .. } | Command::Lost(_) => {
                true
            }
            _ => self.turn.touched.is_empty(),
        };
        if goes_on { self.commands.pop_front() } else { None }
    }

    fn obey(&mut self, command: Command, outlets: &mut impl Outlets<Key = K>) {
        match command {
            Command::Join { member, key } => {
                let Ok(key) = key.downcast::<K>() else { return };
                let number = member.number;
                let place = self.seats.insert(Seat {
                    member,
                    key: *key,
                    subscriptions: Places::default(),
                    waiting: Waiting::default(),
                });
                self.numbers.insert(number, place);
                self.turn.came(place);
            }
            Command::Leave { member } => {
                // Its subscriptions have gone before it.
                if let Some(place) = self.numbers.remove(&member.number) {
                    shrink(&mut self.numbers);
                    self.turn.went(place);
                    if let Some(seat) = self.seats.remove(place) {
                        seat.leave(outlets);
                    }
                }
            }
            Command::Subscribe { member, name, is_pattern, terms, missed } => {
                self.subscribe(&member, name, is_pattern, terms, missed);
            }
            Command::Unsubscribe { member, name, is_pattern } => self.unsubscribe(&member, &name, is_pattern),
            Command::Publish(delivery) => {
                let topic = delivery.publication().topic.clone();
                let except = delivery.publication().except;
                self.address(&topic, except, Given::Live(delivery));
            }
            Command::Lost(gap) => self.address(&gap.topic.clone(), 0, Given::Lost(gap)),
            Command::Everybody(delivery) => {
                let except = delivery.publication().except;
                let given = self.turn.open(Given::Live(delivery));
                let except = self.numbers.get(&except).copied();
                self.turn.add_to_all(except, given);
            }
            Command::Drained { member } => {
                let Some(&place) = self.numbers.get(&member.number) else { return };
                let Some(seat) = self.seats.get_mut(place) else { return };
                seat.waiting.behind = false;
                self.turn.touch(place);
            }
            Command::Close { member, frame } => {
                let Some(&place) = self.numbers.get(&member.number) else { return };
                let Some(seat) = self.seats.get_mut(place) else { return };
                seat.waiting.leaves_with.get_or_insert(frame);
                self.turn.touch(place);
            }
        }
    }

    fn subscribe(
        &mut self,
        member: &MemberState,
        name: Arc<str>,
        is_pattern: bool,
        terms: Terms,
        missed: Vec<Arc<Publication>>,
    ) {
        let Some(&place) = self.numbers.get(&member.number) else { return };
        let Some(seat) = self.seats.get_mut(place) else { return };
        seat.waiting.rates += u32::from(terms.every.is_some());
        let subscription = seat.subscriptions.insert(Entered::new(name.clone(), is_pattern, terms));
        let room = match is_pattern {
            true => self.patterns.room(&name),
            false => self.rooms.entry(name).or_default(),
        };
        if let Some(entered) = seat.subscriptions.get_mut(subscription) {
            entered.at = room.0.len();
        }
        room.0.push(Subscriber { seat: place, subscription });
        for publication in missed {
            let given = self.turn.open(Given::Missed(publication, Published::default()));
            self.turn.add(place, given, subscription);
        }
    }

    fn unsubscribe(&mut self, member: &MemberState, name: &Arc<str>, is_pattern: bool) {
        let Some(&place) = self.numbers.get(&member.number) else { return };
        let room = match is_pattern {
            true => Some(self.patterns.room(name)),
            false => self.rooms.get_mut(name),
        };
        let Some(room) = room else { return };
        let Some(seat) = self.seats.get_mut(place) else { return };
        let is_it =
            |entered: &Entered| !entered.ended && entered.is_pattern == is_pattern && entered.name == *name;
        let found = seat.subscriptions.iter_mut().find(|(_, entered)| is_it(entered)).map(|(at, _)| at);
        let Some(subscription) = found else { return };
        let Some(entered) = seat.subscriptions.get_mut(subscription) else { return };
        let at = entered.at;
        entered.ended = true;
        // What was published until now still comes, but for what only a rate holds back; and no later for that rate, or what the
        // next subscription brings would come before it.
        if entered.queue.is_some() && seat.waiting.behind {
            entered.not_before = None;
            seat.waiting.rates -= u32::from(entered.terms.every.take().is_some());
            seat.waiting.ended.push(subscription);
        } else {
            seat.remove(subscription);
        }
        room.0.swap_remove(at);
        if let Some(moved) = room.0.get(at).copied() {
            let moved_seat = self.seats.get_mut(moved.seat);
            if let Some(moved) = moved_seat.and_then(|seat| seat.subscriptions.get_mut(moved.subscription)) {
                moved.at = at;
            }
        }
        if !room.is_empty() {
            return;
        }
        match is_pattern {
            true => self.patterns.forget(name),
            false => {
                self.rooms.remove(name);
                shrink(&mut self.rooms);
            }
        }
    }

    fn address(&mut self, topic: &str, except: u64, what: Given) {
        let given = self.turn.open(what);
        let Self { turn, numbers, rooms, patterns, .. } = self;
        let except = numbers.get(&except).copied().unwrap_or(NONE);
        let mut each = |room: &Room| {
            for subscriber in room.0.iter().filter(|subscriber| subscriber.seat != except) {
                turn.add(subscriber.seat, given, subscriber.subscription);
            }
        };
        if let Some(room) = rooms.get(topic) {
            each(room);
        }
        let (name, is_presence) = base(topic);
        if !patterns.is_empty() && !is_presence {
            patterns.each(name, &mut each);
        }
    }

    /// The clocks of rates.
    fn fire(&mut self, now: Instant) {
        while let Some(Reverse((at, member, subscription))) = self.due.0.peek().copied()
            && at <= now
        {
            self.due.0.pop();
            let Some(&place) = self.numbers.get(&member) else { continue };
            let Some(seat) = self.seats.get_mut(place) else { continue };
            if let Some(entered) = seat.subscriptions.get_mut(subscription) {
                entered.clock_is_set = false;
            }
            self.turn.touch(place);
        }
    }

    /// A member's turn.
    fn give(&mut self, place: u32, now: Instant, outlets: &mut impl Outlets<Key = K>) {
        let Self { seats, turn, due, waited, handed, settings, .. } = self;
        let first = turn.take_chain(place);
        let Some(seat) = seats.get_mut(place) else { return };
        let before = seat.backlog();
        let Seat { member, key, subscriptions, waiting } = seat;
        let is_there = outlets.with(key, |outlet| {
            Giving { member, subscriptions, waiting, outlet, settings, turn, due, waited, handed, now }
                .give(first);
        });
        if !is_there {
            waiting.closing = true;
            turn.drop_chain(first, member);
        }
        let now = seat.backlog();
        seat.member.count_waiting(before, now);
        if !seat.waiting.ended.is_empty() {
            seat.remove_ended();
        }
    }
}

#[cfg(test)]
impl<K> Shard<K> {
    /// What waits for a member: of each subscription the name, messages, bytes, gaps.
    pub(super) fn waiting(&mut self, member: u64) -> Vec<(String, usize, usize, usize)> {
        let Some(seat) = self.numbers.get(&member).and_then(|place| self.seats.get_mut(*place)) else {
            return Vec::new();
        };
        let of_one = |(_, entered): (u32, &mut Entered)| {
            let queue = entered.queue.as_ref()?;
            Some((entered.name.to_string(), queue.messages(), queue.bytes(), queue.gaps()))
        };
        seat.subscriptions.iter_mut().filter_map(of_one).collect()
    }

    /// Members and names for which it has room.
    pub(super) fn capacity(&self) -> usize {
        self.numbers.capacity().max(self.rooms.capacity())
    }

    /// Members, names and patterns' parts that it knows.
    pub(super) fn sizes(&self) -> [usize; 3] {
        [self.seats.len(), self.rooms.len(), self.patterns.len()]
    }
}

impl<K> Seat<K> {
    /// It gets nothing more, so that it is not to wait with its Close any longer; who is gone has no need of one.
    fn leave(mut self, outlets: &mut impl Outlets<Key = K>) {
        self.forsake();
        if let Some(frame) = self.waiting.leaves_with.take()
            && !self.waiting.closing
        {
            outlets.with(&self.key, |outlet| outlet.close(frame.code, &frame.reason));
        }
    }

    fn remove(&mut self, subscription: u32) {
        self.waiting.subscriptions.retain(|waiting| *waiting != subscription);
        let Some(entered) = self.subscriptions.remove(subscription) else { return };
        self.waiting.rates -= u32::from(entered.terms.every.is_some());
        let Some(queue) = entered.queue else { return };
        // If it did not end by itself, its rate alone was in the way.
        match self.waiting.closing || self.member.has_left() {
            true => self.member.count_closed(queue.messages() as u64),
            false => self.member.count_left_out(queue.messages() as u64),
        }
        self.member.count_waiting(queue.backlog(), Backlog::default());
    }

    /// What waits for it waits in vain.
    fn forsake(&mut self) {
        let waits = self.backlog();
        self.member.count_closed(waits.messages);
        self.member.count_waiting(waits, Backlog::default());
    }

    /// What waits for it.
    fn backlog(&mut self) -> Backlog {
        let mut all = Backlog::default();
        for place in &self.waiting.subscriptions {
            if let Some(Entered { queue: Some(queue), .. }) = self.subscriptions.get_mut(*place) {
                let Backlog { messages, bytes } = queue.backlog();
                all = Backlog { messages: all.messages + messages, bytes: all.bytes + bytes };
            }
        }
        all
    }

    /// Forgets the subscriptions that have ended and of which nothing waits any more.
    fn remove_ended(&mut self) {
        for subscription in std::mem::take(&mut self.waiting.ended) {
            match self.subscriptions.get_mut(subscription) {
                Some(Entered { queue: Some(_), .. }) => self.waiting.ended.push(subscription),
                _ => self.remove(subscription),
            }
        }
    }
}

impl<K> Drop for Shard<K> {
    fn drop(&mut self) {
        self.seats.iter_mut().for_each(|(_, seat)| seat.forsake());
        self.shards.detach(&self.inbox);
    }
}

impl Room {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Turn {
    /// Something is to be given.
    fn open(&mut self, what: Given) -> u32 {
        self.given.push(what);
        (self.given.len() - 1) as u32
    }

    fn came(&mut self, place: u32) {
        if self.chains.len() <= place as usize {
            self.chains.resize(place as usize + 1, Chain { taken: false, ..EMPTY });
        }
        self.chains[place as usize] = EMPTY;
    }

    fn went(&mut self, place: u32) {
        self.chains[place as usize].taken = false;
    }

    /// It is for this member, once.
    #[inline]
    fn add(&mut self, place: u32, given: u32, subscription: u32) {
        let chain = &mut self.chains[place as usize];
        let parcel = self.parcels.len() as u32;
        match self.parcels.get_mut(chain.last as usize) {
            // Another subscription of it matches too.
            Some(last) if last.given == given => return,
            Some(last) => last.next = parcel,
            None => chain.first = parcel,
        }
        chain.last = parcel;
        self.parcels.push(Parcel { given, subscription, next: NONE });
        self.touch(place);
    }

    fn add_to_all(&mut self, except: Option<u32>, given: u32) {
        for place in 0..self.chains.len() as u32 {
            if self.chains[place as usize].taken && except != Some(place) {
                self.add(place, given, EVERYBODY);
            }
        }
    }

    #[inline]
    fn touch(&mut self, place: u32) {
        if !std::mem::replace(&mut self.chains[place as usize].touched, true) {
            self.touched.push(place);
        }
    }

    /// The first of what is for this member; there is no more then.
    fn take_chain(&mut self, place: u32) -> u32 {
        let chain = &mut self.chains[place as usize];
        let first = chain.first;
        *chain = Chain { taken: chain.taken, ..EMPTY };
        first
    }

    fn next(&mut self) -> Option<u32> {
        let place = self.touched.get(self.done).copied()?;
        self.done += 1;
        Some(place)
    }

    fn has_room(&self) -> bool {
        self.parcels.len() < PARCELS_A_TURN
    }

    /// Nobody is there to take it.
    fn drop_chain(&mut self, mut parcel: u32, member: &MemberState) {
        while let Some(Parcel { given, next, .. }) = self.parcels.get(parcel as usize).copied() {
            member.count_not_given(&mut self.given[given as usize]);
            parcel = next;
        }
    }

    /// All had their turn: what was given is counted, as its deliveries are dropped.
    fn finish(&mut self) {
        self.batch.forget(&mut self.given);
        self.given.clear();
        self.parcels.clear();
        self.touched.clear();
        self.done = 0;
        if self.parcels.capacity() > 2 * PARCELS_A_TURN {
            self.parcels = Vec::new();
        }
    }
}

/// The subscription to what is published to all.
pub(super) const EVERYBODY: u32 = u32::MAX;
pub(super) const NONE: u32 = u32::MAX;
/// Commands that take as long as one member's turn.
const COMMANDS_A_MEMBER: usize = 32;
/// Messages times members that one turn gathers, at the most but for one message's.
const PARCELS_A_TURN: usize = 32 << 10;
