//! No field is added without a recorded frame that has it.

use std::{cell::Cell, collections::BTreeSet};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor, value},
    forward_to_deserialize_any,
};
use skein_wire::{
    Call, Refusal,
    audit::{AuditQuery, AuditResult, AuditVerify, AuditVerifyResult},
    clock::{ClockStatus, GetClock, PauseClock, ResumeClock, SetClock},
    contexts::{
        ContextList, ContextResults, ContextShared, GetContext, ListContexts, ShareContext,
    },
    groups::{JoinGroup, LeaveGroup},
    hello::{Hello, HelloAck},
    memory::{Forget, MemoryResults, MemoryStored, Recall, Remember},
    mesh_info::{MeshInfo, MeshInfoResult},
    messaging::{self, Ack, MessageStatus, MessageStatusResult, Received},
    peer_files::{
        PeerDirRequest, PeerDirRequestForward, PeerDirResponse, PeerDirResponseForward,
        PeerFileRequest, PeerFileRequestForward, PeerFileResponse, PeerFileResponseForward,
    },
    presence::{ListPeers, PeersList, SetStatus, SetSummary, SetVisible},
    profile::SetProfile,
    push::Push,
    schedules::{
        CancelScheduled, CancelScheduledAck, GetScheduled, ListScheduled, PauseScheduled,
        ResumeScheduled, RunScheduled, Schedule, ScheduledAck, ScheduledDetail, ScheduledList,
    },
    skills::{GetSkill, ListSkills, RemoveSkill, ShareSkill, SkillAck, SkillData, SkillList},
    state::{DeleteState, GetState, ListState, SetState, StateChange, StateList, StateResult},
    stats::SetStats,
    streams::{
        CreateStream, ListStreams, Publish, StreamCreated, StreamData, StreamList, Subscribe,
        Subscribed, Unsubscribe,
    },
    tasks::{
        ClaimNext, ClaimTask, CompleteTask, CreateTask, GetTask, ListTasks, RenewTask, TaskChange,
        TaskCreated, TaskList, TaskResult, WatchTasks,
    },
    watches::{ListWatches, TestWatch, Unwatch, Watch, WatchAck, WatchList, WatchTested},
    webhooks::{CreateWebhook, DeleteWebhook, ListWebhooks, WebhookAck, WebhookList},
};

use crate::golden;

/// Asks a struct for its fields instead of giving it any.
struct Ask<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("every message is a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.set(fields);
        Err(Error::custom("that was all"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let fields = Cell::new(&[][..]);
    T::deserialize(Ask(&fields)).err().expect("nothing was given to read");
    fields.get()
}

/// The fields of the struct of this type.
fn fields_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "ack" => fields::<Ack>(),
        "error" => fields::<Refusal>(),
        "hello" => fields::<Hello>(),
        "hello_ack" => fields::<HelloAck>(),
        "message_status_result" => fields::<MessageStatusResult>(),
        "peers_list" => fields::<PeersList>(),
        "push" => fields::<Push>(),
        JoinGroup::TYPE => fields::<JoinGroup>(),
        LeaveGroup::TYPE => fields::<LeaveGroup>(),
        ListPeers::TYPE => fields::<ListPeers>(),
        MessageStatus::TYPE => fields::<MessageStatus>(),
        Received::TYPE => fields::<Received>(),
        messaging::Send::TYPE => fields::<messaging::Send>(),
        SetProfile::TYPE => fields::<SetProfile>(),
        SetStats::TYPE => fields::<SetStats>(),
        SetStatus::TYPE => fields::<SetStatus>(),
        SetSummary::TYPE => fields::<SetSummary>(),
        "context_shared" => fields::<ContextShared>(),
        "context_results" => fields::<ContextResults>(),
        "context_list" => fields::<ContextList>(),
        "skill_ack" => fields::<SkillAck>(),
        "skill_data" => fields::<SkillData>(),
        "skill_list" => fields::<SkillList>(),
        "state_change" => fields::<StateChange>(),
        "state_list" => fields::<StateList>(),
        "state_result" => fields::<StateResult>(),
        SetState::TYPE => fields::<SetState>(),
        GetState::TYPE => fields::<GetState>(),
        ListState::TYPE => fields::<ListState>(),
        DeleteState::TYPE => fields::<DeleteState>(),
        ShareContext::TYPE => fields::<ShareContext>(),
        GetContext::TYPE => fields::<GetContext>(),
        ListContexts::TYPE => fields::<ListContexts>(),
        ShareSkill::TYPE => fields::<ShareSkill>(),
        GetSkill::TYPE => fields::<GetSkill>(),
        ListSkills::TYPE => fields::<ListSkills>(),
        RemoveSkill::TYPE => fields::<RemoveSkill>(),
        SetVisible::TYPE => fields::<SetVisible>(),
        "memory_stored" => fields::<MemoryStored>(),
        "memory_results" => fields::<MemoryResults>(),
        "mesh_info_result" => fields::<MeshInfoResult>(),
        MeshInfo::TYPE => fields::<MeshInfo>(),
        "task_created" => fields::<TaskCreated>(),
        "task_list" => fields::<TaskList>(),
        "task_result" => fields::<TaskResult>(),
        "task_change" => fields::<TaskChange>(),
        Remember::TYPE => fields::<Remember>(),
        Recall::TYPE => fields::<Recall>(),
        Forget::TYPE => fields::<Forget>(),
        CreateTask::TYPE => fields::<CreateTask>(),
        ClaimTask::TYPE => fields::<ClaimTask>(),
        CompleteTask::TYPE => fields::<CompleteTask>(),
        ListTasks::TYPE => fields::<ListTasks>(),
        ClaimNext::TYPE => fields::<ClaimNext>(),
        RenewTask::TYPE => fields::<RenewTask>(),
        GetTask::TYPE => fields::<GetTask>(),
        WatchTasks::TYPE => fields::<WatchTasks>(),
        "clock_status" => fields::<ClockStatus>(),
        SetClock::TYPE => fields::<SetClock>(),
        PauseClock::TYPE => fields::<PauseClock>(),
        ResumeClock::TYPE => fields::<ResumeClock>(),
        GetClock::TYPE => fields::<GetClock>(),
        "audit_result" => fields::<AuditResult>(),
        "audit_verify_result" => fields::<AuditVerifyResult>(),
        "scheduled_ack" => fields::<ScheduledAck>(),
        "scheduled_list" => fields::<ScheduledList>(),
        "scheduled_detail" => fields::<ScheduledDetail>(),
        "cancel_scheduled_ack" => fields::<CancelScheduledAck>(),
        Schedule::TYPE => fields::<Schedule>(),
        ListScheduled::TYPE => fields::<ListScheduled>(),
        CancelScheduled::TYPE => fields::<CancelScheduled>(),
        GetScheduled::TYPE => fields::<GetScheduled>(),
        PauseScheduled::TYPE => fields::<PauseScheduled>(),
        ResumeScheduled::TYPE => fields::<ResumeScheduled>(),
        RunScheduled::TYPE => fields::<RunScheduled>(),
        "watch_ack" => fields::<WatchAck>(),
        "watch_list_result" => fields::<WatchList>(),
        "watch_test_result" => fields::<WatchTested>(),
        Watch::TYPE => fields::<Watch>(),
        Unwatch::TYPE => fields::<Unwatch>(),
        ListWatches::TYPE => fields::<ListWatches>(),
        TestWatch::TYPE => fields::<TestWatch>(),
        "webhook_ack" => fields::<WebhookAck>(),
        "webhook_list" => fields::<WebhookList>(),
        AuditQuery::TYPE => fields::<AuditQuery>(),
        AuditVerify::TYPE => fields::<AuditVerify>(),
        CreateWebhook::TYPE => fields::<CreateWebhook>(),
        DeleteWebhook::TYPE => fields::<DeleteWebhook>(),
        ListWebhooks::TYPE => fields::<ListWebhooks>(),
        "peer_file_request_forward" => fields::<PeerFileRequestForward>(),
        "peer_file_response_forward" => fields::<PeerFileResponseForward>(),
        "peer_dir_request_forward" => fields::<PeerDirRequestForward>(),
        "peer_dir_response_forward" => fields::<PeerDirResponseForward>(),
        "stream_created" => fields::<StreamCreated>(),
        "stream_data" => fields::<StreamData>(),
        "stream_list" => fields::<StreamList>(),
        "subscribed" => fields::<Subscribed>(),
        PeerFileRequest::TYPE => fields::<PeerFileRequest>(),
        PeerFileResponse::TYPE => fields::<PeerFileResponse>(),
        PeerDirRequest::TYPE => fields::<PeerDirRequest>(),
        PeerDirResponse::TYPE => fields::<PeerDirResponse>(),
        CreateStream::TYPE => fields::<CreateStream>(),
        Publish::TYPE => fields::<Publish>(),
        Subscribe::TYPE => fields::<Subscribe>(),
        Unsubscribe::TYPE => fields::<Unsubscribe>(),
        ListStreams::TYPE => fields::<ListStreams>(),
        _ => panic!("say here which struct `{kind}` is"),
    }
}

#[test]
fn every_field_of_every_message_is_in_a_recorded_frame() {
    for golden in golden::all() {
        let recorded: BTreeSet<&str> = golden
            .frames
            .values()
            .flat_map(|frame| frame.as_object().unwrap().keys().map(String::as_str))
            .filter(|field| !["type", "_reqId"].contains(field))
            .collect();

        let declared = fields_of(&golden.kind).iter().copied().collect();

        assert_eq!(recorded, declared, "{}", golden.kind);
    }
}
