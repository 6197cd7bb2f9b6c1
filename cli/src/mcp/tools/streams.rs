//! Streams: data for whoever listens at that moment.

use skein_wire::streams::{CreateStream, ListStreams, Publish};

use super::arguments::{Kind, MESH, required, text, value};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;
use crate::output::short;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "create_stream",
        description: "Create a stream, so that list_streams shows it. Publishing needs none.",
        parameters: &[required("name", Kind::Text, "Its name"), MESH],
        effect: Effect::Sets,
        run: |call| Box::pin(create(call)),
    },
    Tool {
        name: "publish",
        description: "Give data to all who listen to a stream now. Nothing is kept for others.",
        parameters: &[
            required("stream", Kind::Text, "The stream's name"),
            required("data", Kind::Any, "Any JSON value"),
            MESH,
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(publish(call)),
    },
    Tool {
        name: "subscribe",
        description: "Listen to a stream for the rest of this session: data comes as it is \
                      published.",
        parameters: &[required("stream", Kind::Text, "The stream's name"), MESH],
        effect: Effect::Sets,
        run: |call| Box::pin(subscribe(call)),
    },
    Tool {
        name: "list_streams",
        description: "The streams that were created, by whom, and how many listen now.",
        parameters: &[MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
];

async fn create(call: Call) -> Reply {
    let name = text(&call.arguments, "name").unwrap_or_default().to_owned();
    let created = call.mesh()?.act(&CreateStream { name }).await?;
    Ok(format!("Stream \"{}\" ({})", fence::name(&created.name), fence::line(&created.id)))
}

async fn publish(call: Call) -> Reply {
    let stream = text(&call.arguments, "stream").unwrap_or_default().to_owned();
    let given = value(&call.arguments, "data").cloned().unwrap_or_default();
    let data = serde_json::value::to_raw_value(&given).map_err(|error| error.to_string())?;
    let mesh = call.mesh()?;
    let shown = fence::name(&stream);
    let said = mesh.tell(&Publish { stream, data }).await?;
    Ok(format!("Published to \"{shown}\"{said}"))
}

async fn subscribe(call: Call) -> Reply {
    let stream = text(&call.arguments, "stream").unwrap_or_default();
    call.mesh()?.listen(stream).await?;
    Ok(format!("Listening to \"{}\"", fence::name(stream)))
}

async fn list(call: Call) -> Reply {
    let streams = call.mesh()?.ask(&ListStreams {}).await?.streams;
    if streams.is_empty() {
        return Ok("No streams.".into());
    }
    let lines = streams.iter().map(|stream| {
        format!(
            "\"{}\" ({}…) by {}, {} listening",
            fence::name(&stream.name),
            short(&stream.id),
            fence::name(&stream.created_by),
            stream.subscriber_count
        )
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
