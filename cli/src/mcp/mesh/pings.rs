//! Messages of a session to itself, by which `ping_mesh` measures the whole way. They are never
//! shown.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use skein_crypto::{Public, random};
use tokio::sync::oneshot;

use crate::client::message::Message;

/// What every such message begins with.
const PREFIX: &str = "__ping__ ";

/// Those that are on their way.
#[derive(Debug, Default)]
pub struct Pings(Mutex<HashMap<String, oneshot::Sender<Instant>>>);

impl Pings {
    /// A new text to send, and when it arrived.
    pub fn start(&self) -> (String, oneshot::Receiver<Instant>) {
        let text = format!("{PREFIX}{}", hex::encode(random::<8>()));
        let (arrived, arrival) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, waiter| !waiter.is_closed());
        waiting.insert(text.clone(), arrived);
        (text, arrival)
    }

    /// Whether the message is one of ours; then its way is over.
    pub fn arrived(&self, message: &Message, own: &Public) -> bool {
        if !is_ping(message, own) {
            return false;
        }
        let text = message.text.as_deref().unwrap_or_default();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrived) = waiting.remove(text) {
            // Whoever asked may have given up.
            let _ = arrived.send(Instant::now());
        }
        true
    }
}

/// Whether the message is of this session to itself.
pub fn is_ping(message: &Message, own: &Public) -> bool {
    message.sender_pubkey == own.hex()
        && message.text.as_deref().is_some_and(|text| text.starts_with(PREFIX))
}
