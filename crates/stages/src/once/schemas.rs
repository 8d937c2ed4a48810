//! The files under `schemas/`: pipeline files and tables, generated from the types.

use retort_pipeline::file::schema::{Schemas, generator};
use retort_pipeline::{Engine, PipelineError};
use retort_records::{
    Dropped, JudgementRow, LengthRow, MeasureRow, Pair, Prompt, ReferenceLogProbs, Rollout, Row, Selection, SftExample,
    Telemetry, VerdictRow,
};
use serde_json::Value;

/// A file under `schemas/`.
pub struct SchemaFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl SchemaFile {
    fn new(name: &str, schema: &Value) -> Result<Self, PipelineError> {
        let text = serde_json::to_string_pretty(schema).map_err(PipelineError::json("a schema"))?;
        Ok(Self { name: format!("{name}.schema.json"), text: text + "\n" })
    }
}

/// Every file under `schemas/`, the pipeline file's first.
pub fn schema_files(engine: &Engine) -> Result<Vec<SchemaFile>, PipelineError> {
    let mut files = vec![SchemaFile::new("pipeline", &Schemas::of(engine).pipeline)?];
    for (name, schema) in [
        table::<Prompt>()?,
        table::<Rollout>()?,
        table::<LengthRow>()?,
        table::<VerdictRow>()?,
        table::<JudgementRow>()?,
        table::<Selection>()?,
        table::<SftExample>()?,
        table::<Pair>()?,
        table::<ReferenceLogProbs>()?,
        table::<MeasureRow>()?,
        table::<Dropped>()?,
        table::<Telemetry>()?,
    ] {
        files.push(SchemaFile::new(name, &schema)?);
    }
    Ok(files)
}

/// A table's schema: the JSON Schema of one row, with each column's Arrow type beside its description.
fn table<T: Row>() -> Result<(&'static str, Value), PipelineError> {
    let mut schema = generator().into_root_schema_for::<T>().to_value();
    schema["title"] = T::TABLE.into();
    for column in retort_tables::columns::<T>()? {
        schema["properties"][&column.name]["arrow_type"] = column.data_type.into();
        schema["properties"][&column.name]["nullable"] = column.nullable.into();
    }
    Ok((T::TABLE, schema))
}
