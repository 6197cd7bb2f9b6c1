//! `skein summary`: what this member works on, in a few words.

use serde_json::json;
use skein_wire::limit::SUMMARY_BYTES_MAX;

use super::Context;
use crate::output::harmless;
use crate::{Error, Result};

/// What to say, if anything.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The words; an empty text takes them back.
    text: Option<String>,
}

/// Runs `skein summary`. Programs of this home that live long take it over within a second.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let membership = context.membership()?;
    let Some(text) = args.text else {
        let shown = json!({"meshId": membership.mesh_id, "summary": membership.summary});
        return context.out.print(&shown, |out| {
            writeln!(out, "{}", harmless(membership.summary.as_deref().unwrap_or("(nothing said)")))
        });
    };
    if text.len() > SUMMARY_BYTES_MAX {
        return Err(Error::Usage(format!("a summary has at most {SUMMARY_BYTES_MAX} bytes")));
    }
    let membership =
        context.home.change(&membership.mesh_id, |membership| membership.summary = Some(text))?;
    let shown = json!({"meshId": membership.mesh_id, "summary": membership.summary});
    context.out.print(&shown, |out| writeln!(out, "Others will see it with your name."))
}
