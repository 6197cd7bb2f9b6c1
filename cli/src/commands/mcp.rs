//! `skein mcp`: the MCP server of an agent's host, on standard input and output.

use std::path::PathBuf;

use rmcp::transport::stdio_pipes;

use super::Context;
use super::config::key;
use crate::mcp::channel::MessageMode;
use crate::mcp::tools::Offer;
use crate::mcp::{self, Settings};
use crate::shared::Shared;
use crate::{Error, Result};

/// The tool that shows what was not pushed.
const CHECK: &str = "check_messages";

/// How the session presents itself.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the host is told of messages that arrive: each of them, only that one waits, or
    /// nothing. Lines are shown by Claude Code only, and sent to others only if this is given; the
    /// tool check_messages shows what was not shown.
    /// Left out, the setting `message-mode` holds, else `push`.
    #[arg(long, value_enum, value_name = "MODE")]
    message_mode: Option<MessageMode>,
    /// Which tools the host is offered: `all`, `core` (the few that talking with peers takes), or
    /// names separated by commas, also `core,NAME,...`.
    #[arg(long, default_value = "all", value_name = "TOOLS", hide_default_value = true)]
    tools: String,
    /// Let peers read the files of this folder, or of the working directory: not what begins with a
    /// dot, and nothing outside. Each read is told on standard error. Without it nothing is shared.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ".",
        value_name = "DIR"
    )]
    share_files: Option<PathBuf>,
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
    let mode = chosen.unwrap_or(MessageMode::Push);
    let tools: Offer = args.tools.parse().map_err(Error::Usage)?;
    if mode != MessageMode::Push && !tools.has(CHECK) {
        let (mode, words) = (mode.as_str(), "messages could never be read");
        return Err(Error::Usage(format!(
            "without {CHECK} among the tools and with --message-mode {mode}, {words}"
        )));
    }
    let settings = Settings {
        mesh: context.mesh.clone(),
        mode,
        tools,
        lines_asked_for: args.message_mode.is_some_and(|mode| mode != MessageMode::Off),
        name: said(args.name),
        role: said(args.role),
        session_id: said(args.session_id),
        shared: args
            .share_files
            .map(|dir| Shared::new(&dir).map_err(Error::at(dir)))
            .transpose()?,
        channel: args.channel,
        model: said(args.model),
        ..Settings::default()
    };
    let (read, write) = stdio_pipes();
    mcp::serve(context.home.clone(), settings, read, write).await
}
