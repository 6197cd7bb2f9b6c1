//! A first measure: direct messages between pairs of peers over two edges.
//!
//! Real processes and real encryption on both sides; a message counts when its recipient has opened
//! it. PostgreSQL (fsync on), two edges, a worker and this program share the machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde_json::{Value, json};
use skein_crypto::{Public, direct::Pairs, hello, proof};
use skein_tests::{
    cpu,
    peer::Identity,
    place::{Place, Setup},
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::sleep,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// How long it runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// A body of 171 bytes is sealed and in base64 about 250 long.
const BODY_BYTES: usize = 171;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What is measured, as one run's settings: `load [PAIRS] [WINDOW] [SECONDS]`.
struct Settings {
    pairs: usize,
    window: usize,
    seconds: u64,
}

/// What the peers count.
struct Count {
    measuring: AtomicBool,
    received: AtomicU64,
    latencies_us: std::sync::Mutex<Histogram<u64>>,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let mut next = |default| arguments.next().unwrap_or(default);
    let settings = Settings {
        pairs: usize::try_from(next(50)).expect("pairs fit"),
        window: usize::try_from(next(16)).expect("a window fits"),
        seconds: next(10),
    };
    let setup = Setup { direct: true, ..Setup::default() };
    let mut place = Place::start(setup).await;
    let count = Arc::new(Count {
        measuring: AtomicBool::new(false),
        received: AtomicU64::new(0),
        latencies_us: std::sync::Mutex::new(Histogram::new(3).expect("three digits are possible")),
    });
    for pair in 0..settings.pairs {
        let from = place.enrol(2 * pair, pair % 2).await;
        let to = place.enrol(2 * pair + 1, (pair + 1) % 2).await;
        let key = to.session.public;
        receive(to, from.session.public, count.clone()).await;
        send(from, key, settings.window).await;
    }
    sleep(WARM_UP).await;

    let load_before = cpu::load();
    let postgres = place.server.pid();
    let edges: Vec<u32> = place.edges.iter_mut().map(|edge| edge.program().pid()).collect();
    let spent = |pids: &[u32]| pids.iter().map(|pid| cpu::spent(*pid)).sum::<Duration>();
    let own = [std::process::id()];
    let before = (spent(&[postgres]), spent(&edges), cpu::spent(own[0]));
    count.measuring.store(true, Ordering::Relaxed);
    let (since, received) = (Instant::now(), count.received.load(Ordering::Relaxed));
    sleep(Duration::from_secs(settings.seconds)).await;
    let n_messages = count.received.load(Ordering::Relaxed) - received;
    let took = since.elapsed();
    count.measuring.store(false, Ordering::Relaxed);
    let us = |after: Duration, before: Duration| {
        (after.saturating_sub(before)).as_secs_f64() * 1e6 / n_messages as f64
    };
    let quantile_ms = |quantile| {
        let latencies = count.latencies_us.lock().expect("nothing panics while it counts");
        latencies.value_at_quantile(quantile) as f64 / 1e3
    };
    let report = json!({
        "what": "direct", "pairs": settings.pairs, "window": settings.window,
        "bytes": BODY_BYTES, "seconds": took.as_secs_f64(), "messages": n_messages,
        "messagesPerSecond": n_messages as f64 / took.as_secs_f64(),
        "p50Ms": quantile_ms(0.5),
        "p99Ms": quantile_ms(0.99),
        "postgresCpuUs": us(spent(&[postgres]), before.0),
        "edgesCpuUs": us(spent(&edges), before.1),
        // The tree of this program holds the edges and PostgreSQL's guard, not PostgreSQL.
        "edgeRssMiB": edges.iter().map(|pid| cpu::resident(*pid) >> 20).collect::<Vec<_>>(),
        "loadBefore": load_before, "loadAfter": cpu::load(),
        "fsync": "on", "debugBuild": cfg!(debug_assertions),
    });
    println!("{report:#}");
    place.stop().await;
}

/// Connects and says hello as a client of ours.
async fn connect(identity: &Identity) -> Socket {
    let (mut socket, _) =
        tokio_tungstenite::connect_async(identity.edges[0].as_str()).await.expect("an edge serves");
    let now = Timestamp::now().as_millisecond();
    let mesh = identity.mesh_id.as_str();
    let secret = &identity.member.secret;
    let frame = json!({
        "type": "hello", "meshId": mesh, "memberId": identity.member_id,
        "pubkey": identity.member.public.hex(), "sessionPubkey": identity.session.public.hex(),
        "sessionId": "load", "pid": 1, "cwd": "/", "timestamp": now,
        "signature": hello::sign(secret, mesh, &identity.member_id, now).hex(),
        "caps": ["ack", "replies"],
        "sessionProof": proof::sign(secret, mesh, &identity.session.public, now),
    });
    socket.send(Message::text(frame.to_string())).await.expect("the socket is open");
    loop {
        let message = socket.next().await.expect("a hello is answered").expect("the socket holds");
        let Message::Text(text) = message else { continue };
        if text.contains("hello_ack") {
            return socket;
        }
    }
}

/// Sends sealed messages, `window` of them unacknowledged.
async fn send(identity: Identity, to: Public, window: usize) {
    let (mut sink, mut stream) = connect(&identity).await.split();
    let permits = Arc::new(Semaphore::new(window));
    let returned = permits.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let Message::Text(text) = message else { continue };
            if text.contains("\"ack\"") {
                returned.add_permits(1);
            } else if text.contains("\"error\"") {
                eprintln!("refused: {text}");
            }
        }
    });
    tokio::spawn(async move {
        let pairs = Pairs::new(&identity.session.secret);
        let filling = "x".repeat(BODY_BYTES - 20);
        loop {
            let Ok(permit) = permits.acquire().await else { return };
            permit.forget();
            let text = format!("{:>20}{filling}", Timestamp::now().as_microsecond());
            let sealed = pairs.seal(&to, &text).expect("a short text can be sealed");
            let id = hex::encode(rand::random::<[u8; 16]>());
            let frame = json!({"type": "send", "id": id, "targetSpec": to.hex(),
                               "priority": "next", "nonce": sealed.nonce,
                               "ciphertext": sealed.ciphertext});
            if sink.send(Message::text(frame.to_string())).await.is_err() {
                return;
            }
        }
    });
}

/// Opens what arrives, counts it, and says `received`.
async fn receive(identity: Identity, from: Public, count: Arc<Count>) {
    let (sink, mut stream) = connect(&identity).await.split();
    let (ids, waiting) = mpsc::unbounded_channel();
    tokio::spawn(acknowledge(sink, waiting));
    tokio::spawn(async move {
        let pairs = Pairs::new(&identity.session.secret);
        while let Some(Ok(message)) = stream.next().await {
            let Message::Text(text) = message else { continue };
            let Ok(push) = serde_json::from_str::<Value>(&text) else { continue };
            let (Some(nonce), Some(sealed)) = (push["nonce"].as_str(), push["ciphertext"].as_str())
            else {
                continue;
            };
            let Ok(body) = pairs.open(&from, nonce, sealed) else { continue };
            let sent_us: i64 = body[..20].trim().parse().unwrap_or(0);
            let took_us = Timestamp::now().as_microsecond() - sent_us;
            count.received.fetch_add(1, Ordering::Relaxed);
            if count.measuring.load(Ordering::Relaxed) {
                let mut latencies =
                    count.latencies_us.lock().expect("nothing panics while it counts");
                let took_us = u64::try_from(took_us).unwrap_or(0);
                latencies.record(took_us).expect("the histogram grows");
            }
            let _ = ids.send(push["messageId"].clone());
        }
    });
}

async fn acknowledge(
    mut sink: SplitSink<Socket, Message>,
    mut waiting: mpsc::UnboundedReceiver<Value>,
) {
    let mut ids = Vec::new();
    while waiting.recv_many(&mut ids, 256).await > 0 {
        let frame = json!({"type": "received", "messageIds": ids});
        ids.clear();
        if sink.send(Message::text(frame.to_string())).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
