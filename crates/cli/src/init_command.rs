//! `init`: writes a pipeline file to begin with, and says what to fill in.

use crate::screen::{CommandResult, bytes, line};
use clap::Args;
use retort_stages::{Recipe, engine, recipe_list};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(after_help = format!("\
Recipes:
{}

Each passes `retort check` as it is written: the files it reads are written with it. Comments say what to change.

Examples:
  retort init
  retort init from-rollouts my-project
  retort init --list", recipe_list()))]
pub struct InitArguments {
    /// Which pipeline to begin with.
    #[arg(default_value = "quickstart")]
    pub recipe: String,
    /// The folder to write into; it is made where there is none.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// List the recipes and write nothing.
    #[arg(long)]
    pub list: bool,
    /// Overwrite files that are there with other content.
    #[arg(long)]
    pub force: bool,
}

/// `init`.
pub fn init(arguments: &InitArguments) -> CommandResult {
    if arguments.list {
        line(&recipe_list())?;
        return Ok(ExitCode::SUCCESS);
    }
    let recipe = Recipe::named(&arguments.recipe)?;
    let begun = recipe.write(&arguments.dir, &engine(), arguments.force)?;
    let (dir, pipeline) = (&arguments.dir, begun.pipeline);
    let whole = dir.join(pipeline);
    let whole = whole.strip_prefix(".").unwrap_or(&whole).display();
    line(&match begun.written {
        0 => format!("{whole} is there already, and all that it reads"),
        count => format!("wrote {whole} and what it reads: {count} files, {}", bytes(begun.bytes)),
    })?;
    line("")?;
    for filled in recipe.to_fill_in() {
        line(&filled)?;
    }
    line("\nNext:")?;
    if dir != Path::new(".") {
        line(&format!("  cd {}", dir.display()))?;
    }
    line(&format!("  retort check {pipeline}\n  retort run {pipeline}"))?;
    Ok(ExitCode::SUCCESS)
}
