//! What whoever comes in is told at once: every match as it is, in memory, as the hub does not wait for a disk.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::value::{RawValue, to_raw_value};

use crate::model::{LINES_TOLD, Line, Match, Score, Told};

/// All matches; a clone is a reference count. Its lock is held for as long as a match takes to be written as JSON, and never while
/// something is published.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<u64, Match>>>);

impl Board {
    pub(crate) fn fill(&self, matches: impl IntoIterator<Item = Match>) {
        self.lock().extend(matches.into_iter().map(|of| (of.id, of)));
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.lock().contains_key(&id)
    }

    pub(crate) fn get(&self, id: u64) -> Option<Match> {
        self.lock().get(&id).cloned()
    }

    pub(crate) fn comment(&self, id: u64, line: &Line) {
        if let Some(of) = self.lock().get_mut(&id) {
            of.seq = line.seq;
            of.commentary.push(line.clone());
            let old = of.commentary.len().saturating_sub(LINES_TOLD);
            of.commentary.drain(..old);
        }
    }

    pub(crate) fn score(&self, id: u64, seq: u64, score: Score) {
        if let Some(of) = self.lock().get_mut(&id) {
            (of.seq, of.score) = (seq, score);
        }
    }

    /// `match_data`, for who comes into a match's room.
    pub(crate) fn match_data(&self, id: u64) -> Option<Box<RawValue>> {
        to_raw_value(&Told::MatchData { r#match: self.lock().get(&id)? }).ok()
    }

    /// `match_list`, for who comes into the room of all scores: the newest matches.
    pub(crate) fn match_list(&self) -> Option<Box<RawValue>> {
        let matches = self.lock();
        let newest = matches.values().rev().take(LISTED_MAX).map(Match::listed);
        to_raw_value(&Told::MatchList { matches: newest.collect() }).ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Match>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LISTED_MAX: usize = 100;
