//! A queue against a list that is looked through for everything.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::broadcast::{Position, Publish};

#[derive(Clone, Debug)]
enum Op {
    Wait { topic: usize, key: u8 },
    LoseNewest { topic: usize },
    LoseOldest,
    Pop,
    PopAndPutBack { messages: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0_usize..3, 0_u8..3).prop_map(|(topic, key)| Op::Wait { topic, key }),
        2 => (0_usize..3).prop_map(|topic| Op::LoseNewest { topic }),
        2 => Just(Op::LoseOldest),
        2 => Just(Op::Pop),
        1 => (0_usize..5).prop_map(|messages| Op::PopAndPutBack { messages }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Lost,
    Out,
}

/// What was put in, in order: of which topic and key, and what became of it.
#[derive(Default)]
struct Model {
    all: Vec<(usize, u64, u8, State)>,
}

impl Model {
    fn of(&self, topic: usize) -> impl Iterator<Item = State> {
        self.all.iter().filter(move |(of, ..)| *of == topic).map(|(.., state)| *state)
    }

    fn next(&self, topic: usize) -> u64 {
        self.of(topic).count() as u64 + 1
    }

    /// Runs of lost ones, by topic.
    fn gaps(&self) -> usize {
        let runs = |topic| {
            let states: Vec<_> = [State::Out].into_iter().chain(self.of(topic)).collect();
            states.windows(2).filter(|pair| pair[0] != State::Lost && pair[1] == State::Lost).count()
        };
        (0..3).map(runs).sum()
    }

    fn waiting(&self) -> usize {
        self.all.iter().filter(|(.., state)| *state == State::Waits).count()
    }
}

fn publication(topic: usize, offset: u64, key: u8) -> Arc<Publication> {
    let publish = Publish::new("x".repeat(offset as usize)).key(vec![key]);
    let topic: Arc<str> = ["a", "b", "c"][topic].into();
    Arc::new(Publication::new(topic, Position { epoch: 1, offset }, publish))
}

fn run(ops: Vec<Op>, by: Option<ConflateBy>) {
    let (mut queue, mut model, mut number) = (Queue::default(), Model::default(), 0);
    // What left, as topic, offset, and whether it was lost.
    let mut out: Vec<(String, u64, bool)> = Vec::new();
    let take = |queue: &mut Queue, model: &mut Model, out: &mut Vec<_>| {
        let first = queue.first();
        let entry = queue.pop(by);
        assert_eq!(entry.as_ref().map(|entry| entry.number), first);
        let Some(entry) = entry else { return false };
        let (topic, offsets, lost) = match entry.what {
            What::Message(publication) => {
                let offset = publication.position().offset;
                (publication.topic.to_string(), offset..=offset, false)
            }
            What::Gap(gap) => (gap.topic.to_string(), gap.from..=gap.to, true),
        };
        let at = usize::from(topic.as_bytes()[0] - b'a');
        for offset in offsets {
            let of = model.all.iter_mut().find(|(topic, of, ..)| (*topic, *of) == (at, offset));
            let (.., state) = of.expect("it was put in");
            assert_eq!(*state, if lost { State::Lost } else { State::Waits });
            *state = State::Out;
            out.push((topic.clone(), offset, lost));
        }
        true
    };
    for op in ops {
        number += 1;
        match op {
            Op::Wait { topic, key } => {
                let publication = publication(topic, model.next(topic), key);
                if let Some(by) = by {
                    let is_same = |(of, _, with, state): &&mut (usize, u64, u8, State)| {
                        *of == topic && (by == ConflateBy::Topic || *with == key) && *state == State::Waits
                    };
                    let older = model.all.iter_mut().rev().find(is_same);
                    let lost = queue.lose_older(&super::key(&publication, by), GapReason::Slow);
                    assert_eq!(lost, older.is_some());
                    older.into_iter().for_each(|(.., state)| *state = State::Lost);
                }
                model.all.push((topic, model.next(topic), key, State::Waits));
                queue.push(number, publication, by);
            }
            Op::LoseNewest { topic } => {
                queue.lose_newest(number, &publication(topic, model.next(topic), 0), GapReason::Slow);
                model.all.push((topic, model.next(topic), 0, State::Lost));
            }
            Op::LoseOldest => {
                let oldest = model.all.iter_mut().find(|(.., state)| *state == State::Waits);
                assert_eq!(queue.lose_oldest(GapReason::Slow, by), oldest.is_some());
                oldest.into_iter().for_each(|(.., state)| *state = State::Lost);
            }
            Op::Pop => drop(take(&mut queue, &mut model, &mut out)),
            Op::PopAndPutBack { messages } => {
                let entries: Vec<_> = (0..messages).map_while(|_| queue.pop(by)).collect();
                entries.into_iter().rev().for_each(|entry| queue.put_back(entry.number, entry.what, by));
            }
        }
        let waiting = model.waiting();
        let bytes = model.all.iter().filter(|(.., state)| *state == State::Waits);
        assert_eq!((queue.messages(), queue.gaps()), (waiting, model.gaps()));
        assert_eq!(queue.bytes(), bytes.map(|(_, offset, ..)| *offset as usize + 2).sum::<usize>());
        assert_eq!(queue.is_empty(), waiting + model.gaps() == 0);
        assert_eq!(queue.keys.len(), if by.is_some() { waiting } else { 0 }, "a key for each that waits");
        assert!(queue.edges.len() <= 2 * queue.gaps.len());
        assert!(queue.messages.len() <= 2 * waiting + PLACES_KEPT);
    }
    while take(&mut queue, &mut model, &mut out) {}
    assert!(model.all.iter().all(|(.., state)| *state == State::Out));
    for topic in ["a", "b", "c"] {
        let offsets: Vec<_> =
            out.iter().filter(|(of, ..)| of == topic).map(|(_, offset, _)| *offset).collect();
        assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "each once, and in order");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_waits_and_what_is_lost_leave_in_order_with_no_more_gaps_than_there_must_be(
        ops in vec(op(), 1..120),
        by in prop_oneof![Just(None), Just(Some(ConflateBy::Key)), Just(Some(ConflateBy::Topic))],
    ) {
        run(ops, by);
    }
}

/// Where the epoch changes, the same offsets are others, and no gap goes from one to the other.
#[test]
fn gaps_of_two_epochs_are_two() {
    let mut queue = Queue::default();
    let gap = |epoch, from, to| Gap { topic: "t".into(), epoch, from, to, reason: GapReason::Broker };
    for (number, gap) in [gap(1, 1, 2), gap(2, 3, 4), gap(1, 3, 3), gap(2, 5, 5)].into_iter().enumerate() {
        queue.push_gap(number as u64, gap);
    }
    let mut gaps = Vec::new();
    while let Some(Entry { what: What::Gap(gap), .. }) = queue.pop(None) {
        gaps.push((gap.epoch, gap.from, gap.to));
    }
    gaps.sort_unstable();
    let told: Vec<_> =
        gaps.iter().flat_map(|(epoch, from, to)| (*from..=*to).map(|at| (*epoch, at))).collect();
    assert_eq!(told, [(1, 1), (1, 2), (1, 3), (2, 3), (2, 4), (2, 5)], "each told once");
}
