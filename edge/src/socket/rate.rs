//! How fast a session may send.

use std::time::Duration;

use skein_wire::limit;
use tokio::time::Instant;

/// The token bucket of a session's sends: over it, the socket is not read.
pub struct Rate {
    tokens: f64,
    at: Instant,
}

impl Rate {
    /// A full bucket.
    pub fn new() -> Self {
        Self { tokens: f64::from(limit::SENDS_BURST), at: Instant::now() }
    }

    /// Takes a token; waits for it when there is none.
    pub async fn take(&mut self) {
        let now = Instant::now();
        let earned = now.duration_since(self.at).as_secs_f64() * f64::from(limit::SENDS_PER_SECOND);
        self.tokens = (self.tokens + earned).min(f64::from(limit::SENDS_BURST)) - 1.0;
        self.at = now;
        if self.tokens < 0.0 {
            let wait_s = -self.tokens / f64::from(limit::SENDS_PER_SECOND);
            tokio::time::sleep(Duration::from_secs_f64(wait_s)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn frames_beyond_the_burst_wait_for_their_tokens_and_none_is_refused() {
        let (began, mut rate) = (Instant::now(), Rate::new());
        for _ in 0..limit::SENDS_BURST {
            rate.take().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);

        for _ in 0..limit::SENDS_PER_SECOND {
            rate.take().await;
        }

        let took_s = began.elapsed().as_secs_f64();
        assert!((0.9..1.1).contains(&took_s), "a second's worth took {took_s} s");
    }
}
