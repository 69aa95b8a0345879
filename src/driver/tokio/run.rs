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
    close_info::CloseInfo,
    pump::{Pump, STEPS_A_TURN, Step},
    shared::Shared,
};
use crate::proto::CloseCode;

pin_project! {
    /// Runs a user's future and a pump to the end of both. When the future ends, the connection is closed with 1000; when it
    /// panics, with 1011, and the panic goes on once that is done.
    ///
    /// Written out, as an `async fn` would hold both twice, and an idle connection is made of little else.
    #[must_use]
    pub(super) struct Run<S, F: Future> {
        // None: it panicked before it was one.
        #[pin]
        user: Option<F>,
        // None: it is done, and the socket is dropped, however long the user goes on.
        pump: Option<Pump<S>>,
        shared: Arc<Shared>,
        output: Option<Result<F::Output, Box<dyn Any + Send>>>,
    }
}

impl<S, F: Future> Run<S, F> {
    pub(super) fn new(pump: Pump<S>, user: impl FnOnce() -> F) -> Self {
        let shared = pump.shared.clone();
        let (user, output) = match catch_unwind(AssertUnwindSafe(user)) {
            Ok(user) => (Some(user), None),
            Err(panic) => {
                shared.abandon(CloseCode::INTERNAL);
                (None, Some(Err(panic)))
            }
        };
        Self { user, pump: Some(pump), shared, output }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, F: Future> Future for Run<S, F> {
    type Output = (F::Output, CloseInfo);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        for _ in 0..STEPS_A_TURN {
            if this.output.is_none()
                && let Some(mut user) = this.user.as_mut().as_pin_mut()
            {
                match catch_unwind(AssertUnwindSafe(|| user.as_mut().poll(cx))) {
                    Ok(Poll::Pending) if this.pump.is_none() => return Poll::Pending,
                    Ok(Poll::Pending) => {}
                    Ok(Poll::Ready(output)) => {
                        *this.output = Some(Ok(output));
                        this.shared.abandon(CloseCode::NORMAL);
                    }
                    Err(panic) => {
                        *this.output = Some(Err(panic));
                        this.shared.abandon(CloseCode::INTERNAL);
                    }
                }
            }
            let Some(pump) = this.pump else {
                return match this.output.take() {
                    Some(Ok(output)) => Poll::Ready((output, this.shared.close_info())),
                    Some(Err(panic)) => resume_unwind(panic),
                    None => Poll::Pending,
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
