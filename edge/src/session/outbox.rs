//! A session's outbox: its way to its socket.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use skein_wire::limit;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Bytes that may wait for the socket before pages wait in the table instead.
const UNWRITTEN_BYTES_AIM: usize = 4 * 1024 * 1024;

/// What goes to a socket.
#[derive(Debug)]
pub enum Out {
    /// A frame.
    Frame(String),
    /// A push, whose window number a barrier may settle.
    Push(String, u64),
}

/// The way to a socket: bounded in bytes, and closable at once.
#[derive(Debug, Clone)]
pub struct Outbox {
    frames: mpsc::UnboundedSender<Out>,
    bytes: Arc<AtomicUsize>,
    closing: Arc<Mutex<Option<(u16, &'static str)>>>,
    /// Cancelled when the socket is to close; see [`Outbox::close`].
    pub closed: CancellationToken,
}

impl Outbox {
    /// An outbox, and what its socket reads from it.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Out>) {
        let (frames, read) = mpsc::unbounded_channel();
        let outbox = Self {
            frames,
            bytes: Arc::default(),
            closing: Arc::default(),
            closed: CancellationToken::new(),
        };
        (outbox, read)
    }

    /// Queues a frame. A socket with too much unwritten is closed instead (1013).
    pub fn send(&self, out: Out) {
        let n_bytes = match &out {
            Out::Frame(text) | Out::Push(text, _) => text.len(),
        };
        let before = self.bytes.fetch_add(n_bytes, Ordering::Relaxed);
        if before > 0 && before + n_bytes > limit::UNWRITTEN_BYTES_MAX {
            self.close(1013, "too slow");
            return;
        }
        // A socket that has gone reads nothing any more, which is no fault of the sender.
        let _ = self.frames.send(out);
    }

    /// Queues a frame that is no push.
    pub fn frame(&self, text: String) {
        self.send(Out::Frame(text));
    }

    /// Notes that these bytes were written.
    pub fn written(&self, n_bytes: usize) {
        self.bytes.fetch_sub(n_bytes, Ordering::Relaxed);
    }

    /// Whether so much is unwritten that pages had better wait in the table.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= UNWRITTEN_BYTES_AIM
    }

    /// How many bytes may be queued before pages wait.
    pub fn room(&self) -> usize {
        UNWRITTEN_BYTES_AIM.saturating_sub(self.bytes.load(Ordering::Relaxed))
    }

    /// Closes the socket at once with this code and reason; the first caller's hold.
    pub fn close(&self, code: u16, reason: &'static str) {
        let mut closing = self.closing.lock().expect("nothing panics while it closes");
        closing.get_or_insert((code, reason));
        self.closed.cancel();
    }

    /// What the socket is to be closed with.
    pub fn closing(&self) -> Option<(u16, &'static str)> {
        *self.closing.lock().expect("nothing panics while it closes")
    }
}
