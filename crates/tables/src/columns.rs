//! Which columns of a table a struct names, and where they stand in a file.

use crate::TableError;
use crate::schema::fields;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use retort_records::Row;
use serde::de::DeserializeOwned;

/// Columns of a table that are read together: a whole row, or a narrow one that names the few its reader needs. Only the
/// columns named are decoded, also inside of structs and lists of structs.
///
/// ```
/// use retort_records::Rollout;
/// use retort_tables::{Columns, TableError, check_columns, scan};
///
/// #[derive(serde::Deserialize)]
/// struct Said {
///     prompt_id: String,
///     teacher: String,
/// }
/// impl Columns for Said {
///     type Table = Rollout;
/// }
///
/// fn teachers(folder: &std::path::Path) -> Result<Vec<String>, TableError> {
///     scan::<Said>(folder)?.map(|row| Ok(row?.teacher)).collect()
/// }
/// # check_columns::<Said>().unwrap();
/// ```
pub trait Columns: DeserializeOwned + Send + Sync + 'static {
    /// The whole row of the table.
    type Table: Row;
}

impl<T: Row> Columns for T {
    type Table = T;
}

/// Whether all columns that `T` names stand in its table's row with the same types: every scan of `T` asks this first.
pub fn check_columns<T: Columns>() -> Result<(), TableError> {
    named::<T>().map(drop)
}

/// The columns that `T` names, as [`check_columns`] checks them.
pub(crate) fn named<T: Columns>() -> Result<Fields, TableError> {
    let table = T::Table::TABLE;
    let wanted: Fields = fields::<T>(table)?.into();
    let whole: Fields = fields::<T::Table>(table)?.into();
    let search = Search { nulls_allowed: false, sparse: &[] };
    search.leaves(&whole, &wanted).map_err(|reason| TableError::Narrow {
        table,
        narrow: std::any::type_name::<T>(),
        reason,
    })?;
    Ok(wanted)
}

/// Where the columns `wanted` stand among the Parquet leaves of `found`, or which is missing or of another type. Whether a
/// column may be null is not compared: writers elsewhere often allow it and use it nowhere. Of the columns `sparse` none need
/// be there.
pub(crate) fn leaves(found: &Fields, wanted: &Fields, sparse: &'static [&'static str]) -> Result<Vec<usize>, String> {
    Search { nulls_allowed: true, sparse }.leaves(found, wanted)
}

struct Search {
    /// Whether a column that may be null is found for one that may not.
    nulls_allowed: bool,
    /// Columns of the table that may be missing.
    sparse: &'static [&'static str],
}

impl Search {
    fn leaves(&self, found: &Fields, wanted: &Fields) -> Result<Vec<usize>, String> {
        let mut chosen = Vec::new();
        self.fields(found, wanted, 0, "", &mut chosen)?;
        Ok(chosen)
    }

    /// `first` is the index of the first leaf of `found`, `parent` the path of the struct they stand in.
    fn fields(
        &self,
        found: &Fields,
        wanted: &Fields,
        first: usize,
        parent: &str,
        chosen: &mut Vec<usize>,
    ) -> Result<(), String> {
        for field in wanted {
            let path = format!("{parent}{}", field.name());
            if found.find(field.name()).is_none() && self.sparse.contains(&path.as_str()) {
                continue;
            }
            let (index, column) = found.find(field.name()).ok_or_else(|| format!("column `{path}` is missing"))?;
            let before: usize = found[..index].iter().map(leaf_count).sum();
            self.field(column, field, first + before, &path, chosen)?;
        }
        Ok(())
    }

    fn field(
        &self,
        found: &FieldRef,
        wanted: &Field,
        first: usize,
        path: &str,
        chosen: &mut Vec<usize>,
    ) -> Result<(), String> {
        if found.is_nullable() && !wanted.is_nullable() && !self.nulls_allowed {
            return Err(format!("column `{path}` may be null"));
        }
        match (found.data_type(), wanted.data_type()) {
            (DataType::Struct(found), DataType::Struct(wanted)) => {
                self.fields(found, wanted, first, &format!("{path}."), chosen)
            }
            (DataType::LargeList(found), DataType::LargeList(wanted)) => self.field(found, wanted, first, path, chosen),
            (have, want) if have == want => {
                chosen.extend(first..first + leaf_count(found));
                Ok(())
            }
            (have, want) => Err(format!("column `{path}` is {have}, expected {want}")),
        }
    }
}

/// How many Parquet columns a field takes: one for each value that is no struct, list or map itself.
pub(crate) fn leaf_count(field: &FieldRef) -> usize {
    match field.data_type() {
        DataType::Struct(fields) => fields.iter().map(leaf_count).sum(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => leaf_count(item),
        _ => 1,
    }
}
