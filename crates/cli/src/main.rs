//! The `retort` binary: arguments in; text, progress and exit codes out.
//!
//! This crate knows nothing about how anything is done: it hands paths and settings to the other crates and shows what comes
//! back. Exit codes: 0 done; 1 done and the answer is no; 2 could not do it; 130 interrupted.

mod arguments;
mod checkpoint_commands;
mod colour;
mod commands;
mod device_flag;
mod failure;
mod generate_command;
mod init_command;
mod inspect_command;
mod merge_command;
mod pace;
mod pipeline_flags;
mod progress;
mod screen;
mod secrets;
mod verify_command;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.command.json();
    let result = match arguments.command {
        Command::Init(init) => init_command::init(&init),
        Command::Check(check) => commands::check(&check),
        Command::Plan(plan) => commands::plan(&plan),
        Command::Run(run) => commands::run(&run),
        Command::Verify(verify) => verify_command::verify(&verify),
        Command::Generate(generate) => generate_command::generate(&generate),
        Command::Logprobs(logprobs) => checkpoint_commands::logprobs(&logprobs),
        Command::Bench(bench) => checkpoint_commands::bench(&bench),
        Command::Merge(merge) => merge_command::merge(&merge),
        Command::Inspect(inspect) => inspect_command::inspect(&inspect),
        Command::Show(show) => commands::show(&show),
        Command::Schema(schema) => commands::schema(&schema),
        Command::Explain(explain) => commands::explain(&explain),
        Command::Gc(gc) => commands::gc(&gc),
        Command::VerifyData(verify) => commands::verify_data(&verify),
        Command::Completions { shell } => commands::completions(shell),
        Command::Man(man) => commands::man(&man),
    };
    result.unwrap_or_else(|error| screen::failed(&error, json))
}
