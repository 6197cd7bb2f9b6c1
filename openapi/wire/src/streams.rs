//! Streams: data that peers publish to whoever listens at that moment.
//!
//! Nothing is kept: a subscription belongs to one socket, and a publisher is not given its own
//! data. Data of one publisher comes in order; what is lost between edges is lost.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::call::calls;

calls! { Streams {
    /// Creates a stream, so that it is listed. Publishing needs no creation.
    "create_stream" CreateStream => StreamCreated,
    /// Gives data to those who listen.
    "publish" Publish => (),
    /// Listens, for as long as this socket lives.
    "subscribe" Subscribe => Subscribed,
    /// Listens no more.
    "unsubscribe" Unsubscribe => (),
    /// Reads the streams of the mesh.
    "list_streams" ListStreams => StreamList,
}}

/// Creates a stream, so that it is listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_stream")]
pub struct CreateStream {
    /// Its name.
    pub name: String,
}

/// A stream exists.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "stream_created")]
pub struct StreamCreated {
    /// Its id, the same each time.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Gives data to those who listen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "publish")]
pub struct Publish {
    /// The stream's name.
    pub stream: String,
    /// Any JSON, passed on as it is.
    pub data: Box<RawValue>,
}

/// Data that another peer published.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "stream_data", rename_all = "camelCase")]
pub struct StreamData {
    /// The stream's name.
    pub stream: String,
    /// As it was published.
    pub data: Box<RawValue>,
    /// The publishing member's name, or `peer`.
    pub published_by: String,
}

/// Listens, for as long as this socket lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "subscribe")]
pub struct Subscribe {
    /// The stream's name.
    pub stream: String,
}

/// What is published from now on is pushed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "subscribed")]
pub struct Subscribed {
    /// The stream's name.
    pub stream: String,
}

/// Listens no more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "unsubscribe")]
pub struct Unsubscribe {
    /// The stream's name.
    pub stream: String,
}

/// Reads the streams of the mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "list_streams")]
pub struct ListStreams {}

/// The streams that were created, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "stream_list")]
pub struct StreamList {
    /// Them.
    pub streams: Vec<Stream>,
}

/// A stream that was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The name of the member that created it.
    pub created_by: String,
    /// ISO 8601, UTC, milliseconds.
    pub created_at: String,
    /// Sockets that listen now, on every edge.
    pub subscriber_count: u64,
}
