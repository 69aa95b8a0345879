//! A topic as all shards share it: its offsets, its history, who wants it; and the topics of one lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    history::{History, Keeping, Position},
    places::shrink,
    presence::Presence,
};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) epoch: u64,
    /// The last message's offset.
    pub(super) last: u64,
    pub(super) history: History,
    pub(super) presence: Presence,
    /// Subscribers by shard,
    interest: Vec<u32>,
    /// and in all.
    pub(super) members: u32,
    /// When it may be forgotten, unless it is used until then.
    idle_until: Option<Instant>,
    /// It is in one of the stripe's lists of those that may be.
    is_listed: bool,
    /// It is in the stripe's list of those whose history ages.
    is_aging: bool,
}

impl Entry {
    fn new(name: Arc<str>, epoch: u64) -> Self {
        Self {
            name,
            epoch,
            last: 0,
            history: History::default(),
            presence: Presence::default(),
            interest: Vec::new(),
            members: 0,
            idle_until: None,
            is_listed: false,
            is_aging: false,
        }
    }

    pub(super) fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.last }
    }

    pub(super) fn wants(&self, shard: usize) -> bool {
        self.interest.get(shard).is_some_and(|count| *count > 0)
    }

    /// One subscriber more; whether it is the first.
    pub(super) fn come(&mut self, shard: usize) -> bool {
        if self.interest.len() <= shard {
            self.interest.resize(shard + 1, 0);
        }
        self.interest[shard] += 1;
        self.members += 1;
        self.members == 1
    }

    /// One subscriber less; whether it was the last.
    pub(super) fn go(&mut self, shard: usize) -> bool {
        let Some(count) = self.interest.get_mut(shard).filter(|count| **count > 0) else { return false };
        *count -= 1;
        self.members -= 1;
        self.members == 0
    }
}

/// The topics under one lock.
#[derive(Debug, Default)]
pub(super) struct Stripe {
    pub(super) topics: HashMap<Arc<str>, Entry>,
    /// Those that may be idle, the one that was looked at longest ago first;
    idle: VecDeque<Arc<str>>,
    /// and those among them that have a history: it is not for others' new topics to take their time from them.
    kept: VecDeque<Arc<str>>,
    /// Those that have a history, and when to look for what is too old in it, the next one first: else it would stay for ever where
    /// somebody is subscribed and nobody publishes. A name that is not its topic's own any more is of one that was forgotten.
    aging: VecDeque<(Instant, Arc<str>)>,
}

impl Stripe {
    /// The topic of this name, made if there is none. It is not forgotten until [`used`](Self::used) says that it was.
    pub(super) fn entry(&mut self, name: &str, epoch: impl FnOnce() -> u64) -> &mut Entry {
        if !self.topics.contains_key(name) {
            let name: Arc<str> = name.into();
            self.topics.insert(name.clone(), Entry::new(name, epoch()));
        }
        let entry = self.topics.get_mut(name).expect("it was put in if it was not there");
        entry.idle_until = None;
        entry
    }

    /// Takes note that a topic was used, so that it is kept for as long; one with subscribers is kept anyway.
    pub(super) fn used(&mut self, name: &str, now: Instant, keeping: &Keeping) {
        let age = keeping.limits.age;
        let Some(entry) = self.topics.get_mut(name) else { return };
        entry.idle_until = (entry.members == 0).then(|| now + age.max(IDLE_MIN));
        if entry.members == 0 && !std::mem::replace(&mut entry.is_listed, true) {
            let list = if entry.history.is_empty() { &mut self.idle } else { &mut self.kept };
            list.push_back(entry.name.clone());
        }
        if !entry.is_aging
            && !entry.history.is_empty()
            && let Some(at) = now.checked_add(age)
        {
            entry.is_aging = true;
            self.aging.push_back((at, entry.name.clone()));
        }
    }

    /// Forgets what is too old of some histories, each of which is looked at once in the age that it may have: so nothing is kept for
    /// more than twice that. Whether there is more to be looked at.
    pub(super) fn forget_old(&mut self, now: Instant, keeping: &Keeping) -> bool {
        for _ in 0..LOOKS {
            let Some((_, name)) = self.aging.pop_front_if(|(at, _)| *at <= now) else { break };
            let Some(entry) = self.topics.get_mut(&name) else { continue };
            if !Arc::ptr_eq(&entry.name, &name) {
                continue;
            }
            entry.history.forget_old(now, keeping);
            match now.checked_add(keeping.limits.age).filter(|_| !entry.history.is_empty()) {
                Some(at) => self.aging.push_back((at, name)),
                None => entry.is_aging = false,
            }
        }
        self.aging.front().is_some_and(|(at, _)| *at <= now)
    }

    /// Names in the list of those whose history ages.
    #[cfg(test)]
    pub(super) fn aging(&self) -> usize {
        self.aging.len()
    }

    /// Forgets some of those that were idle for long enough; how many it was.
    pub(super) fn forget_idle(&mut self, now: Instant, keeping: &Keeping) -> usize {
        let looks = [(false, LOOKS.min(self.idle.len())), (true, LOOKS.min(self.kept.len()))];
        let looks = looks.into_iter().flat_map(|(is_kept, looks)| std::iter::repeat_n(is_kept, looks));
        looks.filter(|is_kept| self.forget_next(*is_kept, now, keeping)).count()
    }

    /// Looks at the next one of a list, and forgets it if it was idle for long enough.
    fn forget_next(&mut self, is_kept: bool, now: Instant, keeping: &Keeping) -> bool {
        let list = if is_kept { &mut self.kept } else { &mut self.idle };
        let Some(name) = list.pop_front() else { return false };
        let Some(entry) = self.topics.get_mut(&name) else { return false };
        match entry.idle_until {
            None => entry.is_listed = false,
            Some(until) if until <= now => {
                self.forget(&name, keeping);
                return true;
            }
            Some(_) => list.push_back(name),
        }
        false
    }

    /// Forgets one that is idle at all and has no history, or one whose time is over; whether there was one. Of those that have a
    /// history one is looked at, so that it costs little to be refused.
    pub(super) fn forget_one(&mut self, now: Instant, keeping: &Keeping) -> bool {
        while let Some(name) = self.idle.pop_front() {
            match self.topics.get_mut(&name) {
                Some(entry) if entry.idle_until.is_none() => entry.is_listed = false,
                // It was published to since.
                Some(entry) if !entry.history.is_empty() => self.kept.push_back(name),
                Some(_) => {
                    self.forget(&name, keeping);
                    return true;
                }
                None => {}
            }
        }
        self.forget_next(true, now, keeping)
    }

    fn forget(&mut self, name: &str, keeping: &Keeping) {
        if let Some(mut entry) = self.topics.remove(name) {
            entry.history.clear(keeping);
        }
        shrink(&mut self.topics);
        for list in [&mut self.idle, &mut self.kept] {
            if list.len() < list.capacity() / 8 {
                list.shrink_to(2 * list.len());
            }
        }
        // Topics that come and go faster than they age would leave their names.
        if self.aging.len() > 2 * self.topics.len() + AGING_KEPT {
            let Self { topics, aging, .. } = self;
            aging.retain(|(_, name)| topics.get(name).is_some_and(|entry| Arc::ptr_eq(&entry.name, name)));
            aging.shrink_to(2 * aging.len());
        }
    }
}

/// Topics that are looked at for each one that is used: more than one, so that more go than come.
const LOOKS: usize = 4;
/// A topic without subscribers is kept so long in any case: whoever has subscribed by a wildcard is owed its offsets.
const IDLE_MIN: Duration = Duration::from_secs(60);
/// Names of topics that are gone that may be in a list in any case.
const AGING_KEPT: usize = 64;
