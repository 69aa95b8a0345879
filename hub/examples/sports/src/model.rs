//! What is said of matches, to clients and by REST, and what may be said.

use serde::{Deserialize, Serialize};

use crate::refused::Refused;

/// A match as whoever comes in is told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Match {
    /// Its number.
    pub(crate) id: u64,
    /// Who plays at home,
    pub(crate) home: String,
    /// and who is the guest.
    pub(crate) away: String,
    /// How it stands.
    pub(crate) score: Score,
    /// Its changes until now. Each has the next number, so that who gets one knows whether it has it already, or has missed some.
    pub(crate) seq: u64,
    /// The newest commentary, the oldest of it first; as much as [`LINES_TOLD`] of it.
    pub(crate) commentary: Vec<Line>,
}

/// Goals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Score {
    /// Those of who plays at home.
    pub(crate) home: u32,
    /// Those of the guest.
    pub(crate) away: u32,
}

/// A line of commentary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// Which change of its match it is.
    pub(crate) seq: u64,
    /// The minute that it tells of.
    pub(crate) minute: Option<u32>,
    /// What happens.
    pub(crate) text: String,
}

/// What those who watch are told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Told<'m> {
    /// To who comes into a match's room.
    MatchData { r#match: &'m Match },
    /// To who comes into the room of all scores: the newest matches.
    MatchList { matches: Vec<Listed<'m>> },
    /// To all scores.
    MatchCreated { r#match: Listed<'m> },
    /// To the match's room.
    Commentary {
        match_id: u64,
        #[serde(flatten)]
        line: &'m Line,
    },
    /// To the match's room, and to all scores.
    ScoreUpdate { match_id: u64, seq: u64, score: Score },
}

/// A match in a list.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Listed<'m> {
    id: u64,
    home: &'m str,
    away: &'m str,
    score: Score,
    seq: u64,
}

impl Match {
    pub(crate) fn listed(&self) -> Listed<'_> {
        let Self { id, home, away, score, seq, .. } = self;
        Listed { id: *id, home, away, score: *score, seq: *seq }
    }
}

/// A match to create.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMatch {
    pub(crate) home: String,
    pub(crate) away: String,
}

/// Commentary to add.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLine {
    pub(crate) minute: Option<u32>,
    pub(crate) text: String,
}

/// Something that was asked for, and may not make sense.
pub(crate) trait Check {
    fn check(&self) -> Result<(), Refused>;
}

impl Check for NewMatch {
    fn check(&self) -> Result<(), Refused> {
        check_text("home", &self.home, NAME_CHARS_MAX)?;
        check_text("away", &self.away, NAME_CHARS_MAX)
    }
}

impl Check for NewLine {
    fn check(&self) -> Result<(), Refused> {
        match self.minute {
            Some(minute) if minute > MINUTE_MAX => {
                Err(Refused::bad_request(format!("`minute` is {MINUTE_MAX} at most")))
            }
            _ => check_text("text", &self.text, LINE_CHARS_MAX),
        }
    }
}

impl Check for Score {
    fn check(&self) -> Result<(), Refused> {
        match self.home.max(self.away) > GOALS_MAX {
            true => Err(Refused::bad_request(format!("a side has {GOALS_MAX} goals at most"))),
            false => Ok(()),
        }
    }
}

fn check_text(name: &str, text: &str, chars_max: usize) -> Result<(), Refused> {
    if text.trim().is_empty() || text.chars().count() > chars_max || text.contains(char::is_control) {
        let message = format!("`{name}` has 1 to {chars_max} characters, none of them a control character");
        return Err(Refused::bad_request(message));
    }
    Ok(())
}

/// Lines of commentary that who comes in is told.
pub(crate) const LINES_TOLD: usize = 50;
const NAME_CHARS_MAX: usize = 80;
const LINE_CHARS_MAX: usize = 500;
/// A match with extra time has less.
const MINUTE_MAX: u32 = 200;
const GOALS_MAX: u32 = 999;
