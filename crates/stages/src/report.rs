//! `report`: one HTML file about the stages before it.

mod checkpoints;
mod dropped;
mod judge;
mod sections;

use super::{Context, Made};
use crate::error::PipelineError;
use crate::inputs::Finished;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_records::{JudgementRow, Row};
use retort_report::{Page, render};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes an HTML report about stages.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The stages to report on. By default all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<Source>,
    /// The title.
    #[serde(default = "default_title")]
    pub title: String,
}

fn default_title() -> String {
    "Retort run".into()
}

/// Everything but reports.
const REPORTABLE: &[Kind] = &[
    Kind::Prompts,
    Kind::Rollouts,
    Kind::Verdicts,
    Kind::Selection,
    Kind::Sft,
    Kind::Pairs,
    Kind::Checkpoint,
    Kind::Measures,
    Kind::Export,
];

/// Name of the file.
pub const FILE: &str = "report.html";

impl Report {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        let sources = self.of.iter().enumerate();
        sources.map(|(index, source)| Input { pointer: format!("/of/{index}"), source, accepts: REPORTABLE }).collect()
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        // A report follows the file, but what most readers came for stands first: how the checkpoints compare.
        let place = |reads: &str| reads.split('/').nth(1).and_then(|index| index.parse::<usize>().ok());
        let mut inputs: Vec<(&String, &Finished)> = context.inputs.iter().collect();
        inputs.sort_by_key(|(reads, _)| place(reads));
        let mut stages: Vec<&Finished> = inputs.into_iter().map(|(_, stage)| stage).collect();
        context.started("report", Some(stages.len() as u64), "stages");
        let overview = sections::overview(&stages);
        stages.sort_by_key(|stage| stage.manifest.output != Kind::Measures);
        let mut sections = Vec::new();
        for (done, stage) in stages.iter().enumerate() {
            sections.extend(match stage.manifest.output {
                Kind::Rollouts => Some(sections::rollouts(context, stage)?),
                Kind::Verdicts => Some(sections::verdicts(context, stage)?),
                Kind::Selection => Some(sections::selection(stage)?),
                Kind::Sft => Some(sections::examples(stage)?),
                Kind::Pairs => Some(sections::pairs(stage)?),
                Kind::Checkpoint => checkpoints::training(stage),
                Kind::Measures => Some(checkpoints::measures(stage)?),
                _ => None,
            });
            if stage.manifest.tables.contains_key(JudgementRow::TABLE) {
                sections.push(judge::section(stage));
            }
            if stage.manifest.key.kind == "filter" {
                sections.extend(dropped::section(stage)?);
            }
            context.advanced(done as u64 + 1, "")?;
        }
        let measured = stages.iter().filter(|stage| stage.manifest.output == Kind::Measures).count();
        sections.insert(measured, overview);
        let subtitle = format!("{} stages, written by Retort {}", stages.len(), env!("CARGO_PKG_VERSION"));
        let html = render(&Page { title: self.title.clone(), subtitle, sections });
        let file = context.out.write_file(FILE, html.as_bytes())?;
        Ok(Made { summary: format!("{} stages on one page", stages.len()), files: vec![file], ..Made::default() })
    }
}
