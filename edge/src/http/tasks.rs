//! Tasks: make, list, read, claim, renew, complete.
//!
//! Whoever claims over REST has no session that could be missed: the task is held by the member, or
//! by the API key, until it is done or a lease ends.

use std::sync::Arc;

use openapi::{
    api_keys::Capability,
    tasks::{Claim, Completion, NewTask, NextTask, Renewal, Task, TaskCreated, Tasks},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;
use skein_openapi as openapi;
use skein_wire::{
    Message,
    tasks::{
        ClaimNext, ClaimTask, CompleteTask, CreateTask, GetTask, Holder, ListTasks, RenewTask,
        Request,
    },
};

use super::{Body, Caller, Fault, Tag, acting::Acting};
use crate::Edge;

/// The routes of tasks.
#[derive(Debug)]
pub struct TaskRoutes;

/// A task was made.
#[derive(Debug, ApiResponse)]
pub enum Made {
    /// Its id.
    #[oai(status = 201)]
    Made(Json<TaskCreated>),
}

/// One task as the socket answers with it.
#[derive(Deserialize)]
struct One {
    task: Task,
}

#[OpenApi(tag = "Tag::Tasks")]
impl TaskRoutes {
    /// Makes a task. Members may, and API keys with `tasks:write`.
    #[oai(path = "/v1/meshes/:mesh_id/tasks", method = "post", operation_id = "createTask")]
    async fn create(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        new: Body<NewTask>,
    ) -> Result<Made, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::TasksWrite).await?;
        let NewTask { title, assignee, priority, tags, depends_on } = new.0;
        let priority = priority.map(|priority| priority.as_str().to_owned());
        let call = CreateTask { title, assignee, priority, tags, depends_on };
        Ok(Made::Made(Json(acting.ask(Message::Tasks(Request::CreateTask(call))).await?)))
    }

    /// Lists the newest tasks. Members may, and API keys with `tasks:read`.
    #[oai(path = "/v1/meshes/:mesh_id/tasks", method = "get", operation_id = "listTasks")]
    async fn list(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        /// Only those of this status: `open`, `claimed` or `done`.
        status: Query<Option<String>>,
        /// Only those for exactly this assignee.
        assignee: Query<Option<String>>,
    ) -> Result<Json<Tasks>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::TasksRead).await?;
        let call = ListTasks { status: status.0, assignee: assignee.0 };
        Ok(Json(acting.ask(Message::Tasks(Request::ListTasks(call))).await?))
    }

    /// Reads a task with its result. Members may, and API keys with `tasks:read`.
    #[oai(path = "/v1/meshes/:mesh_id/tasks/:task_id", method = "get", operation_id = "getTask")]
    async fn get(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        task_id: Path<String>,
    ) -> Result<Json<Task>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::TasksRead).await?;
        let call = GetTask { task_id: task_id.0 };
        let One { task } = acting.ask(Message::Tasks(Request::GetTask(call))).await?;
        Ok(Json(task))
    }

    /// Claims the most urgent open task that is for the caller or anybody, the oldest of equals.
    /// Nobody else gets it. Members may, and API keys with `tasks:write`.
    #[oai(path = "/v1/meshes/:mesh_id/tasks/next", method = "post", operation_id = "claimNextTask")]
    async fn next(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        wanted: Body<openapi::tasks::ClaimNext>,
    ) -> Result<Json<NextTask>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::TasksWrite).await?;
        let openapi::tasks::ClaimNext { tags, lease_seconds } = wanted.0;
        let call = ClaimNext { tags, lease_seconds, holder: Some(Holder::Member) };
        Ok(Json(acting.ask(Message::Tasks(Request::ClaimNext(call))).await?))
    }

    /// Claims a task, if it is still open. Members may, and API keys with `tasks:write`.
    #[oai(
        path = "/v1/meshes/:mesh_id/tasks/:task_id/claim",
        method = "post",
        operation_id = "claimTask"
    )]
    async fn claim(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        task_id: Path<String>,
        claim: Body<Claim>,
    ) -> Result<Json<Task>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::TasksWrite).await?;
        let (task_id, lease_seconds) = (task_id.0, claim.lease_seconds);
        let call = ClaimTask { task_id, lease_seconds, holder: Some(Holder::Member) };
        let One { task } = acting.ask(Message::Tasks(Request::ClaimTask(call))).await?;
        Ok(Json(task))
    }

    /// Holds a lease for so long from now. Members may, and API keys with `tasks:write`.
    #[oai(
        path = "/v1/meshes/:mesh_id/tasks/:task_id/renew",
        method = "post",
        operation_id = "renewTask"
    )]
    async fn renew(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        task_id: Path<String>,
        renewal: Body<Renewal>,
    ) -> Result<Json<Task>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::TasksWrite).await?;
        let call = RenewTask { task_id: task_id.0, lease_seconds: renewal.lease_seconds };
        let One { task } = acting.ask(Message::Tasks(Request::RenewTask(call))).await?;
        Ok(Json(task))
    }

    /// Says that a task is done. Members may, and API keys with `tasks:write`.
    #[oai(
        path = "/v1/meshes/:mesh_id/tasks/:task_id/complete",
        method = "post",
        operation_id = "completeTask"
    )]
    async fn complete(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        task_id: Path<String>,
        completion: Body<Completion>,
    ) -> Result<Json<Task>, Fault> {
        let acting = Acting::begin(&edge, &caller, &mesh_id, Capability::TasksWrite).await?;
        let Completion { result, if_held } = completion.0;
        let call = CompleteTask { task_id: task_id.0, result, if_held };
        let One { task } = acting.ask(Message::Tasks(Request::CompleteTask(call))).await?;
        Ok(Json(task))
    }
}
