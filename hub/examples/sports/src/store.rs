//! Matches in SQLite. Every call waits for the disk: it is [`desk`](crate::desk)'s thread that makes them.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::{
    model::{LINES_TOLD, Line, Match, NewLine, NewMatch, Score},
    refused::Refused,
};

/// The database.
#[derive(Debug)]
pub(crate) struct Store(Connection);

impl Store {
    /// Opens a file, or makes it.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // What was answered is on the disk: `FULL` waits for it, and WAL makes that one write.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.execute_batch(TABLES)?;
        Ok(Self(connection))
    }

    /// All matches, by their numbers.
    pub(crate) fn matches(&self) -> rusqlite::Result<Vec<Match>> {
        let mut matches =
            self.0.prepare("SELECT id, home, away, home_goals, away_goals, seq FROM matches ORDER BY id")?;
        let matches = matches.query_map([], |row| {
            Ok(Match {
                id: row.get(0)?,
                home: row.get(1)?,
                away: row.get(2)?,
                score: Score { home: row.get(3)?, away: row.get(4)? },
                seq: row.get(5)?,
                commentary: Vec::new(),
            })
        })?;
        let mut matches: Vec<_> = matches.collect::<Result<_, _>>()?;
        let newest = "SELECT seq, minute, text FROM commentary WHERE match_id = ? ORDER BY seq DESC LIMIT ?";
        let mut newest = self.0.prepare(newest)?;
        for of in &mut matches {
            let lines = newest.query_map(params![of.id, LINES_TOLD], |row| {
                Ok(Line { seq: row.get(0)?, minute: row.get(1)?, text: row.get(2)? })
            })?;
            of.commentary = lines.collect::<Result<_, _>>()?;
            of.commentary.reverse();
        }
        Ok(matches)
    }

    /// A new match, of which nothing is said yet.
    pub(crate) fn create(&mut self, NewMatch { home, away }: NewMatch) -> Result<Match, Refused> {
        let created = self.0.transaction()?;
        let count: usize = created.query_row("SELECT count(*) FROM matches", [], |row| row.get(0))?;
        if count >= MATCHES_MAX {
            return Err(Refused::full(format!("there are {MATCHES_MAX} matches already")));
        }
        created.execute("INSERT INTO matches (home, away) VALUES (?, ?)", params![home, away])?;
        let id = created.last_insert_rowid().unsigned_abs();
        created.commit()?;
        Ok(Match { id, home, away, score: Score::default(), seq: 0, commentary: Vec::new() })
    }

    /// One line more.
    pub(crate) fn comment(&mut self, id: u64, NewLine { minute, text }: NewLine) -> Result<Line, Refused> {
        let added = self.0.transaction()?;
        let seq = next(&added, id)?;
        if seq > CHANGES_MAX {
            return Err(Refused::full(format!("a match has {CHANGES_MAX} changes at most")));
        }
        let insert = "INSERT INTO commentary (match_id, seq, minute, text) VALUES (?, ?, ?, ?)";
        added.execute(insert, params![id, seq, minute, text])?;
        added.commit()?;
        Ok(Line { seq, minute, text })
    }

    /// Another score; which change of the match it is.
    pub(crate) fn score(&mut self, id: u64, Score { home, away }: Score) -> Result<u64, Refused> {
        let set = self.0.transaction()?;
        let seq = next(&set, id)?;
        set.execute(
            "UPDATE matches SET home_goals = ?, away_goals = ? WHERE id = ?",
            params![home, away, id],
        )?;
        set.commit()?;
        Ok(seq)
    }
}

/// The number of a match's next change.
fn next(change: &Transaction<'_>, id: u64) -> Result<u64, Refused> {
    // SQLite has no number that is larger: none of its matches has it.
    let id = i64::try_from(id).map_err(|_| Refused::not_found())?;
    let next = "UPDATE matches SET seq = seq + 1 WHERE id = ? RETURNING seq";
    change.query_row(next, [id], |row| row.get(0)).optional()?.ok_or_else(Refused::not_found)
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS matches (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        home TEXT NOT NULL,
        away TEXT NOT NULL,
        home_goals INTEGER NOT NULL DEFAULT 0,
        away_goals INTEGER NOT NULL DEFAULT 0,
        seq INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE IF NOT EXISTS commentary (
        match_id INTEGER NOT NULL REFERENCES matches,
        seq INTEGER NOT NULL,
        minute INTEGER,
        text TEXT NOT NULL,
        PRIMARY KEY (match_id, seq)
    ) STRICT, WITHOUT ROWID;";
/// All of them are in memory as well, with what is told of them first.
const MATCHES_MAX: usize = 10_000;
const CHANGES_MAX: u64 = 100_000;
