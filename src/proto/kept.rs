//! What few connections keep, and none both: the context of compression while it is open, how it ended once it is not. One box
//! for the two, as an idle connection is made of such pointers.

use super::{closing::Cause, deflate::Context};

#[derive(Debug, Default)]
pub(super) struct Kept(Option<Box<Rare>>);

#[derive(Debug)]
enum Rare {
    Context(Context),
    Ended(Cause),
}

impl Kept {
    /// What the peer's next compressed message may refer to.
    pub(super) fn history(&self) -> &[u8] {
        match self.0.as_deref() {
            Some(Rare::Context(context)) => context.history.bytes(),
            _ => &[],
        }
    }

    /// The context, made if there is none; none is made after the end.
    pub(super) fn context(&mut self) -> Option<&mut Context> {
        match &mut **self.0.get_or_insert_with(|| Box::new(Rare::Context(Context::default()))) {
            Rare::Context(context) => Some(context),
            Rare::Ended(_) => None,
        }
    }

    /// An end that no input brought.
    pub(super) fn ended(&mut self, cause: Cause) {
        self.0 = Some(Box::new(Rare::Ended(cause)));
    }

    pub(super) fn take_end(&mut self) -> Option<Cause> {
        let ended = self.0.take_if(|rare| matches!(**rare, Rare::Ended(_)))?;
        match *ended {
            Rare::Ended(cause) => Some(cause),
            Rare::Context(_) => None,
        }
    }
}
