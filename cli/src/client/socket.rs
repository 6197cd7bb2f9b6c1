//! One WebSocket: frames in, frames out, and the hello.
//!
//! Reading and writing happen in one poll: an edge that does not read for a while (its database is
//! away) must not keep us from answering its pings.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, Stream};
use skein_wire::hello::HelloAck;
use skein_wire::limit::FRAME_BYTES_MAX;
use skein_wire::push::Push;
use skein_wire::{Envelope, Refusal};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_with_config,
    connect_async_tls_with_config,
};

use crate::tls;

/// How long connecting and the TLS handshake may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long an edge may take to answer a hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// The default of 128 KiB is what a hundred clients in one process would mostly consist of.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// Frames that wait in memory for the socket; the rest waits in the outbox.
const QUEUED_MAX: usize = 256;

/// The close code of a socket whose session is attached elsewhere.
pub const REPLACED: u16 = 4409;

/// A stream that was upgraded, before its hello.
pub type Upgraded = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An attached socket.
pub struct Socket {
    stream: Upgraded,
    queued: VecDeque<Message>,
    is_dirty: bool,
}

/// What an edge sent.
#[derive(Debug)]
pub enum Frame {
    /// A text frame.
    Text(Utf8Bytes),
    /// A ping: the edge lives.
    Sign,
    /// The answer to a ping of ours.
    Pong(Bytes),
    /// The edge closed, with this code if it gave one.
    Close(Option<u16>),
}

/// Why a hello got nowhere.
#[derive(Debug)]
pub enum Failed {
    /// The edge said no.
    Rejected(Refusal),
    /// It could not be reached, or went away, or was too slow.
    Unreachable {
        /// The code of its close frame, if one came.
        code: Option<u16>,
        /// What happened.
        problem: String,
    },
}

/// What came with the answer to a hello.
pub struct Attached {
    /// The socket.
    pub socket: Socket,
    /// The answer.
    pub ack: HelloAck,
    /// What was pushed before it; the reference does that at times.
    pub early: Vec<Push>,
}

impl Socket {
    /// Connects to `url` and says `hello`.
    pub async fn attach(url: &str, hello: String) -> Result<Attached, Failed> {
        let stream = timeout(CONNECT_DEADLINE, connect(url))
            .await
            .map_err(|_| unreachable("no connection within 5 s"))?
            .map_err(|error| unreachable(error.to_string()))?;
        Self::greet(stream, hello).await
    }

    /// Says `hello` over a stream that was upgraded.
    pub async fn greet(stream: Upgraded, hello: String) -> Result<Attached, Failed> {
        let mut socket = Self { stream, queued: VecDeque::new(), is_dirty: false };
        socket.queue(hello.into());
        timeout(HELLO_DEADLINE, socket.answer())
            .await
            .map_err(|_| unreachable("no answer to hello within 5 s"))?
            .map(|(ack, early)| Attached { socket, ack, early })
    }

    async fn answer(&mut self) -> Result<(HelloAck, Vec<Push>), Failed> {
        let malformed = |_| unreachable("answer to hello is malformed");
        let mut early = Vec::new();
        loop {
            let text = match self.next().await {
                Ok(Frame::Text(text)) => text,
                Ok(Frame::Sign | Frame::Pong(_)) => continue,
                Ok(Frame::Close(code)) => {
                    return Err(Failed::Unreachable { code, problem: closed(code) });
                }
                Err(error) => return Err(unreachable(error)),
            };
            let head = Envelope::peek(&text).map_err(|error| unreachable(error.detail))?;
            match head.kind.as_str() {
                "hello_ack" => {
                    return Ok((serde_json::from_str(&text).map_err(malformed)?, early));
                }
                "error" => {
                    return Err(Failed::Rejected(serde_json::from_str(&text).map_err(malformed)?));
                }
                "push" => early.push(serde_json::from_str(&text).map_err(malformed)?),
                _ => (),
            }
        }
    }

    /// Takes a frame to be written while [`Socket::next`] waits.
    pub fn queue(&mut self, text: Utf8Bytes) {
        self.queued.push_back(Message::Text(text));
    }

    /// Pings the edge; [`Socket::next`] returns the pong.
    pub fn ping(&mut self, payload: impl Into<Bytes>) {
        self.queued.push_back(Message::Ping(payload.into()));
    }

    /// Whether more frames should be queued now.
    pub fn has_room(&self) -> bool {
        self.queued.len() < QUEUED_MAX
    }

    /// The next frame; meanwhile, what is queued is written. Safe to drop at any point. An error
    /// ends the socket.
    pub async fn next(&mut self) -> Result<Frame, String> {
        poll_fn(|context| self.poll(context)).await
    }

    /// A frame that is here already.
    pub fn ready(&mut self) -> Option<Result<Frame, String>> {
        futures_util::FutureExt::now_or_never(self.next())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, String>> {
        if let Err(error) = self.write(context) {
            return Poll::Ready(Err(error.to_string()));
        }
        loop {
            let frame = match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => Ok(Frame::Close(None)),
                Poll::Ready(Some(Err(error))) => Err(error.to_string()),
                Poll::Ready(Some(Ok(message))) => match message {
                    Message::Text(text) => Ok(Frame::Text(text)),
                    Message::Close(frame) => Ok(Frame::Close(frame.map(|f| f.code.into()))),
                    Message::Ping(_) => {
                        // The pong is queued by the library; it wants to be flushed.
                        self.is_dirty = true;
                        if let Err(error) = self.write(context) {
                            return Poll::Ready(Err(error.to_string()));
                        }
                        Ok(Frame::Sign)
                    }
                    Message::Pong(payload) => Ok(Frame::Pong(payload)),
                    Message::Binary(_) | Message::Frame(_) => continue,
                },
            };
            return Poll::Ready(frame);
        }
    }

    fn write(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        while !self.queued.is_empty() {
            match Pin::new(&mut self.stream).poll_ready(context)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(()) => {
                    let message = self.queued.pop_front().expect("the queue is not empty");
                    Pin::new(&mut self.stream).start_send(message)?;
                    self.is_dirty = true;
                }
            }
        }
        if self.is_dirty && Pin::new(&mut self.stream).poll_flush(context)?.is_ready() {
            self.is_dirty = false;
        }
        Ok(())
    }

    /// Writes what is queued and says goodbye, so that the departure counts at once.
    pub async fn close(mut self) {
        let goodbye = async {
            while !self.queued.is_empty() || self.is_dirty {
                self.next().await?;
            }
            self.stream.close(None::<CloseFrame>).await.map_err(|error| error.to_string())?;
            while !matches!(self.next().await?, Frame::Close(_)) {}
            Ok::<(), String>(())
        };
        // The edge may be gone; then there is nobody to say goodbye to.
        let _ = timeout(CLOSE_DEADLINE, goodbye).await;
    }
}

/// Connects to `url` up to the upgrade.
pub async fn connect(url: &str) -> Result<Upgraded, Error> {
    let connector = url.starts_with("wss:").then(|| Connector::Rustls(tls::config()));
    let connected = connect_async_tls_with_config(url, Some(settings()), true, connector).await;
    connected.map(|(stream, _)| stream)
}

/// Upgrades a stream that leads to `url`.
pub async fn upgrade(url: &str, stream: MaybeTlsStream<TcpStream>) -> Result<Upgraded, Error> {
    let upgraded = client_async_with_config(url, stream, Some(settings())).await;
    upgraded.map(|(stream, _)| stream)
}

fn settings() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
}

fn unreachable(problem: impl Into<String>) -> Failed {
    Failed::Unreachable { code: None, problem: problem.into() }
}

/// How a close reads.
pub fn closed(code: Option<u16>) -> String {
    code.map_or_else(|| "the connection was lost".into(), |code| format!("closed with {code}"))
}
