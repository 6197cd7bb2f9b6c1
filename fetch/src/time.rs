//! The time that a request may take: what it spends, without what it waits for.

use std::time::Duration;

use skein_wire::limit::FETCH_TOTAL;
use tokio::time::{Instant, timeout};

use crate::error::FetchError;

/// What is left of a request's time. Waits for our own capacity are not of it: they have bounds of
/// their own, and their end is no fault of whoever answers.
pub(crate) struct Time {
    left: Duration,
}

impl Time {
    /// All of it.
    pub(crate) fn new() -> Self {
        Self { left: FETCH_TOTAL }
    }

    /// Does something that takes of the time, for as long as there is some.
    pub(crate) async fn spend<T>(
        &mut self,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let began = Instant::now();
        let done = timeout(self.left, work).await;
        self.left = self.left.saturating_sub(began.elapsed());
        done.unwrap_or(Err(FetchError::Timeout))
    }

    /// How much of it was spent.
    pub(crate) fn spent(&self) -> Duration {
        FETCH_TOTAL - self.left
    }
}
