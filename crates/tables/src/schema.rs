//! The Arrow schema of a table, derived from its row struct: text is LargeUtf8, lists are LargeList, closed sets of
//! words are LargeUtf8 too, so that every reader of Parquet sees plain columns.

use crate::TableError;
use arrow::datatypes::{DataType, Field, FieldRef};
use retort_records::Row;
use serde::de::DeserializeOwned;
use serde_arrow::schema::{SchemaLike, TracingOptions};
use std::sync::Arc;

/// A column of a table, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name of the column.
    pub name: String,
    /// Its Arrow type.
    pub data_type: String,
    /// Whether it may be null.
    pub nullable: bool,
}

/// The columns of table `T`.
pub fn columns<T: Row>() -> Result<Vec<Column>, TableError> {
    Ok(fields::<T>(T::TABLE)?
        .iter()
        .map(|field| Column {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
            nullable: field.is_nullable(),
        })
        .collect())
}

/// The columns that a struct of rows of `table` names.
pub(crate) fn fields<T: DeserializeOwned>(table: &'static str) -> Result<Vec<FieldRef>, TableError> {
    let options = TracingOptions::default().enums_without_data_as_strings(true);
    let traced = Vec::<FieldRef>::from_type::<T>(options)
        .map_err(|error| TableError::Encode { table, reason: error.to_string() })?;
    Ok(traced.iter().map(|field| Arc::new(plain(field))).collect())
}

/// The field without dictionaries and without the tracer's own notes.
fn plain(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Dictionary(_, _) => DataType::LargeUtf8,
        DataType::LargeList(item) => DataType::LargeList(Arc::new(plain(item))),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| Arc::new(plain(field))).collect()),
        other => other.clone(),
    };
    Field::new(field.name(), data_type, field.is_nullable())
}
