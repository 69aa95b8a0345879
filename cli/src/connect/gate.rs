//! When the editor may be given something to print, as rustyline itself looks and then prints: what it is given in the moment
//! between two lines would come in the midst of a prompt, or before what was given earlier.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    printing: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no editor at work, yet or any more.
    #[default]
    Idle,
    /// Between two lines.
    Between,
    /// A line is edited.
    Editing,
}

impl Gate {
    /// Prints by `print`, which is told whether a line is edited; not between two lines.
    pub(super) fn print<T>(&self, print: impl FnOnce(Phase) -> T) -> T {
        let state = self.lock();
        let between = |state: &mut State| state.phase == Phase::Between;
        let mut state = self.changed.wait_while(state, between).unwrap_or_else(PoisonError::into_inner);
        state.printing = true;
        let phase = state.phase;
        drop(state);
        let printed = print(phase);
        self.lock().printing = false;
        self.changed.notify_all();
        printed
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.lock().phase = phase;
        self.changed.notify_all();
    }

    /// The prompt is there: from now on the editor prints.
    pub(super) fn line_begins(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Between {
            state.phase = Phase::Editing;
            self.changed.notify_all();
        }
    }

    /// The line is done, and the editor about to go. What is being handed to it is; what it has no place for waits inside
    /// for the next line, and must not be waited for.
    pub(super) fn line_ends(&self) {
        let mut state = self.lock();
        state.phase = Phase::Between;
        let printing = |state: &mut State| state.printing;
        drop(self.changed.wait_timeout_while(state, HAND_OVER, printing));
    }

    /// Until the editor has gone, and not for ever: the end of the command depends on it.
    pub(super) fn wait_for_idle(&self) {
        let at_work = |state: &mut State| state.phase != Phase::Idle;
        drop(self.changed.wait_timeout_while(self.lock(), FAREWELL, at_work));
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handing over takes microseconds.
const HAND_OVER: Duration = Duration::from_millis(50);
/// An editor that was woken takes no longer to go.
const FAREWELL: Duration = Duration::from_secs(1);
