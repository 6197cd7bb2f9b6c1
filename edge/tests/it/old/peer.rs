//! One process of the 0.8.9 client, as wire-protocol describes it: 1.2 and 1.4 (hello), 1.9
//! (reconnection), 2.1 (replies), 2.7 (files for peers), 3.1 (what it makes of replies), 5.3 and 5.4
//! (bodies), 8.2 and 8.3 (tools and lines), 10.3 (its limits and how long it waits).
//!
//! What it wants of the edge is in what it does with an answer: a reply goes to the request of its
//! `_reqId`, or else to the oldest of its family; an `error` goes to the send of its `id`, or else
//! to the first request it finds, whatever that was; an answer that comes late is none.

mod calls;
mod files;
mod line;
mod state;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

pub use self::state::{Inbound, Line};
use self::{
    line::Order,
    state::{Family, State},
};
use super::crypto::{Keys, plain, random_hex};
use crate::harness::{SOON, WHILE};

/// How long it waits for the `ack` of a send.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// How long it waits for a file or a listing of a peer.
const RELAY_WAIT: Duration = Duration::from_secs(15);
/// How long it waits for what is said later.
const SCHEDULE_WAIT: Duration = Duration::from_secs(8);
/// How long it waits for any other reply.
const REPLY_WAIT: Duration = Duration::from_secs(5);
/// Sends without an `ack`, and sends kept while it is not connected.
const SENDS_MAX: usize = 100;

/// What `config.json` has of a mesh, and what `launch` adds.
#[derive(Clone)]
pub struct Config {
    pub mesh_id: String,
    pub member_id: String,
    /// hex128.
    pub secret_key: String,
    pub broker_url: String,
    pub display_name: Option<String>,
    /// `CLAUDEMESH_SESSION_ID`.
    pub session_id: Option<String>,
    /// Joined after the first connection, if that succeeds.
    pub groups: Vec<Value>,
    /// Its working directory, which it shares with its peers.
    pub folder: PathBuf,
}

/// A running process. Its session key is its own and lives as long as it does.
pub struct Client {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
    running: JoinHandle<()>,
}

/// What the process and its connection share.
struct Shared {
    config: Config,
    member: Keys,
    session: Keys,
    session_id: String,
    url: Mutex<String>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.state());
        self.changed.send_modify(|()| ());
        done
    }
}

fn now_ms() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()
}

impl Client {
    /// Starts, and connects in the background for as long as it takes.
    pub fn start(config: &Config) -> Self {
        let pid = std::process::id();
        let shared = Arc::new(Shared {
            config: config.clone(),
            member: Keys::parse(&config.secret_key),
            session: Keys::generate(),
            session_id: config.session_id.clone().unwrap_or(format!("{pid}-{}", now_ms())),
            url: Mutex::new(config.broker_url.clone()),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let (orders, receiver) = mpsc::unbounded_channel();
        let running = tokio::spawn(line::run(shared.clone(), receiver));
        Self { shared, orders, running }
    }

    /// Starts, and waits until it is connected.
    pub async fn open(config: &Config) -> Self {
        let client = Self::start(config);
        client.opened().await;
        client
    }

    /// Waits until it is connected, and says what the last `hello_ack` was.
    pub async fn opened(&self) -> Value {
        let open = |state: &mut State| state.is_open.then(|| state.welcomes.last().cloned());
        self.when("it is connected", open).await.expect("an open client was welcomed")
    }

    /// Waits until it is not connected.
    pub async fn lost(&self) {
        self.when("it is not connected", |state| (!state.is_open).then_some(())).await;
    }

    /// The session's key.
    pub fn key(&self) -> &str {
        &self.shared.session.public
    }

    /// The member's keys.
    pub fn member(&self) -> &Keys {
        &self.shared.member
    }

    /// Waits until `pick` finds what it wants in the client's state.
    async fn when<T>(&self, what: &str, mut pick: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = pick(&mut self.shared.state()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        match timeout(SOON, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("not in time: {what}; {:#?}", self.shared.state()),
        }
    }

    /// Sends text to a key, sealed, or to many, in base64; says which id the edge gave it, or why
    /// it is not sent.
    pub async fn send(&self, to: &str, text: &str, priority: &str) -> Result<String, String> {
        self.begin(to, text, priority).await
    }

    /// Begins to send; the frame has been handed over when this returns.
    pub fn begin(
        &self,
        to: &str,
        text: &str,
        priority: &str,
    ) -> impl Future<Output = Result<String, String>> + use<> {
        let is_key = to.len() == 64 && to.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let (nonce, ciphertext) =
            if is_key { self.shared.session.seal(to, text) } else { plain(text) };
        let id = random_hex(8);
        let frame = json!({"type": "send", "id": id, "targetSpec": to, "priority": priority,
                           "nonce": nonce, "ciphertext": ciphertext});
        let answer = self.hand_over(id.clone(), frame.to_string());
        let shared = self.shared.clone();
        async move {
            match timeout(ACK_WAIT, answer?).await {
                Ok(answer) => answer.unwrap_or_else(|_| Err("closed".to_owned())),
                Err(_) => {
                    shared.state().acks.remove(&id);
                    Err("ack timeout".to_owned())
                }
            }
        }
    }

    fn hand_over(
        &self,
        id: String,
        frame: String,
    ) -> Result<oneshot::Receiver<Result<String, String>>, String> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.shared.state();
        if state.acks.len() >= SENDS_MAX || state.unsent.len() >= SENDS_MAX {
            return Err("outbound queue full".to_owned());
        }
        state.counters.messages_out += 1;
        state.acks.insert(id, answer);
        if state.is_open {
            let _ = self.orders.send(Order::Text(frame));
        } else {
            state.unsent.push_back(frame);
        }
        Ok(answered)
    }

    /// Asks, and waits for the answer.
    async fn ask(&self, family: Family, mut frame: Value) -> Result<Value, String> {
        let req_id = match frame["_reqId"].as_str() {
            Some(given) => given.to_owned(),
            None => format!("{}{}", random_hex(4), now_ms()),
        };
        frame["_reqId"] = json!(req_id);
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.state();
            if !state.is_open {
                return Err("not connected".to_owned());
            }
            state.asked[family as usize].push_back((req_id.clone(), answer));
            let _ = self.orders.send(Order::Text(frame.to_string()));
        }
        let wait = match family {
            Family::File | Family::Dir => RELAY_WAIT,
            Family::Scheduled | Family::Schedules | Family::Cancelled => SCHEDULE_WAIT,
            _ => REPLY_WAIT,
        };
        match timeout(wait, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err("closed".to_owned())),
            Err(_) => {
                let family = &mut self.shared.state().asked[family as usize];
                family.retain(|(pending, _)| *pending != req_id);
                Err("timeout".to_owned())
            }
        }
    }

    /// Who is here, as `peers --json` prints it.
    pub async fn peers(&self) -> Vec<Value> {
        self.peers_with(json!({})).await.expect("the list comes in time")
    }

    /// Asks who is here, with a `_reqId` of the test's or fields that nobody reads.
    pub async fn peers_with(&self, mut frame: Value) -> Result<Vec<Value>, String> {
        frame["type"] = json!("list_peers");
        let answer = self.ask(Family::Peers, frame).await?;
        Ok(answer["peers"].as_array().expect("`peers` is a list").clone())
    }

    /// The peer of exactly this name in any case: how a name becomes a key.
    pub async fn find(&self, name: &str) -> Option<Value> {
        let is_it = |peer: &Value| {
            peer["displayName"].as_str().is_some_and(|n| n.to_lowercase() == name.to_lowercase())
        };
        self.peers().await.into_iter().find(is_it)
    }

    /// How this session is listed.
    pub async fn me(&self) -> Value {
        let listed = self.peers().await.into_iter().find(|peer| peer["pubkey"] == self.key());
        listed.expect("it is here")
    }

    /// What became of a message.
    pub async fn status_of(&self, message_id: &str) -> Result<Value, String> {
        let frame = json!({"type": "message_status", "messageId": message_id});
        self.ask(Family::MessageStatus, frame).await
    }

    /// Says something that it expects no answer to; forgotten while it is not connected.
    pub fn tell(&self, frame: &Value) {
        if self.shared.state().is_open {
            let _ = self.orders.send(Order::Text(frame.to_string()));
        }
    }

    pub fn set_status(&self, status: &str) {
        self.tell(&json!({"type": "set_status", "status": status}));
    }

    pub fn set_summary(&self, summary: &str) {
        self.tell(&json!({"type": "set_summary", "summary": summary}));
    }

    pub fn set_visible(&self, visible: bool) {
        self.tell(&json!({"type": "set_visible", "visible": visible}));
    }

    pub fn set_profile(&self, fields: Value) {
        let mut frame = fields;
        frame["type"] = json!("set_profile");
        self.tell(&frame);
    }

    pub fn join_group(&self, name: &str) {
        self.tell(&json!({"type": "join_group", "name": name}));
    }

    /// Reports its counters, as it does every minute.
    pub fn report(&self) {
        let stats = self.shared.state().counters.stats();
        self.tell(&json!({"type": "set_stats", "stats": stats}));
    }

    /// The next push that `wanted` takes; the others stay in the inbox.
    pub async fn inbound(&self, wanted: impl Fn(&Inbound) -> bool) -> Inbound {
        let next = |state: &mut State| {
            let at = state.inbox.iter().position(&wanted)?;
            state.inbox.remove(at)
        };
        self.when("a push", next).await
    }

    /// The next message's text; panics at one that it cannot read.
    pub async fn text(&self) -> String {
        let message = self.inbound(|push| push.event.is_none()).await;
        message.text.clone().unwrap_or_else(|| panic!("cannot be read: {message:?}"))
    }

    /// The next event of this name about this key.
    pub async fn event(&self, name: &str, key: &str) -> Inbound {
        let is_it = |push: &Inbound| {
            push.event.as_deref() == Some(name) && push.raw["eventData"]["pubkey"] == key
        };
        self.inbound(is_it).await
    }

    /// The next line of state or a stream that begins so; the others stay.
    pub async fn line(&self, start: &str) -> Line {
        let next = |state: &mut State| {
            let at = state.lines.iter().position(|line| line.text.starts_with(start))?;
            state.lines.remove(at)
        };
        self.when("a line", next).await
    }

    /// Waits a while and says which lines of state and streams came.
    pub async fn quiet_lines(&self) -> Vec<String> {
        tokio::time::sleep(WHILE).await;
        self.shared.state().lines.iter().map(|line| line.text.clone()).collect()
    }

    /// What came that it does nothing with.
    pub fn ignored(&self) -> Vec<Value> {
        self.shared.state().ignored.clone()
    }

    /// Waits a while and says which pushes came that `wanted` takes.
    pub async fn quiet(&self, wanted: impl Fn(&Inbound) -> bool) -> Vec<Inbound> {
        tokio::time::sleep(WHILE).await;
        self.shared.state().inbox.iter().filter(|push| wanted(push)).cloned().collect()
    }

    /// Waits for this many pings since it started.
    pub async fn pinged(&self, n: usize) {
        self.when("a ping", |state| (state.pings >= n).then_some(())).await;
    }

    /// Waits until it was refused or closed once more than `n` times; says how often.
    pub async fn closes(&self, n: usize) -> Vec<(u16, String)> {
        self.when("a close", |state| (state.closes.len() > n).then(|| state.closes.clone())).await
    }

    /// The errors that came.
    pub fn errors(&self) -> Vec<Value> {
        self.shared.state().errors.clone()
    }

    /// What came that answered nothing, or failed what it was not about, once everything said so
    /// far was served.
    pub async fn strays(&self) -> Vec<Value> {
        self.peers().await;
        std::mem::take(&mut self.shared.state().strays)
    }

    /// How many sends wait for an answer, or for a connection.
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.shared.state();
        (state.acks.len(), state.unsent.len())
    }

    /// The balancer leads to another edge from now on.
    pub fn lead_to(&self, url: &str) {
        url.clone_into(&mut self.shared.url.lock().unwrap());
    }

    /// Its connection breaks; it will be back by itself.
    pub async fn broken(&self) {
        let _ = self.orders.send(Order::Break);
        self.lost().await;
    }

    /// Its connection breaks, and there is no network until it is hurried.
    pub async fn lose(&self) {
        let _ = self.orders.send(Order::Lose);
        self.lost().await;
    }

    /// It is stopped: its connection stays open, and nothing is read or said by itself.
    pub fn stop(&self) {
        let _ = self.orders.send(Order::Stop);
    }

    /// It tries again at once, instead of waiting its turn.
    pub async fn hurry(&self) -> Value {
        let _ = self.orders.send(Order::Hurry);
        self.opened().await
    }

    /// It ends as a command does: it closes its connection and waits for that.
    pub async fn close(self) {
        let _ = self.orders.send(Order::Close);
        timeout(SOON, self.running).await.expect("the edge answers the close").unwrap();
    }

    /// It is killed.
    pub async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }
}
