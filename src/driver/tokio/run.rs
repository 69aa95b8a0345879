//! `run`: the user's future and the pump in one task.
//!
//! User code runs until it yields, then what has gathered is written in one go, then the next read. This is what makes the
//! promise hold on every runtime: what was sent leaves when the task yields, and 32 requests of one read are answered in
//! one write.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ::tokio::io::{AsyncRead, AsyncWrite};
use pin_project_lite::pin_project;

use super::{
    pump::{Pump, STEPS_A_TURN, Step},
    shared::Shared,
};
use crate::driver::close_info::CloseInfo;
use crate::proto::CloseCode;

pin_project! {
    /// Runs a user's future and a pump to the end of both. When the future ends, the connection is closed with 1000; when it
    /// panics, with 1011, and the panic goes on once that is done.
    ///
    /// Written out, as an `async fn` would hold both twice, and an idle connection is made of little else.
    #[must_use]
    pub(super) struct Run<S, F: Future> {
        #[pin]
        user: User<F>,
        // None: it is done, and the socket is dropped, however long the user goes on.
        pump: Option<Pump<S>>,
        shared: Arc<Shared>,
    }
}

pin_project! {
    /// The user's future, and what came of it.
    #[project = UserProjection]
    #[project_replace = UserReplaced]
    enum User<F: Future> {
        Runs { #[pin] future: F },
        Ended { output: F::Output },
        Panicked { panic: Box<dyn Any + Send> },
        Told,
    }
}

impl<S, F: Future> Run<S, F> {
    pub(super) fn new(pump: Pump<S>, user: impl FnOnce() -> F) -> Self {
        let shared = pump.shared.clone();
        let user = match catch_unwind(AssertUnwindSafe(user)) {
            Ok(future) => User::Runs { future },
            Err(panic) => {
                shared.abandon(CloseCode::INTERNAL);
                User::Panicked { panic }
            }
        };
        Self { user, pump: Some(pump), shared }
    }
}

impl<F: Future> User<F> {
    /// Runs on; when that was its end, closes the connection. Whether it still runs.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, shared: &Shared) -> bool {
        let UserProjection::Runs { future } = self.as_mut().project() else { return false };
        let (ended, code) = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return true,
            Ok(Poll::Ready(output)) => (Self::Ended { output }, CloseCode::NORMAL),
            Err(panic) => (Self::Panicked { panic }, CloseCode::INTERNAL),
        };
        // Before the future goes: its `WebSocket` knows of no panic any more.
        shared.abandon(code);
        self.set(ended);
        false
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, F: Future> Future for Run<S, F> {
    type Output = (F::Output, CloseInfo);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        for _ in 0..STEPS_A_TURN {
            let runs = this.user.as_mut().poll(cx, this.shared);
            let Some(pump) = this.pump else {
                if runs {
                    return Poll::Pending;
                }
                return match this.user.as_mut().project_replace(User::Told) {
                    UserReplaced::Ended { output } => Poll::Ready((output, this.shared.close_info())),
                    UserReplaced::Panicked { panic } => resume_unwind(panic),
                    UserReplaced::Runs { .. } | UserReplaced::Told => Poll::Pending,
                };
            };
            match pump.step(cx) {
                Step::Progress | Step::Ending => {}
                Step::Pending => return Poll::Pending,
                Step::Done => *this.pump = None,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
