//! Files that others wrote: `fixtures/make.py` made them and holds the rows.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use retort_tables::{ForeignRow, ForeignTable, TableError, scan_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn open(name: &str) -> Result<ForeignTable, TableError> {
    ForeignTable::open(&fixture(name))
}

fn read(name: &str) -> Vec<ForeignRow> {
    open(name).unwrap().rows().collect::<Result<_, _>>().unwrap()
}

const COLUMNS: [&str; 6] = ["prompt", "answer", "score", "ok", "teacher", "messages"];

/// The rows that every writer wrote.
fn expected() -> Vec<Value> {
    vec![
        json!({"prompt": "What is 1+1?", "answer": 2, "score": 0.5, "ok": true, "teacher": "a",
               "messages": [{"role": "user", "content": "ü"}]}),
        json!({"prompt": "Line\nbreak 数学", "answer": null, "score": null, "ok": false, "teacher": "b", "messages": []}),
        json!({"prompt": "", "answer": -9007199254740993_i64, "score": 1e300, "ok": null, "teacher": "a",
               "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}),
    ]
}

#[test]
fn every_writers_rows_are_equal() {
    for name in [
        "pyarrow-none.parquet",
        "pyarrow-snappy.parquet",
        "pyarrow-gzip.parquet",
        "pyarrow-brotli.parquet",
        "pyarrow-lz4.parquet",
        "pyarrow-zstd.parquet",
        "pyarrow-v2-pages.parquet",
        "pandas.parquet",
        "pandas.feather",
        "polars.parquet",
        "polars.arrow",
        "duckdb.parquet",
        "datasets.parquet",
        "saved",
        "saved/data-00000-of-00002.arrow",
    ] {
        let rows = read(name);
        assert!(rows.iter().all(|row| row.unreadable.is_empty()), "{name}");
        let values: Vec<Value> = rows.into_iter().map(|row| row.value).collect();
        let count = if name.ends_with("00002.arrow") { 2 } else { 3 };
        assert_eq!(values, expected()[..count], "{name}");
        let columns: Vec<String> = open(name).unwrap().columns().iter().map(|column| column.name.clone()).collect();
        assert_eq!(columns, COLUMNS, "{name}");
        let values: Vec<Value> = scan_json(&fixture(name)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(values, expected()[..count], "{name}");
    }
}

#[test]
fn sparks_timestamps_stand_beside() {
    let rows: Vec<ForeignRow> = open("spark.parquet").unwrap().rows_of(&COLUMNS).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.into_iter().map(|row| row.value).collect::<Vec<_>>(), expected());
    assert!(read("spark.parquet").iter().all(|row| row.value["at"] == "2024-02-29T12:30:15.250"));
}

/// The value of each column of `types.*`; the second row is null in all. `None`: JSON has no form for it.
fn types() -> BTreeMap<&'static str, Option<Value>> {
    let bytes = None::<Value>;
    [
        ("int8", Some(json!(-5))),
        ("int16", Some(json!(-500))),
        ("int32", Some(json!(-5))),
        ("uint8", Some(json!(250))),
        ("uint16", Some(json!(65535))),
        ("uint32", Some(json!(4_294_967_295_u64))),
        ("uint64", Some(json!(18_446_744_073_709_551_615_u64))),
        ("float16", Some(json!(0.099975586))),
        ("float32", Some(json!(0.1))),
        ("not_a_number", Some(json!(null))),
        ("infinite", Some(json!("-Infinity"))),
        ("string", Some(json!("é"))),
        ("large_string", Some(json!("é"))),
        ("string_view", Some(json!("é"))),
        ("null", Some(json!(null))),
        ("binary_text", Some(json!("café"))),
        ("binary", bytes.clone()),
        ("large_binary", bytes.clone()),
        ("binary_view", bytes.clone()),
        ("fixed_binary", bytes.clone()),
        ("fixed_text", Some(json!("abc"))),
        ("uuid", Some(json!("00010203-0405-0607-0809-0a0b0c0d0e0f"))),
        ("date32", Some(json!("2024-02-29"))),
        ("date64", Some(json!("2024-02-29"))),
        ("time32", Some(json!("12:30:15"))),
        ("time64", Some(json!("12:30:15.250"))),
        ("ts_s", Some(json!("2024-02-29T12:30:15"))),
        ("ts_ms", Some(json!("2024-02-29T12:30:15.250"))),
        ("ts_us", Some(json!("2024-02-29T12:30:15.250"))),
        ("ts_ns", Some(json!("2024-02-29T12:30:15.250"))),
        ("ts_utc", Some(json!("2024-02-29T12:30:15.250Z"))),
        ("ts_paris", Some(json!("2024-02-29T12:30:15.250Z"))),
        ("ts_offset", Some(json!("2024-02-29T12:30:15.250Z"))),
        ("ts_far", Some(json!("9999-12-31T00:00:00"))),
        ("decimal128", Some(json!("-12345678901234567890123.4500"))),
        ("decimal256", Some(json!(format!("1{}", "0".repeat(50))))),
        ("dict_text", Some(json!("x"))),
        ("dict_int", Some(json!(7))),
        ("list", Some(json!([1, null, 3]))),
        ("large_list", Some(json!(["a"]))),
        ("fixed_list", Some(json!([0.5, 0.25]))),
        ("list_of_null", Some(json!([null]))),
        ("empty_list", Some(json!([]))),
        ("list_of_lists", Some(json!([[1], []]))),
        ("struct", Some(json!({"a": 1, "b": null}))),
        ("struct_empty_list", Some(json!({"tags": []}))),
        ("image", bytes.clone()),
        ("images", bytes),
        ("map", Some(json!({"k": 1, "l": null}))),
        ("map_of_ints", Some(json!({"7": "x"}))),
        ("map_twice", None),
    ]
    .into()
}

#[test]
fn columns_of_every_type_have_their_values_or_a_reason() {
    for name in ["types.parquet", "types.arrow"] {
        let rows = read(name);
        let reasons: BTreeMap<&str, &str> =
            rows[0].unreadable.iter().map(|told| (told.column.as_str(), told.reason.as_str())).collect();
        assert_eq!(rows[0].value.as_object().unwrap().len(), types().len() + 1, "{name}");
        for (column, value) in types() {
            assert_eq!(rows[0].value[column], value.clone().unwrap_or_default(), "{name} {column}");
            assert_eq!(rows[1].value[column], Value::Null, "{name} {column}");
            assert_eq!(reasons.contains_key(column), value.is_none(), "{name} {column}");
        }
        assert_eq!(reasons["binary"], "5 bytes that are not UTF-8 text", "{name}");
        assert_eq!(reasons["image"], "`bytes`: 5 bytes that are not UTF-8 text", "{name}");
        assert_eq!(reasons["map_twice"], "the map has the key `k` twice", "{name}");
        assert!(rows[1].unreadable.is_empty(), "{name}");
    }
}

#[test]
fn only_the_columns_asked_for_are_decoded() {
    for name in ["types.parquet", "types.arrow"] {
        let rows = open(name).unwrap().rows_of(&["uint64", "prompt"]).unwrap();
        let rows: Vec<Value> = rows.map(|row| row.unwrap().value).collect();
        assert_eq!(
            rows,
            [json!({"prompt": "p", "uint64": u64::MAX}), json!({"prompt": "q", "uint64": null})],
            "{name}"
        );
    }
    // The prompts of this file are damaged; its answers are not.
    assert!(open("damaged.parquet").unwrap().rows().any(|row| row.is_err()));
    let rows = open("damaged.parquet").unwrap().rows_of(&["answer"]).unwrap();
    assert_eq!(rows.map(|row| row.unwrap().value["answer"].clone()).collect::<Vec<_>>()[0], 2);
}

#[test]
fn types_that_only_arrow_files_have() {
    let rows = read("ipc-types.arrow");
    assert_eq!(
        rows.iter().map(|row| row.value.clone()).collect::<Vec<_>>(),
        [
            json!({"duration": "PT90S", "list_view": ["a", "b"], "run_end": "r", "union": 5}),
            json!({"duration": null, "list_view": null, "run_end": null, "union": "t"}),
        ]
    );
    assert!(rows.iter().all(|row| row.unreadable.is_empty()));
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let rows = read("same-names.parquet");
    assert_eq!(rows[0].value, json!({"x": "first", "x.1": 1, "x.2": "third"}));
    let second = open("same-names.parquet").unwrap().rows_of(&["x.2"]).unwrap().next().unwrap().unwrap();
    assert_eq!(second.value, json!({"x.2": "third"}));
}

#[test]
fn what_cannot_be_read_is_named_with_its_reason() {
    let nowhere = tempfile::tempdir().unwrap();
    let text = nowhere.path().join("a.parquet");
    std::fs::write(&text, "{\"prompt\": \"x\"}").unwrap();
    let reason = |result: Result<ForeignTable, TableError>| result.err().unwrap().to_string();
    for (error, file, part) in [
        (reason(open("cut-short.parquet")), "cut-short.parquet", "footer"),
        (reason(open("pointer.parquet")), "pointer.parquet", "a pointer of Git LFS"),
        (reason(open("empty.parquet")), "empty.parquet", "the file is empty"),
        (reason(open("no-such.parquet")), "no-such.parquet", "No such file"),
        (reason(open("splits")), "splits", "several splits; name one: `"),
        (reason(ForeignTable::open(nowhere.path())), "", "no readable state.json"),
        (reason(ForeignTable::open(&text)), "a.parquet", "does not start as Parquet or Arrow files do"),
        (
            open("pyarrow-none.parquet").unwrap().rows_of(&["promt"]).err().unwrap().to_string(),
            "pyarrow-none.parquet",
            "no column `promt`; columns: `prompt`, `answer`",
        ),
    ] {
        assert!(error.contains(file) && error.contains(part), "{error}");
    }
    let rows: Vec<_> = open("damaged.parquet").unwrap().rows().collect();
    let error = rows.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(error.contains("damaged.parquet"), "{error}");
    assert_eq!(rows.iter().filter(|row| row.is_err()).count(), 1);
}

/// The cases that people sent: all are read, whatever stands beside their prompts.
#[test]
fn the_cases_are_read() {
    let Ok(data) = std::env::var("RETORT_TEST_DATA") else {
        eprintln!("RETORT_TEST_DATA is not set: the cases are not read");
        return;
    };
    let mut read = 0;
    for case in std::fs::read_dir(PathBuf::from(data).join("cases")).unwrap() {
        let case = case.unwrap().path();
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let path = match name.as_str() {
            "hf-save-to-disk" => case.join("ds"),
            _ if name.starts_with("pq") || name == "parquet-snappy" => case.join("a.parquet"),
            _ => continue,
        };
        let rows: Vec<ForeignRow> = ForeignTable::open(&path).unwrap().rows().collect::<Result<_, _>>().unwrap();
        assert!(!rows.is_empty(), "{name}");
        for row in &rows {
            let text = ["prompt", "problem", "question"].iter().find_map(|column| row.value[column].as_str());
            assert!(text.is_some_and(|text| !text.is_empty()), "{name}: {}", row.value);
        }
        read += 1;
    }
    assert!(read >= 28, "{read}");
}

const DAMAGED: [&str; 9] = [
    "types.parquet",
    "polars.parquet",
    "pyarrow-gzip.parquet",
    "duckdb.parquet",
    "pyarrow-v2-pages.parquet",
    "pandas.feather",
    "polars.arrow",
    "types.arrow",
    "saved/data-00000-of-00002.arrow",
];

/// What comes of a file with these bytes.
fn read_bytes(folder: &Path, bytes: &[u8]) -> Result<Vec<ForeignRow>, TableError> {
    let path = folder.join("damaged");
    std::fs::write(&path, bytes).unwrap();
    let read = ForeignTable::open(&path).and_then(|table| table.rows().take(100_000).collect());
    if let Err(error) = &read {
        assert!(error.to_string().contains("damaged"), "{error}");
    }
    read
}

/// Whatever bytes of a file are changed, reading ends with rows or with an error that names the file.
#[test]
fn damaged_files_end_in_rows_or_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (mut random, mut failures) = (1_u64, 0);
    for name in DAMAGED {
        let whole = std::fs::read(fixture(name)).unwrap();
        for _ in 0..100 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (random >> 33) as usize % bytes.len();
                bytes[at] = (random >> 20) as u8;
            }
            failures += u32::from(read_bytes(folder.path(), &bytes).is_err());
        }
    }
    assert!(failures > 90, "{failures}");
}

/// A length that is more than there is of memory ends in rows or an error, wherever in an Arrow file it stands; so does a file
/// that is cut off.
#[test]
fn absurd_lengths_of_arrow_files_end_in_rows_or_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (mut tried, mut failures) = (0, 0);
    for name in DAMAGED.into_iter().filter(|name| !name.ends_with(".parquet")) {
        let whole = std::fs::read(fixture(name)).unwrap();
        for at in (0..whole.len() - 8).step_by(4) {
            for absurd in [i64::MAX, 1 << 44, i64::from(i32::MAX), -2] {
                let mut bytes = whole.clone();
                bytes[at..at + 8].copy_from_slice(&absurd.to_le_bytes());
                tried += 1;
                failures += u32::from(read_bytes(folder.path(), &bytes).is_err());
            }
        }
        for length in (0..whole.len()).step_by(61) {
            failures += u32::from(read_bytes(folder.path(), &whole[..length]).is_err());
            tried += 1;
        }
    }
    assert!(failures * 4 > tried, "{failures} of {tried}");
}
