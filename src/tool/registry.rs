//! The one set of tools: every declaration, and those that this process can carry out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mcp::McpServers;
use super::memory_search::MemorySearch;
use super::memory_store::MemoryStore;
use super::notify::Notify;
use super::read_file::ReadFile;
use super::script::Script;
use super::shell_exec::ShellExec;
use super::spec::ToolSpec;
use super::write_file::WriteFile;
use super::{Tool, specs};
use crate::ports::ToolOffer;

/// Tools by name.
#[derive(Debug, Clone)]
pub struct ToolRegistry {
    specs: BTreeMap<&'static str, &'static ToolSpec>,
    tools: BTreeMap<&'static str, Arc<dyn Tool>>,
    mcp: Option<Arc<McpServers>>,
}

impl ToolRegistry {
    /// Every declaration and nothing that runs: enough to check workflows.
    pub fn declared() -> Self {
        Self { specs: specs::ALL.iter().map(|spec| (spec.name, *spec)).collect(), tools: BTreeMap::new(), mcp: None }
    }

    /// Every declaration, and the tools that need no network: processes, files, memory and notices. `with` adds the others.
    pub fn standard() -> Self {
        let tools: [Arc<dyn Tool>; 7] = [
            Arc::new(ShellExec),
            Arc::new(Script),
            Arc::new(ReadFile),
            Arc::new(WriteFile),
            Arc::new(MemoryStore),
            Arc::new(MemorySearch),
            Arc::new(Notify),
        ];
        tools.into_iter().fold(Self::declared(), Self::with)
    }

    /// Adds a tool, or puts it in the place of the one of its name.
    pub fn with(mut self, tool: Arc<dyn Tool>) -> Self {
        let spec = tool.spec();
        self.specs.insert(spec.name, spec);
        self.tools.insert(spec.name, tool);
        self
    }

    /// Adds the tools of MCP servers. They are known by their servers' names, whether these run or not.
    pub fn with_mcp(mut self, servers: Arc<McpServers>) -> Self {
        self.mcp = Some(servers);
        self
    }

    /// The tool `name`, when this process can carry it out.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.tools.get(name).cloned().or_else(|| self.mcp.as_ref()?.tool(name))
    }

    /// The declaration of the tool `name`.
    pub fn spec(&self, name: &str) -> Option<&'static ToolSpec> {
        self.specs.get(name).copied().or_else(|| self.mcp.as_ref()?.spec(name))
    }

    /// The tools that MCP servers have right now, for a model. Their descriptions are the servers' own words.
    pub fn mcp_offers(&self) -> Vec<ToolOffer> {
        self.mcp.iter().flat_map(|servers| servers.offers()).collect()
    }

    /// Every declaration, by name.
    pub fn specs(&self) -> impl Iterator<Item = &'static ToolSpec> + '_ {
        self.specs.values().copied()
    }
}
