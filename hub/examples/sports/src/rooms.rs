//! The hub: a room for each match and one for all scores, which clients only listen to.

use framecast_hub::{CloseCode, Denied, Hub, HubBuilder, Patterns, Rights};

use crate::{StartError, board::Board};

/// The room of a match.
pub(crate) fn of_match(id: u64) -> String {
    format!("match:{id}")
}

/// The hub, but for who may come in.
pub(crate) fn hub(board: &Board) -> Result<HubBuilder, StartError> {
    let listen = Rights { subscribe: Patterns::new(["match:*", SCORES])?, publish: Patterns::none() };
    let (known, first) = (board.clone(), board.clone());
    Ok(Hub::builder()
        .rights(listen.clone())
        .anonymous_rights(listen)
        .route("/ws/match/{id}", "match:{id}")
        .on_subscribe(move |_, room| match number(room) {
            Some(id) if known.has(id) => Ok(()),
            None if room == SCORES => Ok(()),
            _ => Err(Denied::closing(CloseCode::POLICY, "unknown match")),
        })
        .on_subscribed(move |_, room| match number(room) {
            Some(id) => first.match_data(id),
            None => first.match_list(),
        }))
}

/// The match of a room; none where the number is not written as the room of a match has it.
fn number(room: &str) -> Option<u64> {
    let id = room.strip_prefix("match:")?.parse().ok()?;
    (of_match(id) == room).then_some(id)
}

/// All scores, and which matches there are.
pub(crate) const SCORES: &str = "scores";

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_match_has_one_room() {
        assert_eq!(number("match:42"), Some(42));
        for other in [
            "match:042",
            "match:+42",
            "match:",
            "match:*",
            "match:4:2",
            "match:18446744073709551616",
            "scores",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
