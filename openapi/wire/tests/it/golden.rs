//! The recorded frames of `tests/golden`, one file a message type.
//!
//! Every type goes one way only: `from` says whether a `peer` or an `edge` sends it. `minimal` is
//! the frame as the reference's client or broker sends it, `full` has our extensions too; a file
//! may hold more, by name.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;
use skein_wire::{
    Call, Envelope, Message, Refusal,
    audit::{self, AuditQuery, AuditResult, AuditVerify, AuditVerifyResult},
    clock::{self, ClockStatus, GetClock, PauseClock, ResumeClock, SetClock},
    contexts::{
        self, ContextList, ContextResults, ContextShared, GetContext, ListContexts, ShareContext,
    },
    encode,
    groups::{self, JoinGroup, LeaveGroup},
    hello::{Hello, HelloAck},
    memory::{self, Forget, MemoryResults, MemoryStored, Recall, Remember},
    mesh_info::{self, MeshInfo, MeshInfoResult},
    messaging::{self, Ack, MessageStatus, MessageStatusResult, Received},
    peer_files::{
        self, PeerDirRequest, PeerDirRequestForward, PeerDirResponse, PeerDirResponseForward,
        PeerFileRequest, PeerFileRequestForward, PeerFileResponse, PeerFileResponseForward,
    },
    presence::{self, ListPeers, PeersList, SetStatus, SetSummary, SetVisible},
    profile::{self, SetProfile},
    push::Push,
    schedules::{
        self, CancelScheduled, CancelScheduledAck, GetScheduled, ListScheduled, PauseScheduled,
        ResumeScheduled, RunScheduled, ScheduledAck, ScheduledDetail, ScheduledList,
    },
    skills::{self, GetSkill, ListSkills, RemoveSkill, ShareSkill, SkillAck, SkillData, SkillList},
    state::{
        self, DeleteState, GetState, ListState, SetState, StateChange, StateList, StateResult,
    },
    stats::{self, SetStats},
    streams::{
        self, CreateStream, ListStreams, Publish, StreamCreated, StreamData, StreamList, Subscribe,
        Subscribed, Unsubscribe,
    },
    tasks::{
        self, ClaimNext, ClaimTask, CompleteTask, CreateTask, GetTask, ListTasks, RenewTask,
        TaskChange, TaskCreated, TaskList, TaskResult, WatchTasks,
    },
    watches::{self, ListWatches, TestWatch, Unwatch, Watch, WatchAck, WatchList, WatchTested},
    webhooks::{self, CreateWebhook, DeleteWebhook, ListWebhooks, WebhookAck, WebhookList},
};

/// Who sends a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// A client.
    Peer,
    /// Us, or the reference's broker.
    Edge,
}

/// The recorded frames of one message type.
#[derive(Debug, Deserialize)]
pub struct Golden {
    /// The type, which is the file's name.
    #[serde(skip)]
    pub kind: String,
    /// Who sends it.
    pub from: Sender,
    /// The frames by name.
    pub frames: BTreeMap<String, Value>,
}

/// Every file, by type.
pub fn all() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut all: Vec<Golden> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let kind = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let golden = serde_json::from_str(&text);
            Golden { kind, ..golden.unwrap_or_else(|error| panic!("{}: {error}", path.display())) }
        })
        .collect();
    all.sort_by(|a, b| a.kind.cmp(&b.kind));
    all
}

/// Every frame, with its type, its sender and `type/name` to speak of it.
pub fn frames() -> Vec<(String, Sender, String, Value)> {
    let named = |golden: Golden| {
        let Golden { kind, from, frames } = golden;
        frames.into_iter().map(move |(name, frame)| {
            let label = format!("{kind}/{name}");
            (kind.clone(), from, label, frame)
        })
    };
    all().into_iter().flat_map(named).collect()
}

/// Reads `frame` as its receiver does, and writes it again as its sender does.
///
/// # Errors
/// What the receiver says of a frame that it does not take.
pub fn rewrite(from: Sender, frame: &str) -> Result<String, String> {
    let envelope = Envelope::peek(frame).map_err(|error| error.to_string())?;
    let req_id = envelope.req_id.as_deref();
    match (from, envelope.kind.as_str()) {
        (Sender::Peer, skein_wire::hello::TYPE) => reply::<Hello>(frame, req_id),
        (Sender::Peer, kind) => {
            let message = Message::decode(kind, frame).map_err(|error| error.to_string())?;
            Ok(write(&message, req_id))
        }
        (Sender::Edge, "hello_ack") => reply::<HelloAck>(frame, req_id),
        (Sender::Edge, "ack") => reply::<Ack>(frame, req_id),
        (Sender::Edge, "error") => reply::<Refusal>(frame, req_id),
        (Sender::Edge, "push") => reply::<Push>(frame, req_id),
        (Sender::Edge, "message_status_result") => reply::<MessageStatusResult>(frame, req_id),
        (Sender::Edge, "peers_list") => reply::<PeersList>(frame, req_id),
        (Sender::Edge, "memory_stored") => reply::<MemoryStored>(frame, req_id),
        (Sender::Edge, "memory_results") => reply::<MemoryResults>(frame, req_id),
        (Sender::Edge, "mesh_info_result") => reply::<MeshInfoResult>(frame, req_id),
        (Sender::Edge, "clock_status") => reply::<ClockStatus>(frame, req_id),
        (Sender::Edge, "task_created") => reply::<TaskCreated>(frame, req_id),
        (Sender::Edge, "task_list") => reply::<TaskList>(frame, req_id),
        (Sender::Edge, "task_result") => reply::<TaskResult>(frame, req_id),
        (Sender::Edge, "task_change") => reply::<TaskChange>(frame, req_id),
        (Sender::Edge, "watch_ack") => reply::<WatchAck>(frame, req_id),
        (Sender::Edge, "watch_list_result") => reply::<WatchList>(frame, req_id),
        (Sender::Edge, "watch_test_result") => reply::<WatchTested>(frame, req_id),
        (Sender::Edge, "scheduled_ack") => reply::<ScheduledAck>(frame, req_id),
        (Sender::Edge, "scheduled_list") => reply::<ScheduledList>(frame, req_id),
        (Sender::Edge, "scheduled_detail") => reply::<ScheduledDetail>(frame, req_id),
        (Sender::Edge, "cancel_scheduled_ack") => reply::<CancelScheduledAck>(frame, req_id),
        (Sender::Edge, "webhook_ack") => reply::<WebhookAck>(frame, req_id),
        (Sender::Edge, "webhook_list") => reply::<WebhookList>(frame, req_id),
        (Sender::Edge, "peer_file_request_forward") => {
            reply::<PeerFileRequestForward>(frame, req_id)
        }
        (Sender::Edge, "peer_file_response_forward") => {
            reply::<PeerFileResponseForward>(frame, req_id)
        }
        (Sender::Edge, "peer_dir_request_forward") => reply::<PeerDirRequestForward>(frame, req_id),
        (Sender::Edge, "peer_dir_response_forward") => {
            reply::<PeerDirResponseForward>(frame, req_id)
        }
        (Sender::Edge, "stream_created") => reply::<StreamCreated>(frame, req_id),
        (Sender::Edge, "stream_data") => reply::<StreamData>(frame, req_id),
        (Sender::Edge, "stream_list") => reply::<StreamList>(frame, req_id),
        (Sender::Edge, "subscribed") => reply::<Subscribed>(frame, req_id),
        (Sender::Edge, "context_shared") => reply::<ContextShared>(frame, req_id),
        (Sender::Edge, "context_results") => reply::<ContextResults>(frame, req_id),
        (Sender::Edge, "context_list") => reply::<ContextList>(frame, req_id),
        (Sender::Edge, "skill_ack") => reply::<SkillAck>(frame, req_id),
        (Sender::Edge, "skill_data") => reply::<SkillData>(frame, req_id),
        (Sender::Edge, "skill_list") => reply::<SkillList>(frame, req_id),
        (Sender::Edge, "state_change") => reply::<StateChange>(frame, req_id),
        (Sender::Edge, "state_list") => reply::<StateList>(frame, req_id),
        (Sender::Edge, "state_result") => reply::<StateResult>(frame, req_id),
        (Sender::Edge, "audit_result") => reply::<AuditResult>(frame, req_id),
        (Sender::Edge, "audit_verify_result") => reply::<AuditVerifyResult>(frame, req_id),
        (Sender::Edge, kind) => Err(format!("no edge sends `{kind}`")),
    }
}

fn reply<T>(frame: &str, req_id: Option<&str>) -> Result<String, String>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let body: T = serde_json::from_str(frame).map_err(|error| error.to_string())?;
    Ok(encode(&body, req_id))
}

/// The frame of a decoded message. Exhaustive, so that a new call cannot be forgotten here.
pub fn write(message: &Message, req_id: Option<&str>) -> String {
    fn call<C: Call>(call: &C, req_id: Option<&str>) -> String {
        let frame = encode(call, req_id);
        assert_eq!(Envelope::peek(&frame).unwrap().kind, C::TYPE, "the table and the struct agree");
        frame
    }
    match message {
        Message::Messaging(messaging::Request::Send(body)) => call::<messaging::Send>(body, req_id),
        Message::Messaging(messaging::Request::MessageStatus(body)) => {
            call::<MessageStatus>(body, req_id)
        }
        Message::Messaging(messaging::Request::Received(body)) => call::<Received>(body, req_id),
        Message::Presence(presence::Request::SetStatus(body)) => call::<SetStatus>(body, req_id),
        Message::Presence(presence::Request::ListPeers(body)) => call::<ListPeers>(body, req_id),
        Message::Presence(presence::Request::SetSummary(body)) => call::<SetSummary>(body, req_id),
        Message::Presence(presence::Request::SetVisible(body)) => call::<SetVisible>(body, req_id),
        Message::Profile(profile::Request::SetProfile(body)) => call::<SetProfile>(body, req_id),
        Message::Groups(groups::Request::JoinGroup(body)) => call::<JoinGroup>(body, req_id),
        Message::Groups(groups::Request::LeaveGroup(body)) => call::<LeaveGroup>(body, req_id),
        Message::PeerFiles(peer_files::Request::PeerFileRequest(body)) => {
            call::<PeerFileRequest>(body, req_id)
        }
        Message::PeerFiles(peer_files::Request::PeerFileResponse(body)) => {
            call::<PeerFileResponse>(body, req_id)
        }
        Message::PeerFiles(peer_files::Request::PeerDirRequest(body)) => {
            call::<PeerDirRequest>(body, req_id)
        }
        Message::PeerFiles(peer_files::Request::PeerDirResponse(body)) => {
            call::<PeerDirResponse>(body, req_id)
        }
        Message::Streams(streams::Request::CreateStream(body)) => {
            call::<CreateStream>(body, req_id)
        }
        Message::Streams(streams::Request::Publish(body)) => call::<Publish>(body, req_id),
        Message::Streams(streams::Request::Subscribe(body)) => call::<Subscribe>(body, req_id),
        Message::Streams(streams::Request::Unsubscribe(body)) => call::<Unsubscribe>(body, req_id),
        Message::Streams(streams::Request::ListStreams(body)) => call::<ListStreams>(body, req_id),
        Message::State(state::Request::SetState(body)) => call::<SetState>(body, req_id),
        Message::State(state::Request::GetState(body)) => call::<GetState>(body, req_id),
        Message::State(state::Request::ListState(body)) => call::<ListState>(body, req_id),
        Message::State(state::Request::DeleteState(body)) => call::<DeleteState>(body, req_id),
        Message::Contexts(contexts::Request::ShareContext(body)) => {
            call::<ShareContext>(body, req_id)
        }
        Message::Contexts(contexts::Request::GetContext(body)) => call::<GetContext>(body, req_id),
        Message::Contexts(contexts::Request::ListContexts(body)) => {
            call::<ListContexts>(body, req_id)
        }
        Message::Skills(skills::Request::ShareSkill(body)) => call::<ShareSkill>(body, req_id),
        Message::Skills(skills::Request::GetSkill(body)) => call::<GetSkill>(body, req_id),
        Message::Skills(skills::Request::ListSkills(body)) => call::<ListSkills>(body, req_id),
        Message::Skills(skills::Request::RemoveSkill(body)) => call::<RemoveSkill>(body, req_id),
        Message::Stats(stats::Request::SetStats(body)) => call::<SetStats>(body, req_id),
        Message::Memory(memory::Request::Remember(body)) => call::<Remember>(body, req_id),
        Message::Memory(memory::Request::Recall(body)) => call::<Recall>(body, req_id),
        Message::Memory(memory::Request::Forget(body)) => call::<Forget>(body, req_id),
        Message::MeshInfo(mesh_info::Request::MeshInfo(body)) => call::<MeshInfo>(body, req_id),
        Message::Clock(clock::Request::SetClock(body)) => call::<SetClock>(body, req_id),
        Message::Clock(clock::Request::PauseClock(body)) => call::<PauseClock>(body, req_id),
        Message::Clock(clock::Request::ResumeClock(body)) => call::<ResumeClock>(body, req_id),
        Message::Clock(clock::Request::GetClock(body)) => call::<GetClock>(body, req_id),
        Message::Tasks(tasks::Request::CreateTask(body)) => call::<CreateTask>(body, req_id),
        Message::Tasks(tasks::Request::ClaimTask(body)) => call::<ClaimTask>(body, req_id),
        Message::Tasks(tasks::Request::CompleteTask(body)) => call::<CompleteTask>(body, req_id),
        Message::Tasks(tasks::Request::ListTasks(body)) => call::<ListTasks>(body, req_id),
        Message::Tasks(tasks::Request::ClaimNext(body)) => call::<ClaimNext>(body, req_id),
        Message::Tasks(tasks::Request::RenewTask(body)) => call::<RenewTask>(body, req_id),
        Message::Tasks(tasks::Request::GetTask(body)) => call::<GetTask>(body, req_id),
        Message::Tasks(tasks::Request::WatchTasks(body)) => call::<WatchTasks>(body, req_id),
        Message::Schedules(schedules::Request::Schedule(body)) => {
            call::<schedules::Schedule>(body, req_id)
        }
        Message::Schedules(schedules::Request::ListScheduled(body)) => {
            call::<ListScheduled>(body, req_id)
        }
        Message::Schedules(schedules::Request::CancelScheduled(body)) => {
            call::<CancelScheduled>(body, req_id)
        }
        Message::Schedules(schedules::Request::GetScheduled(body)) => {
            call::<GetScheduled>(body, req_id)
        }
        Message::Schedules(schedules::Request::PauseScheduled(body)) => {
            call::<PauseScheduled>(body, req_id)
        }
        Message::Schedules(schedules::Request::ResumeScheduled(body)) => {
            call::<ResumeScheduled>(body, req_id)
        }
        Message::Schedules(schedules::Request::RunScheduled(body)) => {
            call::<RunScheduled>(body, req_id)
        }
        Message::Audit(audit::Request::AuditQuery(body)) => call::<AuditQuery>(body, req_id),
        Message::Audit(audit::Request::AuditVerify(body)) => call::<AuditVerify>(body, req_id),
        Message::Watches(watches::Request::Watch(body)) => call::<Watch>(body, req_id),
        Message::Watches(watches::Request::Unwatch(body)) => call::<Unwatch>(body, req_id),
        Message::Watches(watches::Request::ListWatches(body)) => call::<ListWatches>(body, req_id),
        Message::Watches(watches::Request::TestWatch(body)) => call::<TestWatch>(body, req_id),
        Message::Webhooks(webhooks::Request::CreateWebhook(body)) => {
            call::<CreateWebhook>(body, req_id)
        }
        Message::Webhooks(webhooks::Request::ListWebhooks(body)) => {
            call::<ListWebhooks>(body, req_id)
        }
        Message::Webhooks(webhooks::Request::DeleteWebhook(body)) => {
            call::<DeleteWebhook>(body, req_id)
        }
    }
}
