//! The built `retort` binary, driven the way a person drives it.

mod architecture;
mod binary;
mod checkpoints;
mod composing;
mod damage;
mod exports;
mod filtering;
mod from_rollouts;
mod generating;
mod golden;
mod handing_over;
mod imports;
mod init;
mod journals;
mod judging;
mod keys;
mod manual_pages;
mod mending;
mod merge_command;
mod messages;
mod no_rows;
mod odd_input;
mod peoples_files;
mod quickstart;
mod random;
mod readme;
mod resume;
mod sampling;
mod schemas;
#[path = "../crates/teacher/tests/endpoint/server.rs"]
mod server;
mod terminal;
#[path = "../crates/local/tests/mutations/tiny_model.rs"]
mod tiny_model;
mod training;
mod verify_command;
