//! When each message of the open loop is due: a function of its number, so that nothing has to be kept of it.

use std::time::Duration;

/// Message `n` is due `n / rate` seconds after the start, on connection `n % connections`.
#[derive(Clone, Copy)]
pub(super) struct Schedule {
    pub(super) rate: f64,
    pub(super) connections: u64,
}

impl Schedule {
    pub(super) fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// How many messages are due within `elapsed`: those whose time is before it.
    pub(super) fn due_within(&self, elapsed: Duration) -> u64 {
        let mut count = (elapsed.as_secs_f64() * self.rate).ceil() as u64;
        // The product rounds; what `due` says holds.
        while count > 0 && self.due(count - 1) >= elapsed {
            count -= 1;
        }
        while self.due(count) < elapsed {
            count += 1;
        }
        count
    }

    pub(super) fn connection(&self, number: u64) -> usize {
        (number % self.connections) as usize
    }

    /// The number of a connection's message `nth`, counted from 0.
    pub(super) fn number(&self, connection: usize, nth: u64) -> u64 {
        nth * self.connections + connection as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn messages_are_due_at_even_distances_and_go_round_the_connections() {
        let schedule = Schedule { rate: 1000.0, connections: 3 };
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(7), 7 * MILLI);
        assert_eq!(
            (0..7).map(|number| schedule.connection(number)).collect::<Vec<_>>(),
            [0, 1, 2, 0, 1, 2, 0]
        );
        for number in 0..100 {
            assert_eq!(schedule.number(schedule.connection(number), number / 3), number);
        }
    }

    #[test]
    fn what_is_due_is_what_was_due_before() {
        let schedule = Schedule { rate: 1000.0, connections: 3 };
        assert_eq!(schedule.due_within(Duration::ZERO), 0);
        assert_eq!(schedule.due_within(Duration::from_nanos(1)), 1);
        assert_eq!(schedule.due_within(MILLI), 1);
        assert_eq!(schedule.due_within(MILLI + Duration::from_nanos(1)), 2);
        assert_eq!(schedule.due_within(Duration::from_secs(1)), 1000);
    }

    #[test]
    fn counting_agrees_with_the_times_at_odd_rates() {
        for rate in [0.3, 7.0, 333.3, 49_999.9, 3_000_000.0] {
            let schedule = Schedule { rate, connections: 1 };
            for number in [1, 2, 3, 10, 999, 12_345, 7_654_321] {
                let due = schedule.due(number);
                let before = schedule.due_within(due);
                assert!(before == 0 || schedule.due(before - 1) < due, "{rate} {number}");
                assert!(schedule.due(before) >= due, "{rate} {number}");
            }
        }
    }
}
