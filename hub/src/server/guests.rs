//! Connections that speak HTTP, until they end or are upgraded: counted, and cut where they are too many, the oldest first, so that
//! silent ones shut nobody out (catalogue: DS-02, DS-03).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::AbortHandle;

#[derive(Clone, Debug)]
pub(super) struct Guests(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By the order in which they came.
    tasks: BTreeMap<u64, Option<AbortHandle>>,
}

/// A place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    guests: Guests,
    number: u64,
}

impl Guests {
    /// So many at once.
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Shared { max, state: Mutex::default() }))
    }

    /// Lets one in; whether another one had to go for it.
    pub(super) fn enter(&self) -> (Guest, bool) {
        let has_cut = self.len() >= self.0.max;
        if has_cut {
            self.cut_one();
        }
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.tasks.insert(number, None);
        drop(state);
        (Guest { guests: self.clone(), number }, has_cut)
    }

    /// Cuts the oldest one, as something it has is wanted for others.
    pub(super) fn cut_one(&self) {
        let oldest = self.lock().tasks.pop_first();
        if let Some((_, Some(task))) = oldest {
            task.abort();
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().tasks.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Runs it in a task, by which it can be cut.
    pub(super) fn run(self, connection: impl Future<Output = ()> + Send + 'static) {
        let (guests, number) = (self.guests.clone(), self.number);
        let task = tokio::spawn(async move {
            let _place = self;
            connection.await;
        });
        let task = task.abort_handle();
        match guests.lock().tasks.get_mut(&number) {
            Some(place) => *place = Some(task),
            // It is over, or has been cut before it could be known how.
            None => task.abort(),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.lock().tasks.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, time::Duration};

    #[tokio::test]
    async fn the_oldest_makes_way() {
        let guests = Guests::new(2);
        let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (guest, has_cut) = guests.enter();
            assert_eq!(has_cut, number == 2);
            let ended = ended.clone();
            guest.run(async move {
                let _told = Told(number, ended);
                pending().await
            });
            // Begun, so that what it holds is there to be dropped.
            tokio::task::yield_now().await;
        }
        let first = tokio::time::timeout(Duration::from_secs(10), ends.recv()).await;
        assert_eq!(first, Ok(Some(0)));
        assert_eq!(guests.len(), 2);
    }

    struct Told(u32, tokio::sync::mpsc::UnboundedSender<u32>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.1.send(self.0);
        }
    }
}
