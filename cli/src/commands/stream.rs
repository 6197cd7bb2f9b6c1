//! `skein stream`: data for whoever listens at that moment.

use std::io::{BufRead, IsTerminal, Write};

use clap::Subcommand;
use serde_json::{Value, json};
use skein_wire::streams::{CreateStream, ListStreams, Publish, StreamData};

use super::{Context, attach};
use crate::client::{Client, Incoming};
use crate::home::Lifetime;
use crate::output::{harmless, short};
use crate::{Error, Result};

/// What to do with streams.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create one, so that it is listed. Publishing needs no creation.
    Create {
        /// Its name.
        name: String,
    },
    /// Give data to all who listen now.
    Publish {
        /// The stream.
        stream: String,
        /// JSON, or text as it stands. Left out, each line of standard input is published.
        data: Option<String>,
    },
    /// Print what is published, until Ctrl-C.
    Subscribe {
        /// The stream.
        stream: String,
        /// End after so many.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// List those of the mesh, and how many listen.
    List,
}

/// Runs `skein stream`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Create { name } => create(context, name).await,
        Command::Publish { stream, data } => publish(context, &stream, data).await,
        Command::Subscribe { stream, count } => subscribe(context, &stream, count).await,
        Command::List => list(context).await,
    }
}

async fn create(context: &Context, name: String) -> Result<()> {
    let created = attach::ask(context, &CreateStream { name }).await?;
    let shown = json!({"id": created.id, "name": created.name});
    context.out.print(&shown, |out| {
        writeln!(out, "Stream {}  {}", harmless(&created.name), context.out.dim(short(&created.id)))
    })
}

async fn publish(context: &Context, stream: &str, data: Option<String>) -> Result<()> {
    if data.is_none() && std::io::stdin().is_terminal() {
        return Err(Error::Usage(
            "there is nothing to publish: give DATA, or pipe lines in".into(),
        ));
    }
    let attached = attach::attach(context, &context.membership()?).await?;
    let published = match data {
        Some(data) => say(&attached.client, stream, &data).await.map(|()| 1),
        None => lines(&attached.client, stream).await,
    };
    attached.client.close().await;
    let n = published?;
    let shown = json!({"stream": stream, "published": n});
    context.out.print(&shown, |out| {
        let what = if n == 1 { "".to_owned() } else { format!(" {n} lines") };
        writeln!(out, "Published{what} to {stream}.")
    })
}

/// Publishes each line of standard input as it comes.
async fn lines(client: &Client, stream: &str) -> Result<u64> {
    let mut n = 0;
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        let line = line.await.map_err(|error| Error::Io(error.into()))??;
        if line.is_empty() {
            return Ok(n);
        }
        say(client, stream, line.trim_end_matches(['\n', '\r'])).await?;
        n += 1;
    }
}

/// Publishes JSON as it stands, and anything else as text.
async fn say(client: &Client, stream: &str, data: &str) -> Result<()> {
    let data = serde_json::value::RawValue::from_string(data.to_owned())
        .or_else(|_| serde_json::value::to_raw_value(data))
        .map_err(|error| Error::Usage(error.to_string()))?;
    Ok(client.tell(&Publish { stream: stream.to_owned(), data }).await?)
}

async fn subscribe(context: &Context, stream: &str, count: Option<u64>) -> Result<()> {
    let mut attached = attach::start(context, &context.membership()?, Lifetime::Short)?;
    attached.client.ready(attach::PATIENCE).await?;
    attached.client.subscribe(stream).await?;
    if !context.out.json {
        // Not among the data.
        let _ = writeln!(std::io::stderr(), "Listening to {}; Ctrl-C ends it.", harmless(stream));
    }
    let mut left = count;
    while left != Some(0) {
        let incoming = tokio::select! {
            incoming = attached.pushes.next() => incoming,
            _ = tokio::signal::ctrl_c() => break,
        };
        match incoming {
            Some(Incoming::Frame { kind, text }) if kind == "stream_data" => {
                let Ok(heard) = serde_json::from_str::<StreamData>(&text) else { continue };
                if heard.stream == stream {
                    shown(context, &heard)?;
                    left = left.map(|left| left - 1);
                }
            }
            Some(Incoming::Closed(closed)) => return Err(closed.into()),
            Some(_) => (),
            None => break,
        }
    }
    attached.client.close().await;
    Ok(())
}

fn shown(context: &Context, heard: &StreamData) -> Result<()> {
    let value = json!({"stream": heard.stream, "publishedBy": heard.published_by,
                       "data": heard.data});
    context.out.print(&value, |out| {
        // A text is easier to read without its quotes.
        let data = match serde_json::from_str(heard.data.get()) {
            Ok(Value::String(text)) => text,
            _ => heard.data.get().to_owned(),
        };
        let who = harmless(&heard.published_by);
        writeln!(out, "{}  {}", context.out.bold(&who), harmless(&data))
    })
}

async fn list(context: &Context) -> Result<()> {
    let streams = attach::ask(context, &ListStreams {}).await?.streams;
    context.out.print(&streams, |out| {
        if streams.is_empty() {
            return writeln!(out, "No streams. `skein stream create NAME` makes one.");
        }
        for stream in &streams {
            let name = context.out.bold(&harmless(&stream.name));
            let (by, n) = (harmless(&stream.created_by), stream.subscriber_count);
            writeln!(out, "{name}  by {by}, {n} listening")?;
        }
        Ok(())
    })
}
