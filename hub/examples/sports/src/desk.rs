//! The one thread that changes matches: on the disk, then on the board, then for those who watch. So all of them see the changes in the order that
//! the database has them in, whoever asks for how many at once, and no task waits for a disk.

use std::{thread, thread::JoinHandle};

use framecast_hub::Hub;
use serde_json::value::to_raw_value;
use tokio::sync::{mpsc, oneshot};

use crate::{
    board::Board,
    model::{Line, Match, NewLine, NewMatch, Score, Told},
    refused::Refused,
    rooms,
    store::Store,
};

/// The way to the desk; it closes when the last clone is gone.
#[derive(Clone, Debug)]
pub(crate) struct Desk(mpsc::Sender<Order>);

type Reply<T> = oneshot::Sender<Result<T, Refused>>;

#[derive(Debug)]
enum Order {
    Create(NewMatch, Reply<Match>),
    Comment(u64, NewLine, Reply<Line>),
    Score(u64, Score, Reply<u64>),
}

impl Desk {
    /// Opens it. The thread ends with what it was asked until the last clone was gone.
    pub(crate) fn open(store: Store, board: Board, hub: Hub) -> (Self, JoinHandle<()>) {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        (Self(orders), thread::spawn(move || Clerk { store, board, hub }.work(receiver)))
    }

    pub(crate) async fn create(&self, new: NewMatch) -> Result<Match, Refused> {
        self.ask(|reply| Order::Create(new, reply)).await
    }

    pub(crate) async fn comment(&self, id: u64, new: NewLine) -> Result<Line, Refused> {
        self.ask(|reply| Order::Comment(id, new, reply)).await
    }

    pub(crate) async fn score(&self, id: u64, score: Score) -> Result<u64, Refused> {
        self.ask(|reply| Order::Score(id, score, reply)).await
    }

    async fn ask<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.0.send(order(reply)).await.map_err(|_| Refused::unavailable())?;
        answer.await.unwrap_or_else(|_| Err(Refused::unavailable()))
    }
}

struct Clerk {
    store: Store,
    board: Board,
    hub: Hub,
}

impl Clerk {
    fn work(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.blocking_recv() {
            // Who has hung up wants no answer; what it asked for is done.
            match order {
                Order::Create(new, reply) => drop(reply.send(self.create(new))),
                Order::Comment(id, new, reply) => drop(reply.send(self.comment(id, new))),
                Order::Score(id, score, reply) => drop(reply.send(self.score(id, score))),
            }
        }
    }

    fn create(&mut self, new: NewMatch) -> Result<Match, Refused> {
        let created = self.store.create(new)?;
        self.board.fill([created.clone()]);
        self.tell(rooms::SCORES, &Told::MatchCreated { r#match: created.listed() });
        Ok(created)
    }

    fn comment(&mut self, id: u64, new: NewLine) -> Result<Line, Refused> {
        let line = self.store.comment(id, new)?;
        self.board.comment(id, &line);
        self.tell(&rooms::of_match(id), &Told::Commentary { match_id: id, line: &line });
        Ok(line)
    }

    fn score(&mut self, id: u64, score: Score) -> Result<u64, Refused> {
        let seq = self.store.score(id, score)?;
        self.board.score(id, seq, score);
        let update = Told::ScoreUpdate { match_id: id, seq, score };
        self.tell(&rooms::of_match(id), &update);
        self.tell(rooms::SCORES, &update);
        Ok(seq)
    }

    /// The change is made, whoever hears of it: who does not will miss its number.
    fn tell(&self, room: &str, payload: &Told<'_>) {
        let Ok(payload) = to_raw_value(payload) else { return };
        if let Err(error) = self.hub.publish(room, payload, None) {
            eprintln!("sports: {room}: {error}");
        }
    }
}

/// Changes that wait for the disk; who comes with one more waits for its turn.
const ORDERS_MAX: usize = 64;
