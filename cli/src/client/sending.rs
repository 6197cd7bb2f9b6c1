//! A send on its way.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Closed, Outcome, SendError};

/// A send on its way: a future of its `ack`.
#[derive(Debug)]
pub struct Sending {
    /// Our own id of it.
    pub id: String,
    pub(super) outcome: Inner,
}

/// Where its end will come from.
#[derive(Debug)]
pub(super) enum Inner {
    /// It ended before it began.
    Failed(Option<SendError>),
    /// The driver will tell.
    Waiting(oneshot::Receiver<Outcome>),
}

impl Sending {
    pub(super) fn failed(error: SendError) -> Self {
        Self { id: String::new(), outcome: Inner::Failed(Some(error)) }
    }

    /// Waits at most this long; the send goes on.
    pub async fn within(self, patience: Duration) -> Outcome {
        timeout(patience, self).await.unwrap_or(Err(SendError::TooLong))
    }
}

impl Future for Sending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.outcome {
            Inner::Failed(error) => {
                Poll::Ready(Err(error.take().expect("a future is not polled after its end")))
            }
            Inner::Waiting(outcome) => {
                let outcome = ready!(Pin::new(outcome).poll(context));
                Poll::Ready(outcome.unwrap_or(Err(SendError::Closed(Closed::Ours))))
            }
        }
    }
}

/// Counts something for as long as it lives.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
