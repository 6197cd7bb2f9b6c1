//! Hosts of agents: one that is MCP's own client library, one that writes lines by hand; and homes
//! for them at scripted edges.

use std::path::Path;
use std::process::Stdio;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, CustomNotification, Implementation,
};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::{Value, json};
use skein::home::{Home, Membership};
use skein_crypto::Keypair;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::edge::DEADLINE;

/// `skein mcp` in this home, undisturbed by the environment of the tests.
pub fn program(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.arg("mcp").args(args).env("SKEIN_HOME", home).kill_on_drop(true);
    for name in ["DISPLAY_NAME", "ROLE", "SESSION_ID", "CHANNEL"] {
        command.env_remove(format!("SKEIN_{name}"));
    }
    command.env_remove("RUST_LOG").env_remove("CLAUDE_MODEL");
    command
}

/// Makes this home a member of a mesh at this edge.
pub fn join(home: &Path, mesh_id: &str, slug: &str, edge: &str) {
    let member = Keypair::generate();
    let membership: Membership = serde_json::from_value(json!({
        "version": 1, "meshId": mesh_id, "slug": slug, "memberId": "member-1",
        "memberSecret": *member.secret.hex(), "ownerPubkey": Keypair::generate().public,
        "edges": [edge], "displayName": "ann", "joinedAt": "2026-01-01T00:00:00.000Z",
    }))
    .unwrap();
    Home::at(home).unwrap().save(&membership).unwrap();
}

/// A host that is MCP's own client library.
pub struct Host {
    running: RunningService<RoleClient, Ears>,
    lines: mpsc::UnboundedReceiver<Value>,
    /// What came while something else was waited for.
    passed: Vec<Value>,
}

/// Hears the lines of a channel.
pub struct Ears {
    name: &'static str,
    lines: mpsc::UnboundedSender<Value>,
}

impl ClientHandler for Ears {
    fn get_info(&self) -> ClientConfig {
        let host = Implementation::new(self.name, "2.1.317");
        ClientConfig::new(ClientCapabilities::default(), host)
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        _: NotificationContext<RoleClient>,
    ) {
        assert_eq!(notification.method, "notifications/claude/channel");
        let _ = self.lines.send(notification.params.unwrap());
    }
}

impl Host {
    /// Starts `skein mcp` and opens a session with it.
    pub async fn start(home: &Path, args: &[&str]) -> Self {
        Self::named("claude-code", home, args).await
    }

    /// The same as a host of another name.
    pub async fn named(name: &'static str, home: &Path, args: &[&str]) -> Self {
        let process = TokioChildProcess::builder(program(home, args));
        let (process, _) = process.stderr(Stdio::null()).spawn().unwrap();
        let (heard, lines) = mpsc::unbounded_channel();
        let serving = Ears { name, lines: heard }.serve(process);
        let running = timeout(DEADLINE, serving).await.expect("it answers").unwrap();
        Self { running, lines, passed: Vec::new() }
    }

    /// What the model is told at the start.
    pub fn instructions(&self) -> String {
        self.running.peer_info().unwrap().instructions.clone().unwrap()
    }

    /// The names of the tools, in their order.
    pub async fn tools(&self) -> Vec<String> {
        let tools = self.running.list_all_tools().await.unwrap();
        tools.into_iter().map(|tool| tool.name.into_owned()).collect()
    }

    /// Calls a tool; its text, and whether it is an error.
    pub async fn call(&self, tool: &'static str, arguments: Value) -> (String, bool) {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        let calling = self.running.call_tool(params);
        let result = timeout(DEADLINE, calling).await.expect("the tool answers").unwrap();
        let text = result.content[0].as_text().unwrap().text.clone();
        (text, result.is_error.unwrap_or_default())
    }

    /// Calls a tool that succeeds.
    pub async fn say(&self, tool: &'static str, arguments: Value) -> String {
        let (text, is_error) = self.call(tool, arguments).await;
        assert!(!is_error, "{tool}: {text}");
        text
    }

    /// The first line of the channel, of those that were not taken yet, for which `is_it`.
    pub async fn line(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.passed.iter().position(&is_it) {
            return self.passed.remove(at);
        }
        let next = async {
            loop {
                let line = self.lines.recv().await.expect("the host listens");
                if is_it(&line) {
                    return line;
                }
                self.passed.push(line);
            }
        };
        let line = timeout(DEADLINE, next).await;
        line.unwrap_or_else(|_| panic!("the line comes; others came: {:#?}", self.passed))
    }

    /// Lines that came already and were not taken.
    pub fn heard(&mut self) -> Vec<Value> {
        self.passed.extend(std::iter::from_fn(|| self.lines.try_recv().ok()));
        std::mem::take(&mut self.passed)
    }

    /// Closes its end; the program ends by itself.
    pub async fn leave(self) {
        self.running.cancel().await.unwrap();
    }
}

/// A host that writes what it wants.
pub struct Raw {
    pub child: Child,
    pub input: ChildStdin,
    pub output: Lines<BufReader<ChildStdout>>,
}

impl Raw {
    pub fn start(home: &Path, args: &[&str]) -> Self {
        Self::of(program(home, args))
    }

    /// The same with a command that was prepared.
    pub fn of(mut command: Command) -> Self {
        command.env("RUST_LOG", "trace");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    /// Opens a session of the older era.
    pub async fn initialize(&mut self) -> Value {
        self.write(json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "claude-code", "version": "2.1.317"},
            },
        }))
        .await;
        let answer = self.read().await;
        self.write(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        answer
    }

    pub async fn write(&mut self, message: Value) {
        self.line(&message.to_string()).await;
    }

    pub async fn line(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next few bytes. What follows them is not read: when it is more than a pipe holds, the
    /// program is in the middle of writing it.
    pub async fn bytes(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        let reading = self.output.get_mut().read_exact(&mut bytes);
        timeout(DEADLINE, reading).await.expect("bytes come").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// What is left of a line that was begun.
    pub async fn rest_of_line(&mut self) -> String {
        let line = timeout(DEADLINE, self.output.next_line()).await.expect("it ends");
        line.unwrap().expect("it is there")
    }

    /// The next line, which is a message of the protocol.
    pub async fn read(&mut self) -> Value {
        let line = timeout(DEADLINE, self.output.next_line()).await.expect("a line comes");
        let line = line.unwrap().expect("it is there");
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        message
    }

    /// The next answer or line for which `is_it`.
    pub async fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.read().await;
            if is_it(&message) {
                return message;
            }
        }
    }

    /// Asks and reads the answer; lines that come before it are dropped.
    pub async fn ask(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.write(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        self.until(|message| message["id"] == id).await
    }
}
