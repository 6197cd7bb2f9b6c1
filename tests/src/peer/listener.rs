//! A peer that listens: it writes down every push as it came, and asks what it is told to ask.
//!
//! It attaches once and stays: whoever uses it leaves its edge alone. A push that comes twice is
//! written down twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use serde_json::{Value, json};
use skein_crypto::plain;
use skein_wire::clock::TICK;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::{
    Identity,
    raw::{Caps, hello_frame},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Asked = (Value, Option<oneshot::Sender<Value>>);

/// Something that a peer heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Which peer.
    pub by: usize,
    /// When.
    pub at: Instant,
    /// When, by the clock of the machine, in epoch milliseconds.
    pub at_ms: i64,
    /// What.
    pub what: What,
}

/// What a push says.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A tick of the simulation clock.
    Tick {
        /// Its number.
        number: i64,
        /// What the clock shows, epoch milliseconds.
        sim_ms: i64,
    },
    /// A message.
    Message {
        /// Its id, as hexadecimal digits alone.
        id: String,
        /// What it says, where that is text.
        text: String,
    },
    /// The socket is gone.
    Gone,
}

/// Everything that the listeners of a run heard, in order.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Heard>>>);

impl Log {
    /// What was heard so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.lock().clone()
    }

    /// What was heard after the first `n`.
    pub fn heard_after(&self, n: usize) -> Vec<Heard> {
        self.lock().iter().skip(n).cloned().collect()
    }

    fn write(&self, by: usize, what: What) {
        let (at, at_ms) = (Instant::now(), Timestamp::now().as_millisecond());
        self.lock().push(Heard { by, at, at_ms, what });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.0.lock().expect("nothing panics while it writes the log")
    }
}

/// See the module.
#[derive(Debug)]
pub struct Listener {
    /// Who it is.
    pub identity: Identity,
    /// What it says that it understands; ours takes its member's mail.
    pub caps: Caps,
    asking: mpsc::UnboundedSender<Asked>,
    running: JoinHandle<()>,
}

impl Listener {
    /// Attaches to the first of its edges, and writes what it hears into `log`.
    ///
    /// # Panics
    /// When it is not taken in.
    pub async fn attach(identity: Identity, caps: Caps, log: Log) -> Self {
        let (mut socket, _) =
            tokio_tungstenite::connect_async(&identity.edges[0]).await.expect("the edge is there");
        let mut hello = hello_frame(&identity, caps);
        if caps == Caps::Ours {
            hello["caps"] = json!(["ack", "replies", "inbox"]);
        }
        socket.send(Message::text(hello.to_string())).await.expect("the edge reads");
        let (asking, asked) = mpsc::unbounded_channel();
        let (attached, is_attached) = oneshot::channel();
        let by = identity.index;
        let hearing =
            Hearing { by, caps, log, asked, waiting: HashMap::new(), attached: Some(attached) };
        let running = tokio::spawn(hearing.run(socket));
        let attached = timeout(PATIENCE, is_attached).await;
        attached.expect("a hello is answered soon").expect("the peer is taken in");
        Self { identity, caps, asking, running }
    }

    /// Asks, and returns the answer, an `error` too. Several may be asked at once.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn ask(&self, frame: Value) -> Value {
        let kind = frame["type"].to_string();
        let (answered, answer) = oneshot::channel();
        // The task ends with this handle.
        let _ = self.asking.send((frame, Some(answered)));
        let answer = timeout(PATIENCE, answer).await;
        answer.ok().and_then(Result::ok).unwrap_or_else(|| panic!("{kind} is not answered"))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.running.abort();
    }
}

struct Hearing {
    by: usize,
    caps: Caps,
    log: Log,
    asked: mpsc::UnboundedReceiver<Asked>,
    waiting: HashMap<String, oneshot::Sender<Value>>,
    attached: Option<oneshot::Sender<()>>,
}

impl Hearing {
    async fn run(mut self, mut socket: Socket) {
        let mut n_asked = 0_u64;
        loop {
            let out = tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => {
                        self.came(&serde_json::from_str(&text).expect("an edge sends JSON"))
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => {
                        return self.log.write(self.by, What::Gone);
                    }
                    Some(Ok(_)) => None,
                },
                Some((mut frame, answered)) = self.asked.recv() => {
                    n_asked += 1;
                    let id = n_asked.to_string();
                    frame["_reqId"] = json!(id);
                    self.waiting.extend(answered.map(|answered| (id, answered)));
                    Some(frame)
                }
            };
            if let Some(out) = out
                && socket.send(Message::text(out.to_string())).await.is_err()
            {
                return self.log.write(self.by, What::Gone);
            }
        }
    }

    /// A frame came; returns what is said to it.
    fn came(&mut self, frame: &Value) -> Option<Value> {
        let field = |name: &str| frame[name].as_str().unwrap_or_default();
        if let Some(answered) = frame["_reqId"].as_str().and_then(|id| self.waiting.remove(id)) {
            // Who asked may have lost patience.
            let _ = answered.send(frame.clone());
            return None;
        }
        if field("type") == "hello_ack" {
            let _ = self.attached.take().map(|attached| attached.send(()));
            return None;
        }
        if field("type") != "push" {
            return None;
        }
        if field("event") == TICK {
            let data = &frame["eventData"];
            let shown = data["simTime"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let sim_ms = shown.map_or(i64::MIN, Timestamp::as_millisecond);
            let number = data["tick"].as_i64().unwrap_or(i64::MIN);
            self.log.write(self.by, What::Tick { number, sim_ms });
            return None;
        }
        if field("subtype") == "system" {
            return None;
        }
        let id: String = field("messageId").chars().filter(|c| *c != '-').collect();
        let text = plain::decode(field("ciphertext")).unwrap_or_default();
        self.log.write(self.by, What::Message { id, text });
        let received = || json!({"type": "received", "messageIds": [frame["messageId"]]});
        (self.caps == Caps::Ours).then(received)
    }
}
