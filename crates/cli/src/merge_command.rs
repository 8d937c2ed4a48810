//! `merge`: one checkpoint from several, by a file of mergekit's.

use crate::screen::{CommandResult, duration, line, note};
use clap::Args;
use retort_stages::{OpenedMerge, TensorDistances};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Debug, Args)]
#[command(after_help = "\
The file is one of mergekit's, read as it is: `merge_method`, `models` or `slices`, `base_model`, `parameters` with
gradients and filters, `dtype`, `tokenizer_source`. Models are folders, from here or from where the file lies.
`retort explain merge` tells the methods and what each reads.

Examples:
  retort merge ties.yaml merged
  retort merge ties.yaml merged --dry-run")]
pub struct MergeArguments {
    /// The merge file.
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// The folder to make, which must not exist yet.
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// Merge nothing: say how far each tensor is from the base model, and how alike the models' changes are.
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run, print JSON lines with `tensor`, `elements`, `norms` and `cosines`.
    #[arg(long, requires = "dry_run")]
    pub json: bool,
    /// What the methods that drop changes at random draw from.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// `merge`.
pub fn merge(arguments: &MergeArguments) -> CommandResult {
    let started = Instant::now();
    let opened = OpenedMerge::open(&arguments.config)?;
    if arguments.dry_run {
        let tensors = opened.distances()?;
        if arguments.json {
            tensors.iter().try_for_each(|tensor| line(&as_json(tensor)))?;
        } else {
            as_table(&tensors).iter().try_for_each(|row| line(row))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let merged = opened.merge(arguments.seed, &arguments.out)?;
    merged.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    let (parameters, out) = (merged.parameters, arguments.out.display());
    note(&format!("{parameters} parameters merged into `{out}` [{}]", duration(started.elapsed())));
    Ok(ExitCode::SUCCESS)
}

fn as_json(tensor: &TensorDistances) -> String {
    let TensorDistances { name, elements, norms, cosines } = tensor;
    json!({ "tensor": name, "elements": elements, "norms": norms, "cosines": cosines }).to_string()
}

/// Aligned columns under a heading.
fn as_table(tensors: &[TensorDistances]) -> Vec<String> {
    let width = tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0).max("tensor".len());
    let mut rows =
        vec![format!("{:<width$}  {:>11}  norms of the changes; cosines between them", "tensor", "elements")];
    rows.extend(tensors.iter().map(|tensor| {
        let norms: Vec<String> = tensor.norms.iter().map(|norm| format!("{norm:.4}")).collect();
        let cosines: Vec<String> = tensor
            .cosines
            .iter()
            .map(|cosine| cosine.map_or("–".to_owned(), |cosine| format!("{cosine:.4}")))
            .collect();
        let (norms, cosines) = (norms.join("  "), cosines.join("  "));
        format!("{:<width$}  {:>11}  {norms}; {cosines}", tensor.name, tensor.elements)
    }));
    rows
}
