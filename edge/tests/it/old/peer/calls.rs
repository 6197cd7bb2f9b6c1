//! What its tools say of what a mesh shares (8.2), in the frames of 0.8.9: with `_reqId` where it
//! waits for an answer, without where it reports success at once; and what it makes of the answers
//! (3.1): an empty `key` is "not found", an empty `id` is a failure, a list has exactly its name.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Client, state::Family};

type Answer<T> = Result<T, String>;

impl Client {
    async fn list(&self, family: Family, frame: Value, name: &str) -> Answer<Vec<Value>> {
        let answer = self.ask(family, frame).await?;
        Ok(answer[name].as_array().unwrap_or_else(|| panic!("no `{name}`: {answer}")).clone())
    }

    async fn made(&self, family: Family, frame: Value) -> Answer<String> {
        let answer = self.ask(family, frame).await?;
        let id = answer["id"].as_str().unwrap_or_default();
        if id.is_empty() { Err(format!("no id: {answer}")) } else { Ok(id.to_owned()) }
    }

    pub fn set_state(&self, key: &str, value: Value) {
        self.tell(&json!({"type": "set_state", "key": key, "value": value}));
    }

    /// `None`: "not found".
    pub async fn get_state(&self, key: &str) -> Answer<Option<Value>> {
        let entry = self.ask(Family::State, json!({"type": "get_state", "key": key})).await?;
        Ok(entry["key"].as_str().is_some_and(|key| !key.is_empty()).then_some(entry))
    }

    pub async fn list_state(&self) -> Answer<Vec<Value>> {
        self.list(Family::States, json!({"type": "list_state"}), "entries").await
    }

    pub async fn remember(&self, content: &str, tags: &[&str]) -> Answer<String> {
        let frame = json!({"type": "remember", "content": content, "tags": tags});
        self.made(Family::Stored, frame).await
    }

    pub async fn recall(&self, query: &str) -> Answer<Vec<Value>> {
        self.list(Family::Recalled, json!({"type": "recall", "query": query}), "memories").await
    }

    pub fn forget(&self, id: &str) {
        self.tell(&json!({"type": "forget", "memoryId": id}));
    }

    pub fn share_context(&self, summary: &str, findings: &[&str], tags: &[&str]) {
        self.tell(&json!({"type": "share_context", "summary": summary, "filesRead": ["a.rs"],
                          "keyFindings": findings, "tags": tags}));
    }

    pub async fn get_context(&self, query: &str) -> Answer<Vec<Value>> {
        let frame = json!({"type": "get_context", "query": query});
        self.list(Family::FoundContexts, frame, "contexts").await
    }

    pub async fn list_contexts(&self) -> Answer<Vec<Value>> {
        self.list(Family::Contexts, json!({"type": "list_contexts"}), "contexts").await
    }

    pub async fn create_task(&self, title: &str, assignee: Option<&str>) -> Answer<String> {
        let mut frame = json!({"type": "create_task", "title": title});
        if let Some(assignee) = assignee {
            frame["assignee"] = json!(assignee);
        }
        self.made(Family::TaskMade, frame).await
    }

    /// It says "claimed", whatever becomes of it.
    pub fn claim_task(&self, id: &str) {
        self.tell(&json!({"type": "claim_task", "taskId": id}));
    }

    /// It says "completed", whatever becomes of it.
    pub fn complete_task(&self, id: &str, result: &str) {
        self.tell(&json!({"type": "complete_task", "taskId": id, "result": result}));
    }

    pub async fn list_tasks(&self, status: Option<&str>) -> Answer<Vec<Value>> {
        let mut frame = json!({"type": "list_tasks"});
        if let Some(status) = status {
            frame["status"] = json!(status);
        }
        self.list(Family::Tasks, frame, "tasks").await
    }

    pub async fn create_stream(&self, name: &str) -> Answer<String> {
        self.made(Family::StreamMade, json!({"type": "create_stream", "name": name})).await
    }

    pub fn publish(&self, stream: &str, data: Value) {
        self.tell(&json!({"type": "publish", "stream": stream, "data": data}));
    }

    /// It ignores the answer.
    pub fn subscribe(&self, stream: &str) {
        self.tell(&json!({"type": "subscribe", "stream": stream}));
    }

    pub fn unsubscribe(&self, stream: &str) {
        self.tell(&json!({"type": "unsubscribe", "stream": stream}));
    }

    pub async fn list_streams(&self) -> Answer<Vec<Value>> {
        self.list(Family::Streams, json!({"type": "list_streams"}), "streams").await
    }

    /// What was done with the skill.
    pub async fn share_skill(&self, name: &str, instructions: &str) -> Answer<Value> {
        let frame = json!({"type": "share_skill", "name": name, "description": "for tests",
                           "instructions": instructions, "tags": ["ops"]});
        Ok(self.ask(Family::SkillDone, frame).await?["action"].clone())
    }

    /// `None`: "not found".
    pub async fn get_skill(&self, name: &str) -> Answer<Option<Value>> {
        let data = self.ask(Family::Skill, json!({"type": "get_skill", "name": name})).await?;
        Ok(Some(data["skill"].clone()).filter(|skill| !skill.is_null()))
    }

    pub async fn list_skills(&self, query: Option<&str>) -> Answer<Vec<Value>> {
        let mut frame = json!({"type": "list_skills"});
        if let Some(query) = query {
            frame["query"] = json!(query);
        }
        self.list(Family::Skills, frame, "skills").await
    }

    pub async fn remove_skill(&self, name: &str) -> Answer<Value> {
        let frame = json!({"type": "remove_skill", "name": name});
        Ok(self.ask(Family::SkillDone, frame).await?["action"].clone())
    }

    /// The file's text. An empty file is "an empty response".
    pub async fn read_peer_file(&self, key: &str, path: &str) -> Answer<String> {
        let frame = json!({"type": "peer_file_request", "targetPubkey": key, "filePath": path});
        let answer = self.ask(Family::File, frame).await?;
        match (answer["error"].as_str(), answer["content"].as_str()) {
            (Some(error), _) if !error.is_empty() => Err(error.to_owned()),
            (_, Some(content)) if !content.is_empty() => {
                Ok(String::from_utf8(STANDARD.decode(content).unwrap()).unwrap())
            }
            _ => Err("empty response".to_owned()),
        }
    }

    pub async fn list_peer_files(
        &self,
        key: &str,
        path: &str,
        pattern: Option<&str>,
    ) -> Answer<Vec<Value>> {
        let mut frame = json!({"type": "peer_dir_request", "targetPubkey": key, "dirPath": path});
        if let Some(pattern) = pattern {
            frame["pattern"] = json!(pattern);
        }
        let answer = self.ask(Family::Dir, frame).await?;
        match answer["error"].as_str() {
            Some(error) if !error.is_empty() => Err(error.to_owned()),
            _ => Ok(answer["entries"].as_array().cloned().unwrap_or_default()),
        }
    }

    /// The `webhook_ack`.
    pub async fn create_webhook(&self, name: &str) -> Answer<Value> {
        self.ask(Family::WebhookDone, json!({"type": "create_webhook", "name": name})).await
    }

    pub async fn list_webhooks(&self) -> Answer<Vec<Value>> {
        self.list(Family::Webhooks, json!({"type": "list_webhooks"}), "webhooks").await
    }

    pub async fn delete_webhook(&self, name: &str) -> Answer<Value> {
        self.ask(Family::WebhookDone, json!({"type": "delete_webhook", "name": name})).await
    }

    pub async fn mesh_info(&self) -> Answer<Value> {
        self.ask(Family::Overview, json!({"type": "mesh_info"})).await
    }

    /// `remind`, once: the `scheduled_ack`.
    pub async fn remind(&self, to: &str, message: &str, deliver_at: i64) -> Answer<Value> {
        let frame = json!({"type": "schedule", "to": to, "message": message,
                           "deliverAt": deliver_at, "subtype": "reminder"});
        self.ask(Family::Scheduled, frame).await
    }

    /// `remind --cron`.
    pub async fn remind_by(&self, cron: &str, to: &str, message: &str) -> Answer<Value> {
        let frame = json!({"type": "schedule", "to": to, "message": message, "deliverAt": 0,
                           "subtype": "reminder", "cron": cron, "recurring": true});
        self.ask(Family::Scheduled, frame).await
    }

    pub async fn list_scheduled(&self) -> Answer<Vec<Value>> {
        self.list(Family::Schedules, json!({"type": "list_scheduled"}), "messages").await
    }

    /// Whether there was one.
    pub async fn cancel_scheduled(&self, id: &Value) -> Answer<bool> {
        let frame = json!({"type": "cancel_scheduled", "scheduledId": id});
        Ok(self.ask(Family::Cancelled, frame).await?["ok"] == true)
    }
}
