//! What other peers ask of this session: files of the folder that its user shares.

use std::io::Write;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::debug;

use super::Mesh;
use crate::client::Client;
use crate::client::asked::{Question, What};
use crate::mcp::fence;

/// Questions that are answered at once: each holds a file in memory.
const AT_ONCE: usize = 4;

/// The turns of questions.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Mesh {
    /// Answers on a task of its own, and tells the user who read what.
    pub(super) fn asked(self: &Arc<Self>, client: &Client, question: Question) {
        let (mesh, client) = (self.clone(), client.clone());
        tokio::spawn(async move {
            // Nobody closes it.
            let Ok(_turn) = mesh.turns.0.acquire().await else { return };
            let asker = mesh.name_of(&question.asker).await;
            let wanted = match &question.what {
                What::File(path) => format!("read {}", fence::line(path)),
                What::Dir(path, _) => format!("listed {}", fence::line(path)),
            };
            let shared = mesh.settings.shared.clone();
            let is_shared = shared.is_some();
            let answering = move || question.answer(shared.as_ref());
            let Ok(answer) = tokio::task::spawn_blocking(answering).await else { return };
            client.say(answer.frame);
            let outcome = match answer.outcome {
                Ok(n) => format!("{n}"),
                Err(why) => format!("refused: {why}"),
            };
            let line = format!("\"{}\" {wanted}: {outcome}", fence::name(&asker));
            if is_shared {
                // Whatever is logged: what leaves this machine is said.
                let _ = writeln!(std::io::stderr(), "skein: [{}] {line}", mesh.slug);
            } else {
                debug!(mesh = mesh.slug, "{line}");
            }
        });
    }
}
