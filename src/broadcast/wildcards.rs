//! Which wildcards there are, over all shards: as many as there may be, however many have subscribed to them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{error::TopicError, places::shrink};

/// Subscriptions by pattern.
#[derive(Debug, Default)]
pub(super) struct Wildcards(Mutex<HashMap<Arc<str>, usize>>);

impl Wildcards {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One subscription more; the pattern, as all share it.
    pub(super) fn come(&self, pattern: &str, max: usize) -> Result<Arc<str>, TopicError> {
        let mut all = self.lock();
        let pattern = match all.get_key_value(pattern) {
            Some((pattern, _)) => pattern.clone(),
            None if all.len() >= max => return Err(TopicError::TooManyPatterns { max }),
            None => pattern.into(),
        };
        *all.entry(pattern.clone()).or_default() += 1;
        Ok(pattern)
    }

    /// One subscription less.
    pub(super) fn go(&self, pattern: &str) {
        let mut all = self.lock();
        let Some(subscriptions) = all.get_mut(pattern) else { return };
        *subscriptions -= 1;
        if *subscriptions == 0 {
            all.remove(pattern);
            shrink(&mut all);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}
