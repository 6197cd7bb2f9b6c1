//! Everything that the edge says over HTTP.
//!
//! Two kinds of routes share a port. The reference's own (`/join`, `/hook/set-status`, `/health`,
//! `/metrics`, `/ws`) compare method and the full target exactly, answer in its shapes, and leave
//! everything else as a bare 404. Ours (`/v1/…`, `/openapi.json`, `/docs`) are described by one
//! document and answer with one error body. [`routes`] is the entry; one file per resource.

mod access;
mod acting;
mod api_keys;
mod audit;
mod body;
mod document;
mod fault;
mod health;
mod hook;
mod invites;
mod join;
mod legacy;
mod members;
mod meshes;
mod messages;
mod methods;
mod nodes;
mod state;
mod tasks;
mod test_targets;
mod webhooks;
mod workers;

use std::{num::NonZeroU32, sync::Arc, time::Instant};

pub use access::{Caller, Rank};
use body::Body;
pub use fault::Fault;
use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
};
use poem_openapi::{LicenseObject, OpenApi, OpenApiService, Tags};
use skein_sql::Db;
use skein_wire::{Code, limit};

use self::{
    api_keys::ApiKeyRoutes,
    audit::AuditRoutes,
    health::HealthRoute,
    hook::HookRoute,
    invites::InviteRoutes,
    join::JoinRoute,
    members::MemberRoutes,
    meshes::Meshes,
    messages::MessageRoutes,
    methods::Methods,
    nodes::NodeRoutes,
    state::StateRoutes,
    tasks::TaskRoutes,
    webhooks::{Address, WebhookRoute, WebhookRoutes},
    workers::WorkerRoutes,
};

use crate::Edge;

/// How the document sorts its routes.
#[derive(Debug, Tags)]
#[oai(rename_all = "lowercase")]
enum Tag {
    /// Tenants.
    Meshes,
    /// Who may say hello.
    Members,
    /// What makes members.
    Invites,
    /// What happened.
    Audit,
    /// Programs that take part without a socket.
    #[oai(rename = "api keys")]
    ApiKeys,
    /// What an API key sends, and what is sent to it.
    Messages,
    /// Values that all peers share.
    State,
    /// Work that all peers share.
    Tasks,
    /// What lets programs outside say something into a mesh.
    Webhooks,
    /// Edges and workers.
    Nodes,
    /// The reference's own routes, in its shapes: status codes, bodies and headers as its clients
    /// know them. They match the whole target: a query or a trailing slash is 404.
    Legacy,
}

/// The methods and headers that browsers may use on the reference's routes.
const LEGACY_METHODS: HeaderValue = HeaderValue::from_static("POST, GET, OPTIONS");
const LEGACY_HEADERS: HeaderValue = HeaderValue::from_static(
    "Content-Type, X-Mesh-Id, X-Member-Id, X-File-Name, X-Tags, X-Persistent, X-Target-Spec",
);
/// And on ours.
const OUR_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
const OUR_HEADERS: HeaderValue = HeaderValue::from_static(
    "Content-Type, Authorization, X-Skein-Key, X-Skein-Timestamp, X-Skein-Nonce, X-Skein-Signature",
);

/// What the page of the document may load: nothing that is not in it, and calls to this edge.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
                           style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'";

/// Everything that this edge serves.
pub fn routes(edge: Arc<Edge>) -> impl Endpoint<Output = Response> + 'static {
    let service = service(edge.config.hooks_per_minute);
    let document = document::exact(&service.spec());
    Routes {
        edge,
        methods: Methods::of(&document),
        document,
        page: service.swagger_ui_html(),
        api: service
            .into_endpoint()
            .catch_all_error(async |refused| Fault::response_of(refused))
            .boxed(),
        socket: crate::socket::upgrade.map_to_response().boxed(),
    }
}

/// The document of all routes, as `openapi/openapi.json` has it.
pub fn document() -> String {
    document::exact(&service(limit::HOOKS_PER_MINUTE).spec())
}

fn service(hooks_per_minute: u32) -> OpenApiService<impl OpenApi, ()> {
    let apis = (
        Meshes,
        MemberRoutes,
        InviteRoutes,
        AuditRoutes,
        HealthRoute { since: Instant::now() },
        JoinRoute,
        // A rate of none is no setting that makes sense; the slowest stands for it.
        HookRoute::new(NonZeroU32::new(hooks_per_minute).unwrap_or(NonZeroU32::MIN)),
        WebhookRoute::new(),
        ApiKeyRoutes,
        MessageRoutes,
        StateRoutes,
        TaskRoutes,
        WebhookRoutes,
        NodeRoutes,
        WorkerRoutes,
    );
    OpenApiService::new(apis, "Skein", env!("CARGO_PKG_VERSION"))
        .description("A mesh of sessions that send each other sealed messages.")
        .license(LicenseObject::new("Apache-2.0"))
}

/// The one endpoint under which all routes are.
struct Routes {
    edge: Arc<Edge>,
    document: String,
    methods: Methods,
    page: String,
    api: BoxEndpoint<'static, Response>,
    socket: BoxEndpoint<'static, Response>,
}

impl Endpoint for Routes {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let is_ours = is_ours(request.uri().path());
        request.set_data(self.edge.clone());
        let path = request.uri().path().to_owned();
        let mut response = self.answer(request).await?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED
            && let Some(methods) = self.methods.at(&path)
        {
            response.headers_mut().insert(header::ALLOW, methods.clone());
        }
        allow(response.headers_mut(), is_ours);
        Ok(response)
    }
}

impl Routes {
    async fn answer(&self, mut request: Request) -> poem::Result<Response> {
        if let Some(address) = Address::of(&request) {
            // The path holds a secret: nothing behind here sees it, nor decodes it.
            *request.uri_mut() = Uri::from_static("/hook/mesh/secret");
            request.set_data(address);
            return self.api.call(request).await;
        }
        let uri = request.uri();
        let target = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
        match (request.method().as_str(), target) {
            ("OPTIONS", _) => Ok(StatusCode::NO_CONTENT.into()),
            ("GET", "/ws") if is_upgrade(request.headers()) => {
                // The framework knows two spellings of this word; clients know more.
                let word = HeaderValue::from_static("websocket");
                request.headers_mut().insert(header::UPGRADE, word);
                self.socket.call(request).await
            }
            ("GET", "/metrics") => Ok(Response::builder()
                .content_type("text/plain; version=0.0.4")
                .body(self.edge.metrics.render())),
            ("GET", "/openapi.json") => Ok(Response::builder()
                .content_type("application/json; charset=utf-8")
                .body(self.document.clone())),
            ("GET", "/docs") => Ok(Response::builder()
                .content_type("text/html; charset=utf-8")
                .header(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
                .body(self.page.clone())),
            ("GET", "/test/clock" | "/test/flip" | "/test/html")
                if self.edge.config.test_targets =>
            {
                Ok(test_targets::answer(target))
            }
            ("GET", "/health") | ("POST", "/join" | "/hook/set-status") => {
                self.api.call(request).await
            }
            // PostgreSQL's texts have no U+0000, so nothing is called that.
            (_, target) if is_ours(uri.path()) && target.contains("%00") => {
                Ok(poem::Error::from(Fault::new(Code::NotFound)).into_response())
            }
            _ if is_ours(uri.path()) => self.api.call(request).await,
            _ => Ok(Response::builder().status(StatusCode::NOT_FOUND).body("not found")),
        }
    }
}

fn is_ours(path: &str) -> bool {
    path.starts_with("/v1/") || path == "/openapi.json" || path == "/docs"
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    let word = headers.get(header::UPGRADE).and_then(|word| word.to_str().ok());
    word.is_some_and(|word| word.eq_ignore_ascii_case("websocket"))
}

/// Lets pages from anywhere call us: nothing here goes by cookies.
fn allow(headers: &mut HeaderMap, is_ours: bool) {
    let (methods, names) = match is_ours {
        true => (OUR_METHODS, OUR_HEADERS),
        false => (LEGACY_METHODS, LEGACY_HEADERS),
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
}

async fn db(edge: &Edge) -> Result<Db, Fault> {
    Ok(edge.pool.get().await.map_err(skein_sql::Error::from)?)
}

/// Cuts one row more than a page to the page, and says where the next begins.
fn page<T>(mut found: Vec<T>, max: usize, id: impl Fn(&T) -> &String) -> (Vec<T>, Option<String>) {
    if found.len() <= max {
        return (found, None);
    }
    found.truncate(max);
    let next = found.last().map(|last| id(last).clone());
    (found, next)
}
