//! The JSON Schemas of pipeline files and tables, generated from the types.

use crate::file::PipelineFile;
#[cfg(test)]
use crate::stage::Stage;
use jsonschema::Validator;
use retort_records::{
    Dropped, JudgementRow, LengthRow, MeasureRow, Pair, Prompt, ReferenceLogProbs, Rollout, Row, Selection, SftExample,
    Telemetry, VerdictRow,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The schema of whole pipeline files, for editors and for `check`. Nothing is referenced: every definition stands
/// where it is used.
pub static PIPELINE: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = inline::<PipelineFile>();
    schema["title"] = "Retort pipeline".into();
    schema
});

/// The schema of one stage's settings.
pub fn of_stage(kind: &str) -> Option<&'static Value> {
    variants().find_map(|variant| variant["properties"].get(kind))
}

/// A validator for the settings of a stage kind.
pub(crate) fn stage_validator(kind: &str) -> Option<Validator> {
    jsonschema::validator_for(of_stage(kind)?).ok()
}

/// A validator for what surrounds the stages.
pub(crate) fn header_validator() -> Option<Validator> {
    let mut header = PIPELINE.clone();
    header["properties"]["stages"] = json!({ "type": "object", "minProperties": 1 });
    jsonschema::validator_for(&header).ok()
}

/// The schema of one verifier's settings.
pub(crate) fn of_verifier(name: &str) -> Option<Value> {
    let schema = inline::<retort_verify::VerifierSettings>();
    let mut forms = schema["anyOf"].as_array().into_iter().flatten();
    forms.find_map(|form| form["properties"].get(name)).cloned()
}

fn variants() -> impl Iterator<Item = &'static Value> {
    PIPELINE["properties"]["stages"]["additionalProperties"]["oneOf"].as_array().into_iter().flatten()
}

/// Every file under `schemas/`: its name and its text.
pub fn files() -> Vec<(String, String)> {
    let mut files = vec![("pipeline.schema.json".to_owned(), pretty(&PIPELINE))];
    for (name, schema) in [
        table::<Prompt>(),
        table::<Rollout>(),
        table::<LengthRow>(),
        table::<VerdictRow>(),
        table::<JudgementRow>(),
        table::<Selection>(),
        table::<SftExample>(),
        table::<Pair>(),
        table::<ReferenceLogProbs>(),
        table::<MeasureRow>(),
        table::<Dropped>(),
        table::<Telemetry>(),
    ] {
        files.push((format!("{name}.schema.json"), pretty(&schema)));
    }
    files
}

/// A table's schema: the JSON Schema of one row, with each column's Arrow type beside its description.
fn table<T: Row>() -> (&'static str, Value) {
    let mut schema = inline::<T>();
    schema["title"] = T::TABLE.into();
    for column in retort_tables::columns::<T>().unwrap_or_default() {
        schema["properties"][&column.name]["arrow_type"] = column.data_type.into();
        schema["properties"][&column.name]["nullable"] = column.nullable.into();
    }
    (T::TABLE, schema)
}

fn inline<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    generator.into_root_schema_for::<T>().to_value()
}

fn pretty(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Whether the schema knows exactly the kinds that [`Stage`] has; held by a test.
#[cfg(test)]
fn kinds() -> Vec<String> {
    variants()
        .filter_map(|variant| {
            variant["properties"].as_object().and_then(|properties| properties.keys().next().cloned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_kind_has_a_schema() {
        assert_eq!(kinds(), Stage::KINDS);
        for kind in Stage::KINDS {
            assert!(stage_validator(kind).is_some(), "{kind}");
        }
        assert!(header_validator().is_some());
    }
}
