//! `skein task watch`: what happens to tasks, as it happens.

use serde_json::json;
use skein_wire::tasks::{TaskChange, WatchTasks};

use super::line;
use crate::Result;
use crate::client::Incoming;
use crate::commands::{Context, attach};
use crate::home::Lifetime;

/// Prints changes until Ctrl-C, or until so many came. A new connection is asked to tell again; what
/// happened between two connections is in the list only.
pub async fn run(context: &Context, count: Option<u64>) -> Result<()> {
    let mut attached = attach::start(context, &context.membership()?, Lifetime::Short)?;
    attached.client.ready(attach::PATIENCE).await?;
    let mut left = count;
    while left != Some(0) {
        let incoming = tokio::select! {
            incoming = attached.pushes.next() => incoming,
            _ = tokio::signal::ctrl_c() => break,
        };
        match incoming {
            Some(Incoming::Connected { .. }) => {
                attached.client.tell(&WatchTasks { watch: true }).await?;
                if !context.out.json {
                    use std::io::Write;
                    // Not among the changes.
                    let _ = writeln!(std::io::stderr(), "Watching tasks; Ctrl-C ends it.");
                }
            }
            Some(Incoming::Frame { kind, text }) if kind == "task_change" => {
                let Ok(heard) = serde_json::from_str::<TaskChange>(&text) else { continue };
                let shown = json!({"change": heard.change, "task": heard.task});
                context.out.print(&shown, |out| line(context, &heard.task, out))?;
                left = left.map(|left| left - 1);
            }
            Some(Incoming::Closed(closed)) => return Err(closed.into()),
            Some(_) => (),
            None => break,
        }
    }
    attached.client.close().await;
    Ok(())
}
