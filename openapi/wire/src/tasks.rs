//! Tasks: pieces of work that the peers of a mesh share.
//!
//! A task is `open` until a peer claims it, then `claimed` by that peer, then `done`. A claim is
//! given to one peer only. Any peer of the mesh may complete a task, whatever its state.
//!
//! Ours beyond the contract: results can be read; a task may wait for others; a claim may be a
//! lease, which ends unless it is renewed, and when its holder is gone; the next task of a queue is
//! claimed in one step; and who asks is told what happens.
//!
//! What a task waits for is said when it is made and never changes, and it is made after those: so
//! nothing can ever wait for itself.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::call::calls;

calls! { Tasks {
    /// Makes a task.
    "create_task" CreateTask => TaskCreated,
    /// Takes a task, if it is still open.
    "claim_task" ClaimTask => TaskList,
    /// Says that a task is done.
    "complete_task" CompleteTask => TaskList,
    /// Asks which tasks there are.
    "list_tasks" ListTasks => TaskList,
    /// Extension: takes the next open task.
    "claim_next" ClaimNext => TaskResult,
    /// Extension: holds a lease longer.
    "renew_task" RenewTask => TaskResult,
    /// Extension: reads a task with its result.
    "get_task" GetTask => TaskResult,
    /// Extension: asks to be told what happens to tasks, or not any more.
    "watch_tasks" WatchTasks => (),
}}

/// What edges and workers call those who watch.
pub const TOPIC: &str = "tasks";

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its id.
    pub id: String,
    /// What is to be done.
    pub title: String,
    /// Whom it is meant for: a name, a key or `@group`; `null`: anybody.
    pub assignee: Option<String>,
    /// The name of the member that claimed it.
    pub claimed_by: Option<String>,
    /// `open`, `claimed` or `done`.
    pub status: String,
    /// Any word; `urgent`, `high`, `normal` and `low` are known, and others count as `normal`.
    pub priority: String,
    /// The name of the member that made it.
    pub created_by: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was made: ISO 8601, UTC, milliseconds.
    pub created_at: String,
    /// Extension: the tasks that it waits for, or waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<String>>,
    /// Extension: how many of those are not done. It can be claimed at 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<i64>,
    /// Extension: how often it was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<i64>,
    /// Extension: the key of the session that holds it, unless its member does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_session: Option<String>,
    /// Extension: when it was last claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<String>,
    /// Extension: when the lease ends, if the claim is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_until: Option<String>,
    /// Extension: the name of the member that completed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_by: Option<String>,
    /// Extension: when that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// Extension: what came of it. Left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

impl Task {
    /// The same without what is ours beyond the contract.
    pub fn plain(self) -> Self {
        Self {
            depends_on: None,
            waits_for: None,
            claims: None,
            claimed_session: None,
            claimed_at: None,
            leased_until: None,
            completed_by: None,
            completed_at: None,
            result: None,
            ..self
        }
    }
}

/// Makes a task.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_task", rename_all = "camelCase")]
pub struct CreateTask {
    /// What is to be done.
    pub title: String,
    /// Whom it is meant for; absent: anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// How urgent; absent: `normal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Extension: tasks that have to be done before it can be claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<String>>,
}

/// The task was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "task_created")]
pub struct TaskCreated {
    /// Its id.
    pub id: String,
}

/// Who holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// The session that claims: the lease also ends when that session is gone.
    #[default]
    Session,
    /// Its member, from any session: the lease ends by time only.
    Member,
}

// Not derived: a derived one would also take `{"member": null}`.
impl<'de> Deserialize<'de> for Holder {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.as_str() {
            "session" => Ok(Self::Session),
            "member" => Ok(Self::Member),
            word => Err(D::Error::unknown_variant(word, &["session", "member"])),
        }
    }
}

/// Takes a task, if it is still open.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "claim_task", rename_all = "camelCase")]
pub struct ClaimTask {
    /// The task.
    pub task_id: String,
    /// Extension: the claim is a lease of so many seconds. Absent: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u32>,
    /// Extension: who holds it; absent: the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Says that a task is done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "complete_task", rename_all = "camelCase")]
pub struct CompleteTask {
    /// The task.
    pub task_id: String,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Extension: only if the caller holds it still; then a repeat changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_held: Option<bool>,
}

/// Asks which tasks there are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "list_tasks")]
pub struct ListTasks {
    /// Only those of exactly this status; `completed` is `done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only those for exactly this assignee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
}

/// The tasks of a mesh, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "task_list")]
pub struct TaskList {
    /// At most a hundred.
    pub tasks: Vec<Task>,
    /// Extension: the task that was claimed or completed, as it is now, with its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// Extension: takes the most urgent of the open tasks that wait for nothing and are for the caller
/// or anybody, the oldest of equals. No other claimer gets it, and none is passed over.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "claim_next", rename_all = "camelCase")]
pub struct ClaimNext {
    /// Only one with all these tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The claim is a lease of so many seconds. Absent: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u32>,
    /// Who holds it; absent: the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Extension: holds a lease for so long from now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "renew_task", rename_all = "camelCase")]
pub struct RenewTask {
    /// The task, which the caller holds by a lease.
    pub task_id: String,
    /// How long.
    pub lease_seconds: u32,
}

/// Extension: reads a task with its result.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "get_task", rename_all = "camelCase")]
pub struct GetTask {
    /// The task.
    pub task_id: String,
}

/// Extension: one task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "task_result")]
pub struct TaskResult {
    /// The task; `null` where no task was next.
    pub task: Option<Task>,
}

/// Extension: asks to be told what happens to tasks, for as long as the socket stays.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "watch_tasks")]
pub struct WatchTasks {
    /// Whether to be told.
    pub watch: bool,
}

/// Extension: something happened to a task. A hint: it may be lost, the list is the truth.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "task_change")]
pub struct TaskChange {
    /// What happened.
    pub change: Change,
    /// The task as it was then, without its result.
    pub task: Task,
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was made.
    Created,
    /// Somebody took it.
    Claimed,
    /// Its lease ended, and it is open again.
    Lapsed,
    /// It is done.
    Completed,
}
