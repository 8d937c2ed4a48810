//! `report`: one HTML file about the stages before it.

mod checkpoints;
mod dropped;
mod judge;
mod passages;
mod sections;

use crate::filter::Filter;
use crate::lengths::Lengths;
use retort_pipeline::{
    Context, Finished, Input, OutputKind, PipelineError, Source, StageKind, StageOutput, Surroundings, without_inputs,
};
use retort_report::{Page, render};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// Everything but reports, and the lengths that stand behind other sections.
const REPORTABLE: &[OutputKind] = &[
    OutputKind::Prompts,
    OutputKind::Rollouts,
    OutputKind::Verdicts,
    OutputKind::Selection,
    OutputKind::Sft,
    OutputKind::Pairs,
    OutputKind::Checkpoint,
    OutputKind::Measures,
    OutputKind::Export,
];

/// Name of the file.
const FILE: &str = "report.html";

impl StageKind for Report {
    const NAME: &'static str = "report";
    const VERSION: u32 = 2;
    const EXPLAIN: &'static str = include_str!("explain/report.md");
    type Facts = ();

    fn output(&self) -> OutputKind {
        OutputKind::Report
    }

    fn inputs<'a>(&'a self, around: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        if self.of.is_empty() {
            let reported = around.stages.iter().filter(|(_, stage)| REPORTABLE.contains(&stage.output()));
            // The name is part of the slot, and so of the key: the report shows it.
            let input = |(index, (name, _))| Input {
                pointer: format!("/of/{index}/{name}"),
                source: name,
                accepts: REPORTABLE,
            };
            return reported.enumerate().map(input).collect();
        }
        let sources = self.of.iter().enumerate();
        sources.map(|(index, source)| Input { pointer: format!("/of/{index}"), source, accepts: REPORTABLE }).collect()
    }

    fn needs(&self) -> &'static [&'static str] {
        &[Lengths::NAME]
    }

    /// The stages' names are shown.
    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        let mut settings = without_inputs(self, &StageKind::inputs(self, around))?;
        settings["of"] = self.of.iter().map(Source::as_str).collect();
        Ok(settings)
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        // A report follows the file, but what most readers came for stands first: how the checkpoints compare.
        let place = |slot: &str| slot.split('/').nth(1).and_then(|index| index.parse::<usize>().ok());
        let mut inputs: Vec<(&String, &Finished)> = context.inputs.iter().collect();
        inputs.sort_by_key(|(slot, _)| place(slot));
        let mut stages: Vec<&Finished> = inputs.into_iter().map(|(_, stage)| stage).collect();
        context.started(Self::NAME, Some(stages.len() as u64), "stages");
        let overview = sections::overview(&stages);
        stages.sort_by_key(|stage| stage.manifest.output != OutputKind::Measures);
        let mut sections = Vec::new();
        for (done, stage) in stages.iter().enumerate() {
            sections.extend(match stage.manifest.output {
                OutputKind::Rollouts => Some(sections::rollouts(context, stage)?),
                OutputKind::Verdicts => Some(sections::verdicts(context, stage)?),
                OutputKind::Selection => Some(sections::selection(stage)?),
                OutputKind::Sft => Some(sections::examples(stage)?),
                OutputKind::Pairs => Some(sections::pairs(stage)?),
                OutputKind::Checkpoint => checkpoints::training(stage),
                OutputKind::Measures => Some(checkpoints::measures(stage)?),
                _ => None,
            });
            sections.extend(judge::section(stage));
            if let Some(facts) = Filter::facts_of(stage) {
                sections.extend(dropped::section(stage, &facts)?);
            }
            context.advanced(done as u64 + 1, "")?;
        }
        let measured = stages.iter().filter(|stage| stage.manifest.output == OutputKind::Measures).count();
        sections.insert(measured, overview);
        let subtitle = format!("{} stages, written by Retort {}", stages.len(), env!("CARGO_PKG_VERSION"));
        let html = render(&Page { title: self.title.clone(), subtitle, sections });
        let file = context.out.write_file(FILE, html.as_bytes())?;
        let mut output = StageOutput::default();
        output.files.push(file);
        output.with_facts(&(), format!("{} stages on one page", stages.len()))
    }
}
