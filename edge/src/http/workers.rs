//! Workers: who holds which share of the duties, and how late each is. The operator's.

use std::sync::Arc;

use openapi::workers::{Duty, Worker, Workers};
use poem::web::Data;
use poem_openapi::{OpenApi, payload::Json};
use skein_openapi as openapi;
use skein_sql::{duties, iso};
use skein_wire::Code;

use super::{Caller, Fault, Tag, db};
use crate::Edge;

/// The routes of workers.
#[derive(Debug)]
pub struct WorkerRoutes;

#[OpenApi(tag = "Tag::Nodes")]
impl WorkerRoutes {
    /// Lists the workers of the deployment and what they do. Takes the operator token.
    #[oai(path = "/v1/workers", method = "get", operation_id = "listWorkers")]
    async fn list(&self, caller: Caller, edge: Data<&Arc<Edge>>) -> Result<Json<Workers>, Fault> {
        if caller != Caller::Operator {
            return Err(Fault::with(Code::Forbidden, "this takes the operator token"));
        }
        let workers = duties::workers(&db(&edge).await?).await?;
        Ok(Json(Workers { workers: workers.into_iter().map(worker).collect() }))
    }
}

fn worker(worker: duties::Worker) -> Worker {
    let duty = |report: duties::Report| Duty {
        kind: report.kind,
        buckets: report.n_buckets,
        done: report.tally.n_done,
        late_ms_max: report.tally.late_ms_max,
        late_ms_p99: report.tally.late_ms_p99,
        at: iso(report.at),
    };
    Worker {
        node: worker.node,
        region: worker.region,
        state: worker.state,
        started_at: iso(worker.started_at),
        duties: worker.reports.into_iter().map(duty).collect(),
    }
}
