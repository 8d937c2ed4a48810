//! What can be typed.

use crate::pipeline_flags::{OutFlag, PipelineFlags};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// Turns a reasoning teacher into short, strong students.
#[derive(Debug, Parser)]
#[command(
    name = "retort",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "\
Examples:
  retort init
  retort run pipelines/quickstart.yaml
  retort generate --checkpoint runs/quickstart/short/checkpoint --prompt '17+6-19='
  retort show runs/quickstart/measures
  retort check pipelines/long2short/from-rollouts.yaml
  retort explain shortest-correct

Exit codes: 0 done; 1 done and the answer is no; 2 could not do it; 130 interrupted."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a pipeline file to begin with, and what it needs to run.
    Init(crate::init_command::InitArguments),
    /// Check a pipeline file and report all its problems.
    Check(CheckArguments),
    /// Say what a run would do, and why.
    Plan(PlanArguments),
    /// Run a pipeline, going on where it stopped.
    Run(RunArguments),
    /// Judge the rows of a JSONL file, or one prediction, with one verifier.
    Verify(crate::verify_command::VerifyArguments),
    /// Complete a prompt, or the prompts of a JSONL file, with a checkpoint.
    Generate(crate::generate_command::GenerateArguments),
    /// Score the tokens of a JSONL file's rows with a checkpoint.
    Logprobs(crate::checkpoint_commands::LogprobsArguments),
    /// Measure how fast a checkpoint trains or generates here.
    Bench(crate::checkpoint_commands::BenchArguments),
    /// Merge checkpoints by a file of mergekit's.
    Merge(crate::merge_command::MergeArguments),
    /// Show which tokens a train stage trains.
    Inspect(crate::inspect_command::InspectArguments),
    /// Print a table or the record of a finished stage.
    Show(ShowArguments),
    /// Print the JSON Schema of pipeline files, or write all schemas to a folder.
    Schema(SchemaArguments),
    /// Explain a stage kind, verifier, selection rule or filter.
    Explain(ExplainArguments),
    /// Remove outputs that no run points to.
    Gc(GcArguments),
    /// Hash every stored file again and compare it with what was written.
    VerifyData(VerifyDataArguments),
    /// Print a completion script for a shell.
    #[command(after_help = "\
Examples:
  retort completions bash > ~/.local/share/bash-completion/completions/retort
  retort completions zsh > ~/.zfunc/_retort
  retort completions fish > ~/.config/fish/completions/retort.fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands to a folder.
    Man(ManArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  retort check pipeline.yaml\n  retort check pipeline.yaml --set rollouts.sampling.n=4"
)]
pub struct CheckArguments {
    #[command(flatten)]
    pub pipeline: PipelineFlags,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  retort plan pipeline.yaml\n  retort plan pipeline.yaml --set short.rule=random-correct"
)]
pub struct PlanArguments {
    #[command(flatten)]
    pub pipeline: PipelineFlags,
    #[command(flatten)]
    pub out: OutFlag,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  retort run pipeline.yaml
  retort run pipeline.yaml --only verdicts
  retort run pipeline.yaml --set rollouts.sampling.n=4 --out /data/experiments --allow-path

A run that is stopped or killed goes on where it was when it is started again; the result is the same to the byte.
Finished stages whose files were edited or deleted are named and made again; what was there is kept beside them until
`retort gc`.")]
pub struct RunArguments {
    #[command(flatten)]
    pub pipeline: PipelineFlags,
    #[command(flatten)]
    pub out: OutFlag,
    /// Run only this stage and what it needs.
    #[arg(long, value_name = "STAGE")]
    pub only: Option<String>,
    /// Move damaged lines of unfinished stages' journals out of the way and go on with those that are whole.
    #[arg(long)]
    pub mend: bool,
    /// Print nothing but errors.
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
    /// Report progress as JSON lines on standard error.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  retort show runs/from-rollouts/verdicts --limit 5\n  retort show runs/from-rollouts/short --join\n  retort show runs/from-rollouts/short --table dropped --json"
)]
pub struct ShowArguments {
    /// The folder of a finished stage, of one of its tables, or of a run.
    pub folder: PathBuf,
    /// Which of the stage's tables.
    #[arg(long)]
    pub table: Option<String>,
    /// At most this many rows.
    #[arg(long, default_value_t = 10)]
    pub limit: usize,
    /// Add the prompt, completion, lengths and verdict that each row stands for.
    #[arg(long)]
    pub join: bool,
    /// Print JSON lines with whole texts.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Write every schema file into this folder instead of printing the pipeline's.
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  retort explain select\n  retort explain math\n  retort explain   (lists all names)"
)]
pub struct ExplainArguments {
    /// A stage kind, verifier, rule or filter; without one, all names are listed.
    pub name: Option<String>,
}

impl Command {
    /// Whether a program reads what the command says.
    pub fn json(&self) -> bool {
        match self {
            Self::Run(run) => run.json,
            Self::Show(show) => show.json,
            Self::Inspect(inspect) => inspect.json,
            Self::Generate(generate) => generate.json,
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub struct GcArguments {
    #[command(flatten)]
    pub out: OutFlag,
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Also remove the finished samples of stages that never finished.
    #[arg(long)]
    pub unfinished: bool,
}

#[derive(Debug, Args)]
pub struct VerifyDataArguments {
    #[command(flatten)]
    pub out: OutFlag,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  retort man | man -l -\n  retort man --write ~/.local/share/man/man1")]
pub struct ManArguments {
    /// Write a page for every command into this folder instead of printing the first.
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}
