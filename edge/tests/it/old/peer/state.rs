//! What the process keeps: what it waits for, what came, and what it makes of a frame.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::old::crypto::{Keys, read_plain};

/// Pushes it keeps for its user; the oldest go.
const PUSHES_MAX: usize = 500;

/// Requests that are answered by the same type. An `error` fails the first one that it finds, in
/// this order.
#[derive(Clone, Copy, Debug)]
pub enum Family {
    Peers,
    MessageStatus,
    State,
    States,
    Stored,
    Recalled,
    File,
    Dir,
    FoundContexts,
    Contexts,
    TaskMade,
    Tasks,
    StreamMade,
    Streams,
    SkillDone,
    Skill,
    Skills,
    WebhookDone,
    Webhooks,
    Overview,
    Scheduled,
    Schedules,
    Cancelled,
}

/// What answers each family, in the order of the families.
const ANSWERS: [(&str, Family); 23] = [
    ("peers_list", Family::Peers),
    ("message_status_result", Family::MessageStatus),
    ("state_result", Family::State),
    ("state_list", Family::States),
    ("memory_stored", Family::Stored),
    ("memory_results", Family::Recalled),
    ("peer_file_response_forward", Family::File),
    ("peer_dir_response_forward", Family::Dir),
    ("context_results", Family::FoundContexts),
    ("context_list", Family::Contexts),
    ("task_created", Family::TaskMade),
    ("task_list", Family::Tasks),
    ("stream_created", Family::StreamMade),
    ("stream_list", Family::Streams),
    ("skill_ack", Family::SkillDone),
    ("skill_data", Family::Skill),
    ("skill_list", Family::Skills),
    ("webhook_ack", Family::WebhookDone),
    ("webhook_list", Family::Webhooks),
    ("mesh_info_result", Family::Overview),
    ("scheduled_ack", Family::Scheduled),
    ("scheduled_list", Family::Schedules),
    ("cancel_scheduled_ack", Family::Cancelled),
];

/// What it takes and does nothing with (3.1).
const IGNORED: [&str; 4] = ["context_shared", "subscribed", "audit_result", "audit_verify_result"];

type Answer<T> = oneshot::Sender<Result<T, String>>;

/// What a process keeps.
#[derive(Debug, Default)]
pub struct State {
    /// Whether its hello was acknowledged and its socket is up.
    pub is_open: bool,
    /// Sends by their `id`.
    pub acks: HashMap<String, Answer<String>>,
    /// Requests by family, oldest first, each with its `_reqId`.
    pub asked: [VecDeque<(String, Answer<Value>)>; ANSWERS.len()],
    /// Sends that wait for a connection.
    pub unsent: VecDeque<String>,
    /// Pushes that nobody has looked at.
    pub inbox: VecDeque<Inbound>,
    /// Lines of state and streams that its host was shown, and nobody has looked at.
    pub lines: VecDeque<Line>,
    /// Frames that it takes and does nothing with.
    pub ignored: Vec<Value>,
    /// Every `hello_ack`.
    pub welcomes: Vec<Value>,
    /// Every `error`.
    pub errors: Vec<Value>,
    /// Every close that the edge sent.
    pub closes: Vec<(u16, String)>,
    /// Frames that answered nothing, or failed what they were not about.
    pub strays: Vec<Value>,
    /// Pings that came; each was answered.
    pub pings: usize,
    /// What it reports of itself.
    pub counters: Counters,
}

/// What it reports of itself.
#[derive(Debug, Default)]
pub struct Counters {
    pub messages_in: u64,
    pub messages_out: u64,
    pub tool_calls: u64,
    pub errors: u64,
}

impl Counters {
    pub fn stats(&self) -> Value {
        json!({"messagesIn": self.messages_in, "messagesOut": self.messages_out,
               "toolCalls": self.tool_calls, "uptime": 60, "errors": self.errors})
    }

    /// It counts on from what it is given back.
    fn seed(&mut self, totals: &Value) {
        let of = |name: &str| totals[name].as_u64().unwrap_or(0);
        self.messages_in = of("messagesIn");
        self.messages_out = of("messagesOut");
        self.tool_calls = of("toolCalls");
        self.errors = of("errors");
    }
}

/// A line that its host is shown of something shared (8.3), and the frame that it is made of.
#[derive(Debug, Clone)]
pub struct Line {
    pub text: String,
    pub raw: Value,
}

impl Line {
    fn of_state(raw: Value) -> Self {
        let name = |field: &str| raw[field].as_str().expect("a text").to_owned();
        let (key, by) = (name("key"), name("updatedBy"));
        Self { text: format!("[state] {key} = {} (set by {by})", raw["value"]), raw }
    }

    fn of_stream(raw: Value) -> Self {
        let name = |field: &str| raw[field].as_str().expect("a text").to_owned();
        let (stream, by) = (name("stream"), name("publishedBy"));
        Self { text: format!("[stream:{stream}] from {by}: {}", raw["data"]), raw }
    }
}

/// A push as its user gets it.
#[derive(Debug, Clone)]
pub struct Inbound {
    pub message_id: String,
    pub sender: String,
    pub priority: String,
    /// What it says; `None` is shown as a decryption failure.
    pub text: Option<String>,
    /// The name of a system event.
    pub event: Option<String>,
    /// The frame.
    pub raw: Value,
}

impl Inbound {
    /// Reads a push by the rules of 5.4, in their order, with the session's secret only.
    fn read(frame: Value, session: &Keys) -> Self {
        let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        let (sender, nonce, ciphertext) = (text("senderPubkey"), text("nonce"), text("ciphertext"));
        let is_system = frame["subtype"] == "system" || sender == "system";
        let said = if is_system {
            Some(line(&text("event"), &frame["eventData"]))
        } else if !sender.is_empty() && !nonce.is_empty() && !ciphertext.is_empty() {
            session.open(&sender, &nonce, &ciphertext).or_else(|| read_plain(&ciphertext))
        } else {
            read_plain(&ciphertext)
        };
        Self {
            message_id: text("messageId"),
            priority: text("priority"),
            text: said,
            event: is_system.then(|| text("event")),
            sender,
            raw: frame,
        }
    }
}

/// The line that a host is shown of an event (8.3). It reads `name`, and of a return the rest.
fn line(event: &str, data: &Value) -> String {
    let name = data["name"].as_str().unwrap_or("unknown");
    match event {
        "peer_joined" => format!("[system] Peer \"{name}\" joined the mesh"),
        "peer_left" => format!("[system] Peer \"{name}\" left the mesh"),
        "peer_returned" => {
            let at = data["lastSeenAt"].as_str().unwrap_or_default();
            let at: jiff::Timestamp = at.parse().expect("an ISO time");
            let groups: Vec<&str> = data["groups"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|g| g["name"].as_str())
                .collect();
            let summary = data["summary"].as_str().unwrap_or_default();
            format!("[system] Welcome back, \"{name}\" of {at}, in {groups:?}: {summary}")
        }
        _ => format!("[system] {event}: {data}"),
    }
}

impl State {
    /// Its hello was acknowledged; returns what waited for that.
    pub fn open(&mut self, welcome: Value) -> VecDeque<String> {
        self.is_open = true;
        if let Some(totals) = welcome.get("restoredStats") {
            self.counters.seed(totals);
        }
        self.welcomes.push(welcome);
        std::mem::take(&mut self.unsent)
    }

    /// Takes a frame.
    pub fn take(&mut self, frame: Value, session: &Keys) {
        match frame["type"].as_str().unwrap_or_default() {
            "push" => {
                // It would take one before its hello is acknowledged; an edge sends none.
                if !self.is_open {
                    self.strays.push(frame.clone());
                }
                let push = Inbound::read(frame, session);
                self.counters.messages_in += u64::from(push.event.is_none());
                if self.inbox.len() == PUSHES_MAX {
                    self.inbox.pop_front();
                }
                self.inbox.push_back(push);
            }
            // One that names no send is harmless and ignored.
            "ack" => {
                if let Some(answer) = self.acks.remove(frame["id"].as_str().unwrap_or_default()) {
                    let message_id = frame["messageId"].as_str().unwrap_or_default();
                    let _ = answer.send(Ok(message_id.to_owned()));
                }
            }
            "state_change" => self.lines.push_back(Line::of_state(frame)),
            "stream_data" => self.lines.push_back(Line::of_stream(frame)),
            "error" => self.fail(frame),
            kind if IGNORED.contains(&kind) => self.ignored.push(frame),
            kind => match ANSWERS.iter().find(|(answer, _)| *answer == kind) {
                Some((_, family)) => self.answer(*family, frame),
                None => self.strays.push(frame),
            },
        }
    }

    fn answer(&mut self, family: Family, frame: Value) {
        let pending = &mut self.asked[family as usize];
        let by_id = pending.iter().position(|(req_id, _)| frame["_reqId"] == req_id.as_str());
        match pending.remove(by_id.unwrap_or(0)) {
            Some((_, answer)) => {
                if by_id.is_none() {
                    self.strays.push(frame.clone());
                }
                let _ = answer.send(Ok(frame));
            }
            None => self.strays.push(frame),
        }
    }

    /// Gives an error to the send that it names, or to whatever it finds; it never looks at
    /// `_reqId`, but the test does.
    fn fail(&mut self, frame: Value) {
        self.errors.push(frame.clone());
        let why = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        let why = format!("{}: {}", why("code"), why("message"));
        if let Some(answer) = frame["id"].as_str().and_then(|id| self.acks.remove(id)) {
            let _ = answer.send(Err(why));
            return;
        }
        let found = self.asked.iter_mut().find_map(VecDeque::pop_front);
        if let Some((req_id, answer)) = found {
            if frame["_reqId"] != req_id.as_str() {
                self.strays.push(frame);
            }
            let _ = answer.send(Err(why));
        } else if self.is_open {
            self.strays.push(frame);
        }
    }
}
