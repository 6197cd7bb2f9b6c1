//! The MCP server: what a host asks, and what it is answered.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{RoleServer, ServerHandler};

use super::channel::{self, Channel};
use super::meshes::Meshes;
use super::tools::{self, Call, Offer};
use super::transport::Receipts;

/// The server.
#[derive(Debug)]
pub struct Server {
    /// The meshes that tools work on.
    pub meshes: Arc<Meshes>,
    /// The way to the host.
    pub channel: Arc<Channel>,
    /// What is to be done when answers have been written.
    pub receipts: Arc<Receipts>,
    /// The tools that there are for this host.
    pub offer: Offer,
    /// What the host's model is told at the start.
    pub instructions: String,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let experimental = [(channel::CAPABILITY.to_owned(), serde_json::Map::new())];
        let capabilities = ServerCapabilities::builder()
            .enable_experimental_with(experimental.into())
            .enable_tools()
            .build();
        let server = Implementation::new("skein", env!("CARGO_PKG_VERSION")).with_title("Skein");
        ServerConfig::new(capabilities)
            .with_server_info(server)
            .with_instructions(self.instructions.clone())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.channel.greet(&context.peer);
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.channel.greet(&context.peer);
        Ok(ListToolsResult::with_all_items(tools::list(&self.offer)))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.channel.greet(&context.peer);
        let call = Call {
            meshes: self.meshes.clone(),
            receipts: self.receipts.clone(),
            id: context.id,
            arguments: request.arguments.unwrap_or_default(),
        };
        let result = match tools::call(&self.offer, &request.name, call).await {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(text) => CallToolResult::error(vec![ContentBlock::text(text)]),
        };
        Ok(result.into())
    }
}
