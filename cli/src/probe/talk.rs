//! From a stream to a session: the upgrade, the hello, and a few words.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use skein_crypto::direct::Pairs;
use skein_crypto::{Keypair, random};
use skein_wire::messaging::{Ack, MessageStatus, Received, Send};
use skein_wire::push::Push;
use skein_wire::{Call, Code, Envelope, Priority, Refusal, encode};
use tokio::time::{sleep, timeout};

use super::route::Stream;
use super::{Fault, PATIENCE};
use crate::client::Config;
use crate::client::socket::{self, Failed, Frame, Socket, Upgraded};
use crate::time;

/// How long a message to ourselves may take; the edge looks for what was missed every 2 s.
const ECHO_PATIENCE: Duration = Duration::from_secs(10);
/// How often a hello is said again that met another in its millisecond.
const HELLOS_MAX: usize = 3;

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSession {
    /// The edge said no.
    Refused(Refusal),
    /// It closed, or said nothing.
    Lost {
        /// The code of the close frame, if one came.
        code: Option<u16>,
        /// What happened.
        what: String,
    },
}

/// An attached session that answers for itself: what is pushed to it is not settled, so it is
/// pushed again to whoever attaches with its key next.
pub struct Session {
    socket: Socket,
    keys: Keypair,
    early: VecDeque<Push>,
}

/// Asks for the upgrade to a WebSocket.
pub async fn upgrade(url: &str, stream: Stream) -> Result<Upgraded, Fault> {
    let fix = "behind a proxy, let it pass WebSocket upgrades of /ws on";
    match timeout(PATIENCE, socket::upgrade(url, stream)).await {
        Ok(Ok(upgraded)) => Ok(upgraded),
        Ok(Err(error)) => Err(Fault::new(format!("no upgrade to a WebSocket: {error}"), fix)),
        Err(_) => Err(Fault::new("no upgrade to a WebSocket within 5 s", fix)),
    }
}

impl Session {
    /// Says hello over an upgraded stream.
    pub async fn greet(upgraded: Upgraded, config: &Config) -> Result<Self, NoSession> {
        let hello = encode(&config.hello(time::now_ms()), None);
        match Socket::greet(upgraded, hello).await {
            Ok(attached) => Ok(Self {
                socket: attached.socket,
                keys: config.session.clone(),
                early: attached.early.into(),
            }),
            Err(Failed::Rejected(refusal)) => Err(NoSession::Refused(refusal)),
            Err(Failed::Unreachable { code, problem }) => {
                Err(NoSession::Lost { code, what: problem })
            }
        }
    }

    /// Connects to a socket URL and says hello.
    pub async fn attach(url: &str, config: &Config) -> Result<Self, NoSession> {
        let lost = |what: String| NoSession::Lost { code: None, what };
        for tried in 1.. {
            let opened = timeout(PATIENCE, socket::connect(url)).await;
            let opened = opened.map_err(|_| lost("no connection within 5 s".into()))?;
            let upgraded = opened.map_err(|error| lost(error.to_string()))?;
            match Self::greet(upgraded, config).await {
                Err(NoSession::Refused(refusal))
                    if refusal.code == Code::Replayed.as_str() && tried < HELLOS_MAX =>
                {
                    sleep(Duration::from_millis(2)).await;
                }
                other => return other,
            }
        }
        unreachable!("the loop returns at the last hello")
    }

    /// Round trip to the edge: a WebSocket ping and its pong.
    pub async fn ping(&mut self) -> Result<Duration, String> {
        let payload = random::<8>().to_vec();
        let since = Instant::now();
        self.socket.ping(payload.clone());
        let pong = async {
            loop {
                if let Frame::Pong(answer) = self.next().await?
                    && answer == payload
                {
                    return Ok(since.elapsed());
                }
            }
        };
        within(PATIENCE, pong).await
    }

    /// Round trip to the database: what became of a message that never was.
    pub async fn query(&mut self) -> Result<Duration, String> {
        let since = Instant::now();
        let never = MessageStatus { message_id: hex::encode(random::<16>()) };
        match self.ask(&never).await? {
            Ok(_) => Err("the server knows a message that never was".into()),
            Err(refusal) if refusal.code == Code::NotFound.as_str() => Ok(since.elapsed()),
            Err(refusal) => Err(format!("{}: {}", refusal.code, refusal.message)),
        }
    }

    /// Asks something.
    pub async fn ask<C: Call>(&mut self, call: &C) -> Result<Result<C::Reply, Refusal>, String>
    where
        C::Reply: DeserializeOwned,
    {
        let req_id = hex::encode(random::<8>());
        self.socket.queue(encode(call, Some(&req_id)).into());
        let answer = async {
            loop {
                let Frame::Text(text) = self.next().await? else { continue };
                let head = Envelope::peek(&text).map_err(|problem| problem.to_string())?;
                if head.req_id.as_ref() != Some(&req_id) {
                    continue;
                }
                let read = if head.kind == "error" {
                    serde_json::from_str(&text).map(Err)
                } else {
                    serde_json::from_str(&text).map(Ok)
                };
                return read.map_err(|error| format!("malformed answer: {error}"));
            }
        };
        within(PATIENCE, answer).await
    }

    /// Sends a sealed message to `to`, which may be this very session; returns its id when it is
    /// stored.
    pub async fn send(&mut self, to: &Keypair, text: &str) -> Result<String, String> {
        let sealed = Pairs::new(&self.keys.secret)
            .seal(&to.public, text)
            .map_err(|error| error.to_string())?;
        let id = hex::encode(random::<16>());
        let send = Send {
            id: Some(id.clone()),
            target_spec: to.public.hex(),
            priority: Priority::Now,
            nonce: sealed.nonce,
            ciphertext: sealed.ciphertext,
        };
        self.socket.queue(encode(&send, None).into());
        let stored = async {
            loop {
                let Frame::Text(text) = self.next().await? else { continue };
                let head = Envelope::peek(&text).map_err(|problem| problem.to_string())?;
                match head.kind.as_str() {
                    "ack" => {
                        let ack: Ack = serde_json::from_str(&text).map_err(malformed)?;
                        if ack.id == id {
                            return Ok(ack.message_id);
                        }
                    }
                    "error" => {
                        let refusal: Refusal = serde_json::from_str(&text).map_err(malformed)?;
                        return Err(format!("{}: {}", refusal.code, refusal.message));
                    }
                    // The message may overtake its ack.
                    "push" => self.early.push_back(serde_json::from_str(&text).map_err(malformed)?),
                    _ => (),
                }
            }
        };
        within(ECHO_PATIENCE, stored).await
    }

    /// Waits for a message from `from`, opens it, and settles it.
    pub async fn receive(&mut self, from: &Keypair, id: &str) -> Result<String, String> {
        let pairs = Pairs::new(&self.keys.secret);
        let pushed = async {
            loop {
                let push = match self.early.pop_front() {
                    Some(push) => push,
                    None => match self.next().await? {
                        Frame::Text(text) if Envelope::peek(&text).is_ok_and(is_push) => {
                            serde_json::from_str(&text).map_err(malformed)?
                        }
                        _ => continue,
                    },
                };
                if push.message_id == id {
                    return Ok(push);
                }
            }
        };
        let push = within(ECHO_PATIENCE, pushed).await?;
        let received = Received { message_ids: vec![push.message_id] };
        self.socket.queue(encode(&received, None).into());
        pairs
            .open(&from.public, &push.nonce, &push.ciphertext)
            .map_err(|error| format!("it came and does not open: {error}"))
    }

    /// Writes what is queued and says goodbye.
    pub async fn close(self) {
        self.socket.close().await;
    }

    async fn next(&mut self) -> Result<Frame, String> {
        match self.socket.next().await? {
            Frame::Close(code) => Err(socket::closed(code)),
            frame => Ok(frame),
        }
    }
}

fn is_push(head: Envelope) -> bool {
    head.kind == "push"
}

fn malformed(error: serde_json::Error) -> String {
    format!("malformed answer: {error}")
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let late = |_| Err(format!("nothing came within {} s", patience.as_secs()));
    timeout(patience, work).await.unwrap_or_else(late)
}
