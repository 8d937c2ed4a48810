//! The files under `schemas/`: pipeline files and tables, generated from the types.

use retort_pipeline::Engine;
use retort_pipeline::file::schema::{Schemas, generator};
use retort_records::{
    Dropped, JudgementRow, LengthRow, MeasureRow, Pair, Prompt, ReferenceLogProbs, Rollout, Row, Selection, SftExample,
    Telemetry, VerdictRow,
};
use serde_json::Value;

/// Every file under `schemas/`: its name and its text.
pub fn schema_files(engine: &Engine) -> Vec<(String, String)> {
    let mut files = vec![("pipeline.schema.json".to_owned(), pretty(&Schemas::of(engine).pipeline))];
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
    let mut schema = generator().into_root_schema_for::<T>().to_value();
    schema["title"] = T::TABLE.into();
    for column in retort_tables::columns::<T>().unwrap_or_default() {
        schema["properties"][&column.name]["arrow_type"] = column.data_type.into();
        schema["properties"][&column.name]["nullable"] = column.nullable.into();
    }
    (T::TABLE, schema)
}

fn pretty(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}
