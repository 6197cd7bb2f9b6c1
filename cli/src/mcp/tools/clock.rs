//! The simulation clock that all of a mesh share.

use jiff::Timestamp;
use skein_wire::clock::{ClockStatus, GetClock, PauseClock, ResumeClock, SetClock};

use super::arguments::{Kind, MESH, count, required};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;
use crate::mcp::mesh::Mesh;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "mesh_set_clock",
        description: "Start the mesh's simulation clock, or change its speed. Everybody is told of \
                      every tick, a simulated minute each.",
        parameters: &[required("speed", Kind::Count, "1 (real time) to 100"), MESH],
        effect: Effect::Acts,
        run: |call| Box::pin(set(call)),
    },
    Tool {
        name: "mesh_pause_clock",
        description: "Stop the mesh's simulation clock where it is.",
        parameters: &[MESH],
        effect: Effect::Acts,
        run: |call| Box::pin(async move { Ok(words(&call.mesh()?.act(&PauseClock {}).await?)) }),
    },
    Tool {
        name: "mesh_resume_clock",
        description: "Let the mesh's simulation clock go on.",
        parameters: &[MESH],
        effect: Effect::Acts,
        run: |call| Box::pin(async move { Ok(words(&call.mesh()?.act(&ResumeClock {}).await?)) }),
    },
    Tool {
        name: "mesh_clock",
        description: "What the mesh's simulation clock shows.",
        parameters: &[MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(async move { Ok(words(&call.mesh()?.ask(&GetClock {}).await?)) }),
    },
];

async fn set(call: Call) -> Reply {
    let speed = count(&call.arguments, "speed").unwrap_or_default();
    if !(1..=100).contains(&speed) {
        return Err("`speed` must be from 1 to 100".into());
    }
    let speed = u32::try_from(speed).map_or(1.0, f64::from);
    Ok(words(&call.mesh()?.act(&SetClock { speed }).await?))
}

/// What the clock shows now.
pub async fn now(mesh: &Mesh) -> Result<Timestamp, String> {
    let status = mesh.ask(&GetClock {}).await?;
    if status.speed == 0.0 {
        return Err("no simulation clock runs in this mesh; mesh_set_clock starts one".into());
    }
    status.sim_time.parse().map_err(|_| "the clock shows no time".to_owned())
}

fn words(status: &ClockStatus) -> String {
    if status.speed == 0.0 {
        return "The simulation clock was not started.".into();
    }
    let (tick, speed) = (status.tick, status.speed);
    let how = if status.paused { "paused" } else { "running" };
    let (sim, started) = (fence::line(&status.sim_time), fence::line(&status.started_at));
    format!("Clock {how}: tick {tick} | sim time: {sim} | speed: x{speed} | started: {started}")
}
