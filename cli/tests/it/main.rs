//! What the client library and the program promise.

mod client;
mod edge;
mod help;
mod home;
mod inbox;
