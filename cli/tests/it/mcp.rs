//! `skein mcp`: an agent's host on one side, edges on the other, and what goes between them.

mod eras;
mod host;
mod lines;
mod meshes;
mod shown;
mod table;
mod tools;
