//! `run`: the user's future and the pump in one task.
//!
//! User code runs until it yields, then what has gathered is written in one go, then the next read. This is what makes the
//! promise hold on every runtime: what was sent leaves when the task yields, and 32 requests of one read are answered in
//! one write.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    task::Poll,
};

use ::tokio::io::{AsyncRead, AsyncWrite};

use super::{
    close_info::CloseInfo,
    pump::{Pump, STEPS_A_TURN, Step},
    shared::End,
};
use crate::proto::{Cause, CloseCode};

/// Runs `user` and the pump to the end of both. When `user` ends, the connection is closed with 1000; when it panics, with
/// 1011, and the panic goes on once that is done.
pub(super) async fn run<S, F>(mut pump: Pump<S>, user: F) -> (F::Output, CloseInfo)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future,
{
    let shared = pump.shared.clone();
    let mut user = pin!(user);
    let mut output = None;
    let mut pumped = false;
    poll_fn(|cx| {
        for _ in 0..STEPS_A_TURN {
            if output.is_none() {
                match catch_unwind(AssertUnwindSafe(|| user.as_mut().poll(cx))) {
                    Ok(Poll::Pending) if pumped => return Poll::Pending,
                    Ok(Poll::Pending) => {}
                    Ok(Poll::Ready(returned)) => {
                        output = Some(Ok(returned));
                        shared.abandon(CloseCode::NORMAL);
                    }
                    Err(panic) => {
                        output = Some(Err(panic));
                        shared.abandon(CloseCode::INTERNAL);
                    }
                }
            }
            if pumped {
                return Poll::Ready(());
            }
            match pump.step(cx) {
                Step::Progress | Step::Ending => {}
                Step::Pending => return Poll::Pending,
                Step::Done => pumped = true,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    let info = match &shared.lock().end {
        End::Told(info) => info.clone(),
        End::Open | End::Known(_) => CloseInfo::new(Cause::Eof, false),
    };
    match output {
        Some(Ok(output)) => (output, info),
        Some(Err(panic)) => resume_unwind(panic),
        None => unreachable!("the loop above ends with an output"),
    }
}
