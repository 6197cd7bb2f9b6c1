//! No field is added without a recorded frame that has it.

use std::{cell::Cell, collections::BTreeSet};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor, value},
    forward_to_deserialize_any,
};
use skein_wire::{
    Call, Refusal,
    groups::{JoinGroup, LeaveGroup},
    hello::{Hello, HelloAck},
    messaging::{self, Ack, MessageStatus, MessageStatusResult, Received},
    presence::{ListPeers, PeersList, SetStatus, SetSummary, SetVisible},
    profile::SetProfile,
    push::Push,
    stats::SetStats,
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
        SetVisible::TYPE => fields::<SetVisible>(),
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
