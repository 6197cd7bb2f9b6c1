//! One socket: hello, then frames strictly in order, pushes and replies out, pings, and its end.
//!
//! The reading half handles one frame after the other; sends go to the writer without waiting for
//! their commit, and anything else first waits until those before it are stored. The writing half
//! owns the sink, writes what has gathered, flushes once, and follows pushes to clients without
//! `received` by a ping barrier: the pong with its payload settles what was written before it.
//!
//! Most sockets are idle most of the time, so what one holds while nothing happens is kept small:
//! the futures of what happens now and then are in boxes, and buffers are given back.

mod barrier;
mod rate;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use jiff::Timestamp;
use poem::{
    IntoResponse,
    web::{
        Data,
        websocket::{CloseCode, Message, WebSocket, WebSocketConfig, WebSocketStream},
    },
};
use skein_wire::{Code, Envelope, Refusal, hello, limit};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant as Moment, timeout, timeout_at},
};
use tracing::debug;

use self::{barrier::Barrier, rate::Rate};
use crate::{
    Edge, handlers,
    hello::{Accepted, Checked, Waiting},
    measure,
    node::Node,
    session::{Out, Outbox, Session},
};

/// Frames that a client may send before its hello was answered.
const EARLY_FRAMES_MAX: usize = 64;
/// Their bytes: past so many, the socket is not read until the answer.
const EARLY_BYTES_MAX: usize = 1024 * 1024;
/// What a socket's read buffer holds. Longer frames take what they need while they are read.
const READ_BUFFER_BYTES: usize = 2048;
/// How long the close frame may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Frames written before a flush.
const FLUSH_AFTER: usize = 64;
/// Room for frames to write that an idle socket keeps.
const BATCH_KEPT: usize = 4;
/// Pings leave at multiples of this: thousands of sockets then wake the process ten times a second
/// and not each on its own.
const PINGS_EVERY: Duration = Duration::from_millis(100);
/// A session that sends frames is noted as seen this often.
const SEEN_EVERY: Duration = Duration::from_secs(60);

type Sink = SplitSink<WebSocketStream, Message>;
type Stream = SplitStream<WebSocketStream>;

/// Serves a socket's upgrade. Frames may be twice the limit before the library refuses to read them,
/// so that one over the limit is closed with our own word.
#[poem::handler]
pub fn upgrade(socket: WebSocket, edge: Data<&Arc<Edge>>) -> impl IntoResponse + use<> {
    let node = edge.node();
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(2 * limit::FRAME_BYTES_MAX);
    config.max_frame_size = Some(2 * limit::FRAME_BYTES_MAX);
    // The library's default of 128 KiB would be nearly all the memory of an idle socket.
    config.read_buffer_size = READ_BUFFER_BYTES;
    // Frames gather in the stream below, which gives the memory back.
    config.write_buffer_size = 0;
    // Pongs to one that pings and does not read wait here; past it only the last does.
    config.max_write_buffer_size = 2 * limit::FRAME_BYTES_MAX;
    let sockets = node.sockets.clone();
    socket.config(config).on_upgrade(move |stream| sockets.track_future(serve(stream, node)))
}

/// How a socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client closed it.
    Clean,
    /// It broke, fell silent, or we closed it.
    Lost,
}

/// Serves a socket until it ends.
pub async fn serve(stream: WebSocketStream, node: Arc<Node>) {
    let (sink, mut stream) = stream.split();
    let (out, frames) = Outbox::new();
    let barrier = Arc::new(Barrier::default());
    let writing = tokio::spawn(write(sink, frames, out.clone(), barrier.clone()));
    let mut early = VecDeque::new();
    if let Some(session) = Box::pin(greet(&mut stream, &node, &out, &mut early)).await {
        let end = read(&mut stream, &node, &session, &barrier, early).await;
        Box::pin(node.leave(&session, end == End::Clean)).await;
    }
    out.close(1000, "");
    // What the client sent and nobody read would reset the connection, and with it the word of why
    // it ends. The writer ends by itself once the socket is closed.
    let unread = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = tokio::join!(timeout(2 * CLOSE_TIMEOUT, unread), writing);
}

/// Waits for a hello and for what becomes of it.
async fn greet(
    stream: &mut Stream,
    node: &Arc<Node>,
    out: &Outbox,
    early: &mut VecDeque<String>,
) -> Option<Arc<Session>> {
    let deadline = Moment::now() + limit::HELLO_DEADLINE;
    let frame = loop {
        let frame = tokio::select! {
            frame = timeout_at(deadline, next_text(stream, out)) => frame,
            () = out.closed.cancelled() => return None,
            () = node.stop.cancelled() => {
                out.close(1001, "shutting down");
                return None;
            }
        };
        let Ok(frame) = frame else {
            out.close(1008, "no hello");
            return None;
        };
        let frame = frame?;
        match Envelope::peek(&frame) {
            Ok(envelope) if envelope.kind == hello::TYPE => break frame,
            Ok(_) => out.frame(skein_wire::encode(&Refusal::new(Code::NoHello), None)),
            Err(_) => measure::unserved(),
        }
    };
    let checked = Checked::read(&frame, Timestamp::now());
    let (verdict, mut answer) = oneshot::channel();
    let waiting =
        Waiting { hello: Box::new(checked), out: out.clone(), since: Instant::now(), verdict };
    if !node.database_up() || node.hellos.try_send(waiting).is_err() {
        out.close(1013, "try again later");
        return None;
    }
    let mut n_early_bytes = 0;
    // Reading on tells whether the client has gone, before its hello costs a statement.
    let given = loop {
        tokio::select! {
            answer = &mut answer => break Some(answer),
            frame = next_text(stream, out),
                if early.len() < EARLY_FRAMES_MAX && n_early_bytes < EARLY_BYTES_MAX => match frame
            {
                Some(frame) => {
                    n_early_bytes += frame.len();
                    early.push_back(frame);
                }
                None => break None,
            },
            () = out.closed.cancelled() => break None,
        }
    };
    let Some(given) = given else {
        // It may have been accepted in this very moment.
        answer.close();
        if let Ok(Ok(accepted)) = answer.try_recv() {
            node.leave(&accepted.session, false).await;
        }
        return None;
    };
    match given {
        Ok(Ok(Accepted { session, ready })) => {
            // Given up only with the node itself.
            if ready.await.is_err() {
                node.leave(&session, false).await;
                return None;
            }
            Some(session)
        }
        Ok(Err(code)) => {
            reject(out, code);
            None
        }
        Err(_) => {
            out.close(1013, "try again later");
            None
        }
    }
}

fn reject(out: &Outbox, code: Code) {
    out.frame(skein_wire::encode(&Refusal::new(code), None));
    out.close(1008, code.as_str());
}

/// The next frame as text; `None` when the socket has ended.
async fn next_text(stream: &mut Stream, out: &Outbox) -> Option<String> {
    loop {
        match next(stream, out).await? {
            Heard::Text(text) => return Some(text),
            Heard::Pong(_) | Heard::Other => (),
            Heard::Close => return None,
        }
    }
}

enum Heard {
    Text(String),
    Pong(Vec<u8>),
    Close,
    Other,
}

async fn next(stream: &mut Stream, out: &Outbox) -> Option<Heard> {
    let message = match stream.next().await? {
        Ok(message) => message,
        Err(error) => {
            // Above the hard limit the frame is not read at all.
            if error.kind() == std::io::ErrorKind::InvalidData
                || error.to_string().contains("too long")
            {
                out.close(1009, "frame too large");
            }
            return None;
        }
    };
    if message.as_bytes().len() > limit::FRAME_BYTES_MAX {
        out.close(1009, "frame too large");
        return None;
    }
    let text = match message {
        Message::Text(text) => text,
        // What is no text is no message either, and answered like an empty frame.
        Message::Binary(bytes) => String::from_utf8(bytes).unwrap_or_default(),
        Message::Pong(payload) => return Some(Heard::Pong(payload)),
        Message::Ping(_) => return Some(Heard::Other),
        Message::Close(_) => return Some(Heard::Close),
    };
    Some(Heard::Text(text))
}

/// Handles frames until the socket ends.
async fn read(
    stream: &mut Stream,
    node: &Arc<Node>,
    session: &Arc<Session>,
    barrier: &Barrier,
    mut early: VecDeque<String>,
) -> End {
    let mut seen_at = Instant::now();
    let mut rate = Rate::new();
    loop {
        let heard = match early.pop_front() {
            Some(text) => Heard::Text(text),
            None => {
                let heard = tokio::select! {
                    heard = timeout(limit::PONG_DEADLINE, next(stream, &session.out)) => heard,
                    () = session.out.closed.cancelled() => return End::Lost,
                };
                match heard {
                    Ok(Some(heard)) => heard,
                    Ok(None) => return End::Lost,
                    Err(_) => {
                        session.out.close(1001, "silent");
                        return End::Lost;
                    }
                }
            }
        };
        match heard {
            Heard::Text(text) => {
                rate.take().await;
                Box::pin(handlers::serve(node, session, &text)).await;
                if seen_at.elapsed() > SEEN_EVERY {
                    seen_at = Instant::now();
                    Box::pin(node.seen(session)).await;
                }
            }
            Heard::Pong(payload) => {
                if let Some(last) = barrier.answered(&payload)
                    && !session.caps.ack
                {
                    node.received(session, |window| window.settle_until(last));
                }
            }
            Heard::Close => return End::Clean,
            // A ping, whose answer costs as much as another frame.
            Heard::Other => rate.take().await,
        }
    }
}

/// What the writing half does next.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// Writes the frames that have gathered.
    Frames,
    /// Sets the next barrier.
    Barrier,
    /// Asks whether the peer is there.
    Ping,
}

/// Writes what comes, until the socket is to close.
async fn write(
    mut sink: Sink,
    mut frames: mpsc::UnboundedReceiver<Out>,
    out: Outbox,
    barrier: Arc<Barrier>,
) {
    let mut pings = tokio::time::interval_at(first_ping(), limit::PING_INTERVAL);
    let mut last_push = 0;
    let mut batch = Vec::new();
    loop {
        let due = tokio::select! {
            biased;
            () = out.closed.cancelled() => break,
            n = frames.recv_many(&mut batch, FLUSH_AFTER) => {
                if n == 0 { break }
                Due::Frames
            }
            () = barrier.next.notified() => Due::Barrier,
            _ = pings.tick() => Due::Ping,
        };
        let writing = async {
            match due {
                Due::Frames => flush(&mut sink, &mut batch, &out, &mut last_push, &barrier).await,
                Due::Barrier => ping_barrier(&mut sink, last_push, &barrier).await,
                Due::Ping => sink.send(Message::Ping(b"skein".to_vec())).await,
            }
        };
        // A peer that reads nothing more holds up no end; what can be written at once is.
        let written = tokio::select! {
            biased;
            written = writing => written,
            () = out.closed.cancelled() => break,
        };
        if let Err(error) = written {
            debug!(%error, "a socket broke");
            out.closed.cancel();
            break;
        }
    }
    close(&mut sink, &mut frames, &out).await;
}

async fn flush(
    sink: &mut Sink,
    batch: &mut Vec<Out>,
    out: &Outbox,
    last_push: &mut u64,
    barrier: &Barrier,
) -> std::io::Result<()> {
    let mut n_bytes = 0;
    for frame in batch.drain(..) {
        let text = match frame {
            Out::Frame(text) => text,
            Out::Push(text, no) => {
                *last_push = no;
                text
            }
        };
        n_bytes += text.len();
        sink.feed(Message::Text(text)).await?;
    }
    if let Some(payload) = barrier.set(*last_push) {
        sink.feed(Message::Ping(payload.to_vec())).await?;
    }
    sink.flush().await?;
    out.written(n_bytes);
    batch.shrink_to(BATCH_KEPT);
    Ok(())
}

/// When a socket that begins now is first pinged.
fn first_ping() -> Moment {
    let every_ms = PINGS_EVERY.as_millis() as i64;
    let early_ms = Timestamp::now().as_millisecond().rem_euclid(every_ms);
    Moment::now() + limit::PING_INTERVAL - Duration::from_millis(early_ms.unsigned_abs())
}

async fn ping_barrier(sink: &mut Sink, last_push: u64, barrier: &Barrier) -> std::io::Result<()> {
    match barrier.set(last_push) {
        Some(payload) => sink.send(Message::Ping(payload.to_vec())).await,
        None => Ok(()),
    }
}

/// Says why, if we are the ones who close: what is queued of a rejection goes first.
async fn close(sink: &mut Sink, frames: &mut mpsc::UnboundedReceiver<Out>, out: &Outbox) {
    let (code, reason) = out.closing().unwrap_or((1000, ""));
    let goodbye = async {
        if matches!(code, 1008 | 1001 | 1000) {
            while let Ok(Out::Frame(text) | Out::Push(text, _)) = frames.try_recv() {
                sink.feed(Message::Text(text)).await?;
            }
        }
        sink.send(Message::Close(Some((CloseCode::from(code), reason.to_owned())))).await?;
        sink.close().await
    };
    // A socket that takes nothing any more is dropped.
    let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
}
