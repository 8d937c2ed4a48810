//! The built `retort` binary, driven the way a person drives it.

mod architecture;
mod binary;
mod exports;
mod from_rollouts;
mod golden;
mod messages;
mod quickstart;
mod resume;
mod sampling;
mod schemas;
#[path = "../crates/teacher/tests/server/mod.rs"]
#[allow(dead_code)]
mod server;
