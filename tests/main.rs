//! The built `retort` binary, driven the way a person drives it.

mod architecture;
mod binary;
mod composing;
mod exports;
mod filtering;
mod from_rollouts;
mod generating;
mod golden;
mod handing_over;
mod imports;
mod judging;
mod messages;
mod peoples_files;
mod quickstart;
mod resume;
mod sampling;
mod schemas;
#[path = "../crates/teacher/tests/endpoint/server.rs"]
mod server;
mod training;
mod verify_command;
