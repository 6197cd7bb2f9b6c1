//! One peer of a run: sends what its window allows, opens and checks what arrives.
//!
//! All of it happens in one poll of one task: read what is here, send what may be sent, say
//! `received` for what was read, flush once. So frames that come together go together.

use std::collections::VecDeque;
use std::fmt::Write;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, Stream};
use skein_crypto::direct::{Pairs, Sealed};
use skein_crypto::{Public, plain};
use skein_wire::push::SYSTEM;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::body::{Body, Head};
use super::course::{Course, Phase};
use super::order::{Came, Order};
use super::socket::{self, Heard, Socket};

/// Frames that are read before other tasks get their turn.
const TURN_MAX: usize = 64;
/// How long `received` waits for more to say: a client of ours writes its inbox meanwhile.
const SETTLE_WITHIN: Duration = Duration::from_millis(5);
/// Ids in one `received`.
const SETTLE_MAX: usize = 128;
/// A send that is this late was held up by the run, not by the clock: it counts from when it was
/// due.
const LATE_NS: u64 = 2_000_000;

/// What a peer sends.
#[derive(Debug)]
pub struct Sender {
    /// To whom, in turn.
    pub targets: Vec<Target>,
    /// Sends that may be under way.
    pub window: u64,
    /// How many in all; until the run drains, if not said.
    pub quota: Option<u64>,
    /// One each so often, the first after the offset; as fast as the window allows, if not said.
    pub pace: Option<Pace>,
}

/// How often a peer sends.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two sends.
    pub interval: Duration,
    /// Before the first one.
    pub offset: Duration,
}

/// Whom a peer sends to.
#[derive(Debug)]
pub struct Target {
    /// Its key, if messages to it are sealed.
    pub key: Option<Public>,
    /// What the send names: the key, `*` or a group.
    pub spec: String,
    /// The number of the flow.
    pub flow: u32,
    /// The next message's number in the flow.
    pub next: u64,
}

/// Whom a peer receives from.
#[derive(Debug)]
pub struct Source {
    /// The index of the sender in the course.
    pub peer: usize,
    /// Its session's key.
    pub key: Public,
    /// The same in hex, as pushes have it.
    pub key_hex: String,
    /// The number of the flow.
    pub flow: u32,
    order: Order,
}

impl Source {
    /// The flow of this number, from the sender of this index and key.
    pub fn new(peer: usize, key: Public, flow: u32) -> Self {
        Self { peer, key, key_hex: key.hex(), flow, order: Order::default() }
    }
}

/// What a peer saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Messages that came, each once.
    pub received: u64,
    /// Messages that came again.
    pub repeated: u64,
    /// Messages that came before an earlier one.
    pub out_of_order: u64,
    /// Pushes that were not what was sent.
    pub damaged: u64,
    /// How long each took that came while the run was measured.
    pub latencies_us: Vec<u32>,
    /// When the last one came.
    pub last_ns: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Peer {
    socket: Socket,
    index: usize,
    course: Arc<Course>,
    body: Arc<Body>,
    pairs: Pairs,
    sender: Option<Sender>,
    turn: usize,
    /// Sends that are due, oldest first.
    due: VecDeque<u64>,
    next_due: Option<Pin<Box<Sleep>>>,
    id_prefix: String,
    sources: Vec<Source>,
    /// A `received` that is being written, and how many ids are in it.
    settling: (String, usize),
    settle_at: Pin<Box<Sleep>>,
    is_dirty: bool,
    tally: Tally,
}

impl Peer {
    /// A peer with its socket attached; `index` is its place in the course.
    pub fn new(
        socket: Socket,
        index: usize,
        course: Arc<Course>,
        body: Arc<Body>,
        pairs: Pairs,
        sender: Option<Sender>,
        sources: Vec<Source>,
    ) -> Self {
        Self {
            socket,
            index,
            course,
            body,
            pairs,
            sender,
            turn: 0,
            due: VecDeque::new(),
            next_due: None,
            // An id must have 128 random bits, so that no other send ever has it; here they are 96,
            // and a count that no send of the session shares.
            id_prefix: hex::encode(skein_crypto::random::<12>()),
            sources,
            settling: (String::new(), 0),
            settle_at: Box::pin(sleep_until(Instant::now())),
            is_dirty: false,
            tally: Tally::default(),
        }
    }

    /// Takes part until the run is over.
    pub async fn run(mut self) -> Tally {
        if let Err(problem) = poll_fn(|context| self.poll(context)).await {
            self.course.fail(format!("peer {}: {problem}", self.index));
            return self.tally;
        }
        socket::leave(self.socket).await;
        self.tally
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        let course = self.course.clone();
        course.peer(self.index).register(context.waker());
        let words = |error: Error| error.to_string();
        let is_busy = self.read(context)?;
        self.produce(context).map_err(words)?;
        self.settle(context).map_err(words)?;
        if self.is_dirty
            && Pin::new(&mut self.socket).poll_flush(context).map_err(words)?.is_ready()
        {
            self.is_dirty = false;
        }
        if is_busy {
            context.waker().wake_by_ref();
        } else if course.phase() == Phase::Over && self.settling.1 == 0 && !self.is_dirty {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Reads what is here. True: there may be more.
    fn read(&mut self, context: &mut Context<'_>) -> Result<bool, String> {
        for _ in 0..TURN_MAX {
            match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Pending => return Ok(false),
                Poll::Ready(None) => return Err("the connection was lost".into()),
                Poll::Ready(Some(Err(error))) => return Err(error.to_string()),
                Poll::Ready(Some(Ok(Message::Text(text)))) => self.hear(&text)?,
                Poll::Ready(Some(Ok(Message::Close(frame)))) => {
                    return Err(format!("the edge closed: {frame:?}"));
                }
                // The library has queued the pong.
                Poll::Ready(Some(Ok(Message::Ping(_)))) => self.is_dirty = true,
                Poll::Ready(Some(Ok(_))) => (),
            }
        }
        Ok(true)
    }

    fn hear(&mut self, text: &str) -> Result<(), String> {
        let heard: Heard<'_> = serde_json::from_str(text)
            .map_err(|error| format!("a frame cannot be read: {error}: {text}"))?;
        match heard.kind {
            "push" if heard.sender_pubkey != SYSTEM => self.pushed(&heard),
            "ack" => {
                // An edge acknowledges in the order in which it was sent to.
                let acked = self.course.peer(self.index).acked.fetch_add(1, Ordering::AcqRel);
                let number = heard.id.and_then(|id| id.get(24..)?.parse().ok());
                if number != Some(acked) {
                    return Err(format!("send {acked} should be acknowledged now, not {text}"));
                }
            }
            "error" => return Err(format!("refused: {text}")),
            _ => (),
        }
        Ok(())
    }

    fn pushed(&mut self, push: &Heard<'_>) {
        let now_ns = self.course.now_ns();
        if let Some(id) = push.message_id {
            self.settle_later(id);
        }
        let known = self.sources.iter_mut().find(|source| source.key_hex == push.sender_pubkey);
        let Some(source) = known else { return self.tally.damaged += 1 };
        let text = match push.nonce {
            "" => plain::decode(push.ciphertext),
            nonce => self.pairs.open(&source.key, nonce, push.ciphertext),
        };
        let head = text.ok().and_then(|text| self.body.read(&text));
        let Some(head) = head.filter(|head| head.flow == source.flow) else {
            return self.tally.damaged += 1;
        };
        match source.order.note(head.number) {
            Came::Again => return self.tally.repeated += 1,
            Came::Early => self.tally.out_of_order += 1,
            Came::InTurn | Came::Late => (),
        }
        self.tally.received += 1;
        self.tally.last_ns = now_ns;
        if self.course.is_measuring() {
            let took_us = now_ns.saturating_sub(head.due_ns) / 1000;
            self.tally.latencies_us.push(u32::try_from(took_us).unwrap_or(u32::MAX));
        }
        self.course.peer(source.peer).opened(head.number);
    }

    /// Sends what is due and what the window allows.
    fn produce(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        if self.course.phase() != Phase::Running {
            return Ok(());
        }
        let Some(sender) = &self.sender else { return Ok(()) };
        let (window, quota) = (sender.window, sender.quota.unwrap_or(u64::MAX));
        let pace = sender.pace;
        if let Some(pace) = pace {
            self.fall_due(pace, context);
        }
        let course = self.course.clone();
        let progress = course.peer(self.index);
        while progress.in_flight() < window {
            let sent = progress.sent.load(Ordering::Relaxed);
            if sent >= quota || (pace.is_some() && self.due.is_empty()) {
                break;
            }
            if Pin::new(&mut self.socket).poll_ready(context)?.is_pending() {
                break;
            }
            let due_ns = self.due.pop_front().unwrap_or_else(|| course.now_ns());
            let frame = self.frame(sent, due_ns);
            Pin::new(&mut self.socket).start_send(Message::text(frame))?;
            self.is_dirty = true;
            progress.sent.store(sent + 1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Notes every send whose moment has come.
    fn fall_due(&mut self, pace: Pace, context: &mut Context<'_>) {
        let first = || Box::pin(sleep_until(Instant::now() + pace.offset));
        let timer = self.next_due.get_or_insert_with(first);
        while timer.as_mut().poll(context).is_ready() {
            let was = timer.deadline();
            let now_ns = self.course.now_ns();
            let late_ns = u64::try_from(was.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let late_ns = if late_ns < LATE_NS { 0 } else { late_ns };
            self.due.push_back(now_ns.saturating_sub(late_ns));
            timer.as_mut().reset(was + pace.interval);
        }
    }

    fn frame(&mut self, sent: u64, due_ns: u64) -> String {
        let sender = self.sender.as_mut().expect("only senders come here");
        let turn = self.turn;
        self.turn = (turn + 1) % sender.targets.len();
        let target = &mut sender.targets[turn];
        let text = self.body.text(Head { flow: target.flow, number: target.next, due_ns });
        target.next += 1;
        let Sealed { nonce, ciphertext } = match &target.key {
            Some(key) => {
                self.pairs.seal(key, &text).expect("a key that was just made can be sealed to")
            }
            None => Sealed { nonce: String::new(), ciphertext: plain::encode(&text) },
        };
        let mut frame = String::with_capacity(ciphertext.len() + 256);
        // Nothing in these has to be escaped: hex, base64, and targets of ours.
        write!(
            frame,
            r#"{{"type":"send","id":"{}{sent:08}","targetSpec":"{}","priority":"next","nonce":"{nonce}","ciphertext":"{ciphertext}"}}"#,
            self.id_prefix, target.spec,
        )
        .expect("a string takes everything");
        frame
    }

    /// Notes that this message is to be settled.
    fn settle_later(&mut self, id: &str) {
        let (frame, count) = &mut self.settling;
        if *count == 0 {
            frame.push_str(r#"{"type":"received","messageIds":[""#);
            self.settle_at.as_mut().reset(Instant::now() + SETTLE_WITHIN);
        } else {
            frame.push_str(r#"",""#);
        }
        frame.push_str(id);
        *count += 1;
    }

    fn settle(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        let count = self.settling.1;
        if count == 0 || (self.settle_at.as_mut().poll(context).is_pending() && count < SETTLE_MAX)
        {
            return Ok(());
        }
        if Pin::new(&mut self.socket).poll_ready(context)?.is_pending() {
            return Ok(());
        }
        let (mut frame, _) = std::mem::take(&mut self.settling);
        frame.push_str(r#""]}"#);
        Pin::new(&mut self.socket).start_send(Message::text(frame))?;
        self.is_dirty = true;
        Ok(())
    }
}
