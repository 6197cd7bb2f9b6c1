//! The connection of a process: hello, frames both ways, reports, and again after a while.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc::UnboundedReceiver,
    time::{Instant, Interval, interval_at, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{Shared, files, now_ms};
use crate::harness::SOON;

/// What it waits before it tries again, by how often it failed; then as long as the last.
const DELAYS_S: [u64; 6] = [1, 2, 4, 8, 16, 30];
/// How long it waits for a `hello_ack`.
const HELLO_WAIT: Duration = Duration::from_secs(5);
/// How often it reports its counters.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// What a test has it do.
pub enum Order {
    Text(String),
    Break,
    Lose,
    Stop,
    Hurry,
    Close,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

enum End {
    /// It tries again in a while.
    Lost,
    /// It tries again when it is hurried.
    Away,
    Done,
}

/// Connects, and again whenever that has ended, whatever the reason was.
pub async fn run(shared: Arc<Shared>, mut orders: UnboundedReceiver<Order>) {
    let mut n_failed = 0;
    let mut reports = None;
    let mut is_first = true;
    loop {
        let mut opened = false;
        let end = once(&shared, &mut orders, &mut reports, is_first, &mut opened).await;
        shared.change(|state| state.is_open = false);
        if matches!(end, End::Done) {
            return;
        }
        is_first = false;
        n_failed = if opened { 0 } else { n_failed };
        let delay = Duration::from_secs(DELAYS_S[n_failed.min(DELAYS_S.len() - 1)]);
        let delay = if matches!(end, End::Away) { Duration::MAX } else { delay };
        n_failed += 1;
        if !pause(delay, &mut orders).await {
            return;
        }
    }
}

/// Waits its turn, or until it is hurried; `false`: it ends.
async fn pause(delay: Duration, orders: &mut UnboundedReceiver<Order>) -> bool {
    let turn = sleep(delay);
    tokio::pin!(turn);
    loop {
        tokio::select! {
            () = &mut turn => return true,
            order = orders.recv() => match order {
                Some(Order::Hurry) => return true,
                Some(Order::Close) | None => return false,
                Some(_) => (),
            },
        }
    }
}

/// A hello as 0.8.9 makes it: no groups, no word of what it understands.
fn hello(shared: &Shared) -> Value {
    let config = &shared.config;
    let (now, pubkey) = (now_ms(), &shared.member.public);
    let text = format!("{}|{}|{pubkey}|{now}", config.mesh_id, config.member_id);
    let mut hello = json!({
        "type": "hello", "meshId": config.mesh_id, "memberId": config.member_id,
        "pubkey": pubkey, "sessionPubkey": shared.session.public,
        "sessionId": shared.session_id, "pid": std::process::id(), "cwd": config.folder,
        "hostname": "host", "peerType": "ai", "channel": "claude-code",
        "timestamp": u64::try_from(now).unwrap(), "signature": shared.member.sign(&text),
    });
    if let Some(name) = &config.display_name {
        hello["displayName"] = json!(name);
    }
    hello
}

async fn connect(shared: &Shared) -> Option<Socket> {
    let url = shared.url.lock().unwrap().clone();
    let mut request = url.into_client_request().unwrap();
    let offer = "permessage-deflate; client_max_window_bits".parse().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Extensions", offer);
    let (socket, response) = connect_async(request).await.ok()?;
    assert!(!response.headers().contains_key("Sec-WebSocket-Extensions"), "{response:?}");
    Some(socket)
}

async fn once(
    shared: &Shared,
    orders: &mut UnboundedReceiver<Order>,
    reports: &mut Option<Interval>,
    is_first: bool,
    opened: &mut bool,
) -> End {
    let Some(mut socket) = connect(shared).await else { return End::Lost };
    if say(&mut socket, &hello(shared).to_string()).await.is_err() {
        return End::Lost;
    }
    let too_late = sleep_until(Instant::now() + HELLO_WAIT);
    tokio::pin!(too_late);
    let mut runs = true;
    loop {
        tokio::select! {
            message = socket.next(), if runs => {
                let Some(Ok(message)) = message else { return End::Lost };
                let Some(frame) = hear(shared, message) else { continue };
                if frame["type"] == "hello_ack" {
                    *opened = true;
                    let from = Instant::now() + REPORT_EVERY;
                    reports.get_or_insert_with(|| interval_at(from, REPORT_EVERY));
                    if welcome(shared, &mut socket, frame, is_first).await.is_err() {
                        return End::Lost;
                    }
                } else if let Some(answer) = files::answer(&shared.config.folder, &frame) {
                    if say(&mut socket, &answer.to_string()).await.is_err() {
                        return End::Lost;
                    }
                } else {
                    shared.change(|state| state.take(frame, &shared.session));
                }
            }
            order = orders.recv() => match order {
                Some(Order::Text(text)) => {
                    if say(&mut socket, &text).await.is_err() {
                        return End::Lost;
                    }
                }
                Some(Order::Break) => return End::Lost,
                Some(Order::Lose) => return End::Away,
                Some(Order::Stop) => runs = false,
                Some(Order::Hurry) => (),
                Some(Order::Close) | None => {
                    goodbye(&mut socket).await;
                    return End::Done;
                }
            },
            () = &mut too_late, if !*opened => return End::Lost,
            () = due(reports.as_mut()), if runs && *opened => {
                let stats = shared.state().counters.stats();
                let report = json!({"type": "set_stats", "stats": stats});
                if say(&mut socket, &report.to_string()).await.is_err() {
                    return End::Lost;
                }
            }
        }
    }
}

async fn due(reports: Option<&mut Interval>) {
    match reports {
        Some(reports) => {
            reports.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// What a message is to the client, beside pings, which the library answers, and closes.
fn hear(shared: &Shared, message: Message) -> Option<Value> {
    match message {
        Message::Text(text) => Some(serde_json::from_str(&text).expect("the edge sends JSON")),
        Message::Ping(_) => {
            shared.change(|state| state.pings += 1);
            None
        }
        Message::Close(Some(close)) => {
            let close = (u16::from(close.code), close.reason.to_string());
            shared.change(|state| state.closes.push(close));
            None
        }
        Message::Binary(_) => panic!("the edge sends text"),
        _ => None,
    }
}

/// Flushes what waited, and, if this was its first attempt, joins its groups back to back.
async fn welcome(
    shared: &Shared,
    socket: &mut Socket,
    frame: Value,
    is_first: bool,
) -> Result<(), ()> {
    let waited = shared.change(|state| state.open(frame));
    for text in waited {
        say(socket, &text).await?;
    }
    let groups = if is_first { shared.config.groups.as_slice() } else { &[] };
    for group in groups {
        let mut join = group.clone();
        join["type"] = json!("join_group");
        say(socket, &join.to_string()).await?;
    }
    Ok(())
}

async fn say(socket: &mut Socket, text: &str) -> Result<(), ()> {
    socket.send(Message::text(text)).await.map_err(drop)
}

async fn goodbye(socket: &mut Socket) {
    let _ = socket.close(None).await;
    let ended = timeout(SOON, async { while let Some(Ok(_)) = socket.next().await {} });
    ended.await.expect("the edge answers the close");
}
