//! One connection through the proxy: both directions, message by message.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, atomic::Ordering},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{Moment, Shared};

const NOTIFICATION: u8 = b'A';
const READY_FOR_QUERY: u8 = b'Z';
const PARSE: u8 = b'P';
const BIND: u8 = b'B';
const QUERY: u8 = b'Q';
const SYNC: u8 = b'S';

/// What both directions of a connection know.
#[derive(Default)]
struct Known {
    /// Prepared statements that say COMMIT.
    commits: HashSet<Vec<u8>>,
    /// For each Sync that was not answered: whether a COMMIT came before it.
    syncs: VecDeque<bool>,
    /// A COMMIT was bound since the last Sync.
    is_committing: bool,
}

/// Passes messages both ways until either end has gone.
pub async fn pass(client: TcpStream, server: TcpStream, id: u64, shared: &Shared) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let known = Mutex::new(Known::default());
    tokio::select! {
        () = upwards(from_client, to_server, id, shared, &known) => (),
        () = downwards(from_server, to_client, shared, &known) => (),
    }
}

/// From the client to the server: notes who listens and who commits.
async fn upwards(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    id: u64,
    shared: &Shared,
    known: &Mutex<Known>,
) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut is_started = false;
    loop {
        let mut passed = 0;
        while let Some(n) = message_len(&buffer[passed..], is_started) {
            let message = &buffer[passed..passed + n];
            if is_started && asks(message, id, shared, known) {
                // What came before the COMMIT was passed on already; this never is.
                let _ = to.write_all(&buffer[..passed]).await;
                return std::future::pending().await;
            }
            is_started = true;
            passed += n;
        }
        if to.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
        buffer.advance(passed);
        if !matches!(from.read_buf(&mut buffer).await, Ok(n) if n > 0) {
            return;
        }
    }
}

/// Reads a message of the client; true when it is a COMMIT to be held.
fn asks(message: &[u8], id: u64, shared: &Shared, known: &Mutex<Known>) -> bool {
    let mut known = known.lock().expect("nothing panics while it holds what is known");
    let body = &message[5..];
    match message[0] {
        QUERY => {
            known.syncs.push_back(false);
            if body.starts_with(b"listen ")
                && let Some(link) = shared.links().get_mut(&id)
            {
                link.listens = true;
            }
        }
        PARSE => {
            let mut parts = body.split(|byte| *byte == 0);
            if let (Some(name), Some(text)) = (parts.next(), parts.next())
                && text.eq_ignore_ascii_case(b"commit")
            {
                known.commits.insert(name.to_vec());
            }
        }
        BIND => {
            let statement = body.split(|byte| *byte == 0).nth(1).unwrap_or_default();
            known.is_committing |= known.commits.contains(statement);
            return known.is_committing && shared.springs(Moment::BeforeServer);
        }
        SYNC => {
            let is_committing = std::mem::take(&mut known.is_committing);
            known.syncs.push_back(is_committing);
        }
        _ => (),
    }
    false
}

/// From the server to the client: swallows notifications, and holds the answer of a COMMIT.
async fn downwards(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    known: &Mutex<Known>,
) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut is_first = true;
    loop {
        let mut kept = Vec::new();
        let mut passed = 0;
        while let Some(n) = message_len(&buffer[passed..], true) {
            let message = &buffer[passed..passed + n];
            passed += n;
            if message[0] == NOTIFICATION && shared.is_deaf.load(Ordering::Relaxed) {
                shared.swallowed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if message[0] == READY_FOR_QUERY {
                // The first one ends the login, which no Sync asked for.
                let committed = !std::mem::take(&mut is_first) && answered(known);
                if committed && shared.springs(Moment::AfterServer) {
                    return std::future::pending().await;
                }
            }
            kept.extend_from_slice(message);
        }
        buffer.advance(passed);
        if to.write_all(&kept).await.is_err() {
            return;
        }
        if !matches!(from.read_buf(&mut buffer).await, Ok(n) if n > 0) {
            return;
        }
    }
}

/// The oldest Sync was answered; whether a COMMIT came before it.
fn answered(known: &Mutex<Known>) -> bool {
    let mut known = known.lock().expect("nothing panics while it holds what is known");
    known.syncs.pop_front().unwrap_or(false)
}

/// The length of the first message, if all of it is here. The first of a client has no type.
fn message_len(bytes: &[u8], is_typed: bool) -> Option<usize> {
    let at = usize::from(is_typed);
    let len: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    let len = usize::try_from(u32::from_be_bytes(len)).ok()? + at;
    (bytes.len() >= len).then_some(len)
}
