//! Arrow values as JSON.

use crate::digest::hex;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, GenericListArray, GenericListViewArray, OffsetSizeTrait, make_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, DataType, Field, Fields, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The extension type, key and name, of columns whose 16 bytes are a UUID.
pub(super) const UUID: (&str, &str) = ("ARROW:extension:name", "arrow.uuid");

/// The value in one row, or why JSON cannot hold it.
pub(super) type Cell = Box<dyn Fn(usize) -> Result<Value, String>>;

/// Readies an array of any type; an error names a type of which no value can be shown.
pub(super) fn cells(field: &Field, array: &ArrayRef) -> Result<Cell, String> {
    let cell = present(field, array)?;
    let array = Arc::clone(array);
    Ok(Box::new(move |row| if array.is_null(row) { Ok(Value::Null) } else { cell(row) }))
}

/// The same for rows that are not null.
fn present(field: &Field, array: &ArrayRef) -> Result<Cell, String> {
    let uuid = field.metadata().get(UUID.0).is_some_and(|name| name == UUID.1);
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_| Ok(Value::Null)),
        DataType::Boolean => {
            let array = array.as_boolean().clone();
            Box::new(move |row| Ok(array.value(row).into()))
        }
        DataType::Int8 => whole::<Int8Type>(array),
        DataType::Int16 => whole::<Int16Type>(array),
        DataType::Int32 => whole::<Int32Type>(array),
        DataType::Int64 => whole::<Int64Type>(array),
        DataType::UInt8 => whole::<UInt8Type>(array),
        DataType::UInt16 => whole::<UInt16Type>(array),
        DataType::UInt32 => whole::<UInt32Type>(array),
        DataType::UInt64 => whole::<UInt64Type>(array),
        DataType::Float16 => float::<Float16Type>(array, |value| shortest(value.to_f32())),
        DataType::Float32 => float::<Float32Type>(array, shortest),
        DataType::Float64 => float::<Float64Type>(array, |value| value),
        DataType::Utf8 => {
            let array = array.as_string::<i32>().clone();
            Box::new(move |row| Ok(array.value(row).into()))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>().clone();
            Box::new(move |row| Ok(array.value(row).into()))
        }
        DataType::Utf8View => {
            let array = array.as_string_view().clone();
            Box::new(move |row| Ok(array.value(row).into()))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>().clone();
            Box::new(move |row| text(array.value(row)))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>().clone();
            Box::new(move |row| text(array.value(row)))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view().clone();
            Box::new(move |row| text(array.value(row)))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary().clone();
            Box::new(move |row| if uuid { Ok(hyphenated(array.value(row)).into()) } else { text(array.value(row)) })
        }
        DataType::List(item) => list::<i32>(item, array.as_list())?,
        DataType::LargeList(item) => list::<i64>(item, array.as_list())?,
        DataType::ListView(item) => list_view::<i32>(item, array.as_list_view())?,
        DataType::LargeListView(item) => list_view::<i64>(item, array.as_list_view())?,
        DataType::FixedSizeList(item, length) => {
            let (array, length) = (array.as_fixed_size_list().clone(), *length as usize);
            let items = cells(item, array.values())?;
            Box::new(move |row| {
                let first = array.value_offset(row) as usize;
                (first..first + length).map(&items).collect()
            })
        }
        DataType::Struct(fields) => structure(fields, array.as_struct().columns())?,
        DataType::Map(_, _) => map(array)?,
        DataType::Dictionary(_, values) => flat(field, values, array)?,
        DataType::RunEndEncoded(_, values) => flat(field, values.data_type(), array)?,
        DataType::Union(fields, _) => {
            let (array, fields) = (array.as_union().clone(), fields.clone());
            Box::new(move |row| {
                let kind = array.type_id(row);
                let Some((_, field)) = fields.iter().find(|(id, _)| *id == kind) else { return Ok(Value::Null) };
                cells(field, &array.value(row))?(0)
            })
        }
        DataType::Timestamp(unit, Some(_)) => {
            // The instant is kept in UTC whatever the zone is called.
            let plain = DataType::Timestamp(*unit, None);
            let plain = array.to_data().into_builder().data_type(plain).build().map_err(|error| error.to_string())?;
            let shown = formatted(make_array(plain));
            Box::new(move |row| shown(row).map(|text| format!("{text}Z").into()))
        }
        DataType::Date64 => {
            let shown = formatted(Arc::clone(array));
            // Milliseconds by their type, whole days by their meaning.
            Box::new(move |row| shown(row).map(|text| text.strip_suffix("T00:00:00").unwrap_or(&text).into()))
        }
        DataType::Timestamp(_, None)
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => {
            let shown = formatted(Arc::clone(array));
            Box::new(move |row| shown(row).map(Value::from))
        }
    })
}

/// Arrays that hold each value once, as plain ones of type `values`.
fn flat(field: &Field, values: &DataType, array: &ArrayRef) -> Result<Cell, String> {
    let plain = Field::new(field.name(), values.clone(), true).with_metadata(field.metadata().clone());
    cells(&plain, &cast(array, values).map_err(|error| error.to_string())?)
}

fn whole<T: ArrowPrimitiveType>(array: &ArrayRef) -> Cell
where
    T::Native: Into<Number>,
{
    let array = array.as_primitive::<T>().clone();
    Box::new(move |row| Ok(Value::Number(array.value(row).into())))
}

/// Not-a-number is what many writers put for a missing value; the infinite are named as Python names them.
fn float<T: ArrowPrimitiveType>(array: &ArrayRef, widen: fn(T::Native) -> f64) -> Cell {
    let array = array.as_primitive::<T>().clone();
    Box::new(move |row| {
        let value = widen(array.value(row));
        Ok(if value.is_infinite() { if value > 0.0 { "Infinity" } else { "-Infinity" }.into() } else { value.into() })
    })
}

/// The shortest decimal that is this number, so that 0.1 stays 0.1.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn text(bytes: &[u8]) -> Result<Value, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(format!("{} bytes that are not UTF-8 text", bytes.len())),
    }
}

fn hyphenated(bytes: &[u8]) -> String {
    let digits = hex(bytes);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default());
    parts.join("-")
}

fn list<O: OffsetSizeTrait>(item: &Field, array: &GenericListArray<O>) -> Result<Cell, String> {
    let (items, offsets) = (cells(item, array.values())?, array.offsets().clone());
    Ok(Box::new(move |row| (offsets[row].as_usize()..offsets[row + 1].as_usize()).map(&items).collect()))
}

fn list_view<O: OffsetSizeTrait>(item: &Field, array: &GenericListViewArray<O>) -> Result<Cell, String> {
    let (items, array) = (cells(item, array.values())?, array.clone());
    Ok(Box::new(move |row| {
        let first = array.value_offset(row).as_usize();
        (first..first + array.value_size(row).as_usize()).map(&items).collect()
    }))
}

fn structure(fields: &Fields, columns: &[ArrayRef]) -> Result<Cell, String> {
    let names = distinct(fields.iter().map(|field| field.name().as_str()));
    let cells = fields.iter().zip(columns).map(|(field, array)| cells(field, array)).collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<(String, Cell)> = names.into_iter().zip(cells).collect();
    Ok(Box::new(move |row| {
        let shown = |(name, cell): &(String, Cell)| {
            let value = cell(row).map_err(|reason| format!("`{name}`: {reason}"))?;
            Ok((name.clone(), value))
        };
        columns.iter().map(shown).collect::<Result<Map<_, _>, String>>().map(Value::Object)
    }))
}

/// An object with the keys as text.
fn map(array: &ArrayRef) -> Result<Cell, String> {
    let array = array.as_map().clone();
    let entries = array.entries();
    let (keys, values) =
        (cells(&entries.fields()[0], entries.column(0))?, cells(&entries.fields()[1], entries.column(1))?);
    let offsets = array.offsets().clone();
    Ok(Box::new(move |row| {
        let mut object = Map::new();
        for entry in offsets[row].as_usize()..offsets[row + 1].as_usize() {
            let key = match keys(entry)? {
                Value::String(key) => key,
                other => other.to_string(),
            };
            if object.contains_key(&key) {
                return Err(format!("the map has the key `{key}` twice"));
            }
            object.insert(key, values(entry)?);
        }
        Ok(Value::Object(object))
    }))
}

/// Dates, times and decimals as Arrow writes them: ISO 8601, and all digits.
fn formatted(array: ArrayRef) -> impl Fn(usize) -> Result<String, String> {
    move |row| {
        let options = FormatOptions::new().with_display_error(false);
        let shown =
            ArrayFormatter::try_new(array.as_ref(), &options).and_then(|shown| shown.value(row).try_to_string());
        shown.map_err(|error| error.to_string())
    }
}

/// The names, of which the second and further of one kind get `.1`, `.2`, … as pandas does.
pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let mut taken: BTreeSet<String> = names.clone().map(str::to_owned).collect();
    let mut given = BTreeSet::new();
    let number = |name: &str| {
        if given.insert(name.to_owned()) {
            return name.to_owned();
        }
        let numbered = (1..=taken.len()).map(|number| format!("{name}.{number}")).find(|name| !taken.contains(name));
        let numbered = numbered.unwrap_or_default();
        taken.insert(numbered.clone());
        numbered
    };
    names.map(number).collect()
}
