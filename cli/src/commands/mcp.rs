//! `skein mcp`: the MCP server of an agent's host, on standard input and output.

use rmcp::transport::stdio_pipes;

use super::Context;
use super::config::key;
use crate::Result;
use crate::mcp::channel::MessageMode;
use crate::mcp::{self, Settings};

/// How the session presents itself.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the host is told of messages that arrive: each of them, only that one waits, or
    /// nothing. The tool check_messages shows what was not shown.
    /// Left out, the setting `message-mode` holds, else `push`.
    #[arg(long, value_enum, value_name = "MODE")]
    message_mode: Option<MessageMode>,
    /// The name that others see, instead of the member's.
    #[arg(long, env = "SKEIN_DISPLAY_NAME", hide_env_values = true)]
    name: Option<String>,
    /// What this agent is there for; its model is told.
    #[arg(long, env = "SKEIN_ROLE", hide_env_values = true)]
    role: Option<String>,
    /// The host's id of its session.
    #[arg(long, env = "SKEIN_SESSION_ID", hide_env_values = true, value_name = "ID")]
    session_id: Option<String>,
    /// Which program the host is; peers see it.
    #[arg(
        long,
        env = "SKEIN_CHANNEL",
        hide_env_values = true,
        default_value = "claude-code",
        value_name = "PROGRAM"
    )]
    channel: String,
    /// The model that the host runs.
    #[arg(long, env = "CLAUDE_MODEL", hide_env_values = true)]
    model: Option<String>,
}

/// Runs `skein mcp`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let chosen = match args.message_mode {
        Some(mode) => Some(mode),
        None => key::message_mode(&context.home.settings()?)?,
    };
    let settings = Settings {
        mesh: context.mesh.clone(),
        mode: chosen.unwrap_or(MessageMode::Push),
        lines_asked_for: args.message_mode.is_some_and(|mode| mode != MessageMode::Off),
        name: said(args.name),
        role: said(args.role),
        session_id: said(args.session_id),
        channel: args.channel,
        model: said(args.model),
        ..Settings::default()
    };
    let (read, write) = stdio_pipes();
    mcp::serve(context.home.clone(), settings, read, write).await
}
