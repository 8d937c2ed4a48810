//! The JSON Schema of pipeline files, put together from those of the stage kinds.

use super::read::PipelineFile;
use crate::engine::Engine;
use jsonschema::Validator;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The schema of whole pipeline files, for editors and for `check`. Nothing is referenced: every definition stands where
/// it is used.
#[derive(Debug)]
pub struct Schemas {
    /// The whole.
    pub pipeline: Value,
}

impl Schemas {
    /// The schema of files with the kinds of `engine`.
    pub fn of(engine: &Engine) -> Self {
        let mut pipeline = generator().into_root_schema_for::<PipelineFile>().to_value();
        pipeline["title"] = "Retort pipeline".into();
        let mut generator = generator();
        let variants = engine.kinds.iter().map(|kind| {
            let settings = (kind.schema)(&mut generator).to_value();
            let mut variant = json!({
                "type": "object",
                "properties": { kind.name: settings },
                "required": [kind.name],
                "additionalProperties": false,
            });
            if let Some(about) = variant["properties"][kind.name].get("description").cloned() {
                variant["description"] = about;
            }
            variant
        });
        pipeline["properties"]["stages"]["additionalProperties"] = json!({ "description": "One stage of a pipeline file, tagged by its kind.", "oneOf": variants.collect::<Vec<_>>() });
        Self { pipeline }
    }

    /// The schema of one kind's settings.
    pub fn of_stage(&self, kind: &str) -> Option<&Value> {
        let variants = self.pipeline["properties"]["stages"]["additionalProperties"]["oneOf"].as_array();
        variants.into_iter().flatten().find_map(|variant| variant["properties"].get(kind))
    }

    /// A validator for the settings of a stage kind.
    pub(crate) fn stage_validator(&self, kind: &str) -> Option<Validator> {
        jsonschema::validator_for(self.of_stage(kind)?).ok()
    }

    /// A validator for what surrounds the stages.
    pub(crate) fn header_validator(&self) -> Option<Validator> {
        let mut header = self.pipeline.clone();
        header["properties"]["stages"] = json!({ "type": "object", "minProperties": 1 });
        jsonschema::validator_for(&header).ok()
    }
}

/// A generator of schemas in which every definition stands where it is used.
pub fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator()
}
