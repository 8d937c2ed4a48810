//! Tables written and read again: whole rows, narrow rows, groups and partners.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use retort_records::{Check, Message, Prompt, Row, Verdict, VerdictRow};
use retort_tables::{
    Columns, ForeignTable, RowFunction, ShardLimits, TableError, TableFiles, TableWriter, apply_rows, check_columns,
    columns, follow, groups, scan,
};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

fn prompt(ordinal: u64, text: &str, answer: Option<&str>) -> Prompt {
    Prompt {
        prompt_id: format!("p{ordinal}"),
        ordinal,
        messages: vec![Message::user(text)],
        reference_answer: answer.map(str::to_owned),
        domain: "math".into(),
        source: "test".into(),
        source_id: None,
        language: None,
        tests: None,
        beyond_text: None,
    }
}

fn verdict(prompt: u64, sample_index: u32) -> VerdictRow {
    VerdictRow {
        rollout_id: format!("r{prompt}-{sample_index}"),
        prompt_id: format!("p{prompt}"),
        sample_index,
        teacher: "t".into(),
        truncated: false,
        verdict: Verdict::Undecided,
        extracted_answer: None,
        checks: vec![Check {
            verifier: "math".into(),
            verdict: Verdict::Correct,
            method: "m".into(),
            reason: "r".into(),
        }],
        verifier_version: "1".into(),
    }
}

fn write<T: Row>(folder: &Path, rows: &[T], limits: ShardLimits) -> TableFiles {
    let mut writer = TableWriter::create(folder, limits).unwrap();
    for row in rows {
        writer.push(row.clone()).unwrap();
    }
    writer.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn what_is_written_is_read(texts in proptest::collection::vec((".{0,40}", proptest::option::of(".{0,5}")), 0..700),
                               shard_rows in 1_usize..400) {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<Prompt> =
            texts.iter().enumerate().map(|(i, (text, answer))| prompt(i as u64, text, answer.as_deref())).collect();
        let limits = ShardLimits { shard_rows, row_group_rows: 100, ..ShardLimits::default() };
        let files = write(folder.path(), &rows, limits);
        prop_assert_eq!(files.rows, rows.len() as u64);
        let read: Vec<Prompt> = scan(folder.path()).unwrap().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&read, &rows);
        let again = tempfile::tempdir().unwrap();
        prop_assert_eq!(write(again.path(), &rows, limits), files);
    }
}

#[test]
fn nested_columns_and_words_survive() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<VerdictRow> = (0..3).map(|i| verdict(0, i)).collect();
    write(folder.path(), &rows, ShardLimits::default());
    let read: Vec<VerdictRow> = scan(folder.path()).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, rows);
    let columns = columns::<VerdictRow>().unwrap();
    let found = columns.iter().find(|column| column.name == "verdict").unwrap();
    assert_eq!((found.data_type.as_str(), found.nullable), ("LargeUtf8", false));
}

/// The columns of each shard's file.
fn columns_of(folder: &Path, files: &TableFiles) -> Vec<Vec<String>> {
    let names = |shard: &str| {
        let table = ForeignTable::open(&folder.join(shard)).unwrap();
        table.columns().iter().map(|column| column.name.clone()).collect()
    };
    files.files.iter().map(|file| names(&file.path)).collect()
}

#[test]
fn a_column_that_few_tables_need_is_in_all_shards_or_in_none() {
    let limits = ShardLimits { shard_rows: 256, ..ShardLimits::default() };
    for beyond in [None, Some(0), Some(255), Some(256), Some(600), Some(699)] {
        let mut rows: Vec<Prompt> = (0..700).map(|i| prompt(i, &format!("{i}?"), None)).collect();
        if let Some(at) = beyond {
            rows[at].beyond_text = Some(r#"{"tools":[]}"#.into());
        }
        let folder = tempfile::tempdir().unwrap();
        let files = write(&folder.path().join("prompts"), &rows, limits);
        assert_eq!((files.rows, files.files.len()), (700, 3));
        for columns in columns_of(&folder.path().join("prompts"), &files) {
            assert_eq!(columns.contains(&"beyond_text".to_owned()), beyond.is_some(), "{beyond:?}: {columns:?}");
        }
        let read: Vec<Prompt> = scan(&folder.path().join("prompts")).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(read == rows, "{beyond:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the table");
    }
}

#[test]
fn tables_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[prompt(0, "x", None)], ShardLimits::default());
    let error = scan::<VerdictRow>(folder.path()).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("column `rollout_id` is missing"), "{error}");
}

#[test]
fn groups_and_partners_stream() {
    let (rows, prompts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let verdicts: Vec<VerdictRow> = [(0, 0), (0, 1), (2, 0)].map(|(p, i)| verdict(p, i)).into();
    write(rows.path(), &verdicts, ShardLimits::default());
    write(prompts.path(), &[0, 1, 2].map(|i| prompt(i, "x", None)), ShardLimits::default());
    let mut partners = follow(scan::<Prompt>(prompts.path()).unwrap(), |p| &p.prompt_id);
    let sizes: Vec<(u64, usize)> = groups(scan::<VerdictRow>(rows.path()).unwrap(), |row| row.prompt_id.clone())
        .map(|group| {
            let group = group.unwrap();
            (partners.partner_of("verdicts", &group[0].prompt_id).unwrap().ordinal, group.len())
        })
        .collect();
    assert_eq!(sizes, [(0, 2), (2, 1)]);
    assert!(partners.partner_of("verdicts", "p1").is_err());
}

/// A few columns of a table, one of them inside a list of structs.
#[derive(Debug, PartialEq, Deserialize)]
struct Judged {
    rollout_id: String,
    verdict: Verdict,
    checks: Vec<Reason>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Reason {
    reason: String,
}

impl Columns for Judged {
    type Table = VerdictRow;
}

#[derive(Debug, PartialEq, Deserialize)]
struct Asked {
    prompt_id: String,
    ordinal: u64,
    reference_answer: Option<String>,
}

impl Columns for Asked {
    type Table = Prompt;
}

fn tables() -> (tempfile::TempDir, tempfile::TempDir) {
    let (rows, prompts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let verdicts: Vec<VerdictRow> = (0..1000).map(|row| verdict(row / 3, row as u32 % 3)).collect();
    let asked: Vec<Prompt> = (0..334).map(|row| prompt(row, "x", (row % 2 == 0).then_some("7"))).collect();
    let limits = ShardLimits { shard_rows: 256, row_group_rows: 100, ..ShardLimits::default() };
    write(rows.path(), &verdicts, limits);
    write(prompts.path(), &asked, limits);
    (rows, prompts)
}

#[test]
fn a_narrow_row_reads_its_columns_also_inside_lists() {
    let (rows, _) = tables();
    check_columns::<Judged>().unwrap();
    let whole: Vec<VerdictRow> = scan(rows.path()).unwrap().collect::<Result<_, _>>().unwrap();
    let narrow = scan::<Judged>(rows.path()).unwrap();
    assert_eq!(narrow.total(), 1000);
    let narrow: Vec<Judged> = narrow.collect::<Result<_, _>>().unwrap();
    let expected: Vec<Judged> = whole
        .into_iter()
        .map(|row| Judged {
            rollout_id: row.rollout_id,
            verdict: row.verdict,
            checks: row.checks.into_iter().map(|check| Reason { reason: check.reason }).collect(),
        })
        .collect();
    assert_eq!(narrow, expected);
}

/// The pages of the columns that nobody asks for are damaged, so that a reader that opened them would fail.
#[test]
fn a_narrow_row_opens_no_other_column() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[prompt(0, "messages stand here", Some("7"))], ShardLimits::default());
    let path = folder.path().join("part-00000.parquet");
    let reader = parquet::file::reader::SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let group = parquet::file::reader::FileReader::metadata(&reader).row_group(0).clone();
    let mut bytes = std::fs::read(&path).unwrap();
    for column in group.columns().iter().filter(|column| column.column_path().parts()[0] == "messages") {
        let (start, length) = column.byte_range();
        bytes[start as usize..(start + length) as usize].fill(0xff);
    }
    std::fs::write(&path, bytes).unwrap();
    assert!(scan::<Prompt>(folder.path()).unwrap().next().unwrap().is_err());
    let row = scan::<Asked>(folder.path()).unwrap().next().unwrap().unwrap();
    assert_eq!(row, Asked { prompt_id: "p0".into(), ordinal: 0, reference_answer: Some("7".into()) });
}

#[test]
fn narrow_rows_are_grouped_and_followed() {
    let (rows, prompts) = tables();
    let mut partners = follow(scan::<Asked>(prompts.path()).unwrap(), |row| &row.prompt_id);
    let by_prompt = |row: &Judged| row.rollout_id.split('-').next().unwrap_or_default().replace('r', "p");
    let mut sizes = Vec::new();
    for group in groups(scan::<Judged>(rows.path()).unwrap(), by_prompt) {
        let group = group.unwrap();
        let ordinal = partners.partner_of("verdicts", &by_prompt(&group[0])).unwrap().ordinal;
        sizes.push((ordinal, group.len()));
    }
    assert_eq!(sizes, (0..334).map(|row| (row, if row == 333 { 1 } else { 3 })).collect::<Vec<_>>());
}

#[test]
fn narrow_rows_that_do_not_fit_their_table_are_refused() {
    macro_rules! narrow {
        ($name:ident { $($field:ident : $type:ty),+ }) => {
            #[derive(Deserialize)]
            #[expect(dead_code, reason = "only the columns matter")]
            struct $name { $($field: $type),+ }
            impl Columns for $name {
                type Table = Prompt;
            }
        };
    }
    narrow!(Misspelt { promptid: String });
    narrow!(OtherType { prompt_id: String, ordinal: u32 });
    narrow!(NotNull { reference_answer: String });
    narrow!(Nested { messages: Vec<Wrong> });
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only the columns matter")]
    struct Wrong {
        role: String,
        text: String,
    }
    let (_, prompts) = tables();
    let reason = |result: Result<(), TableError>| result.unwrap_err().to_string();
    for (error, part) in [
        (reason(check_columns::<Misspelt>()), "no narrow row of table `prompts`: column `promptid` is missing"),
        (reason(check_columns::<OtherType>()), "column `ordinal` is UInt64, expected UInt32"),
        (reason(check_columns::<NotNull>()), "column `reference_answer` may be null"),
        (reason(check_columns::<Nested>()), "column `messages.text` is missing"),
        (reason(scan::<OtherType>(prompts.path()).map(drop)), "column `ordinal` is UInt64, expected UInt32"),
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_file_without_a_narrow_rows_column_is_named_with_it() {
    let (rows, _) = tables();
    let error = scan::<Asked>(rows.path()).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("part-00000.parquet` does not hold rows of table `prompts`"), "{error}");
    assert!(error.contains("column `ordinal` is missing"), "{error}");
}

#[test]
fn nothing_comes_after_a_damaged_shard() {
    let (rows, _) = tables();
    let path = rows.path().join("part-00001.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..200].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let read: Vec<Result<VerdictRow, TableError>> = scan(rows.path()).unwrap().collect();
    let (last, before) = read.split_last().unwrap();
    assert_eq!(before.iter().filter(|row| row.is_ok()).count(), 256);
    assert!(last.as_ref().unwrap_err().to_string().contains("part-00001.parquet"));
}

/// Whether the reference answer of a row's prompt is at least so long.
struct Answered {
    least: usize,
}

#[derive(Serialize, Deserialize)]
struct AnsweredSettings {
    least: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("`least` is 0")]
struct LeastIsZero;

impl RowFunction for Answered {
    const NAME: &'static str = "answered";
    type Settings = AnsweredSettings;
    type Error = LeastIsZero;
    type In = (Judged, Arc<Asked>);
    type Out = bool;

    fn build(settings: &AnsweredSettings) -> Result<Self, LeastIsZero> {
        if settings.least == 0 { Err(LeastIsZero) } else { Ok(Self { least: settings.least }) }
    }

    fn apply(&self, (_, prompt): &(Judged, Arc<Asked>)) -> bool {
        prompt.reference_answer.as_ref().is_some_and(|answer| answer.len() >= self.least)
    }
}

#[test]
fn a_row_function_sees_each_row_with_its_partner_and_keeps_the_order() {
    let (rows, prompts) = tables();
    // From settings as JSON, as on another machine.
    let settings: AnsweredSettings = serde_json::from_str(r#"{"least":1}"#).unwrap();
    let function = Answered::build(&settings).unwrap();
    assert!(Answered::build(&AnsweredSettings { least: 0 }).is_err());
    let mut partners = follow(scan::<Asked>(prompts.path()).unwrap(), |row| &row.prompt_id);
    let batches = scan::<Judged>(rows.path()).unwrap().batches().map(|batch| {
        let joined = batch?.into_iter().map(|row| {
            let prompt_id = row.rollout_id.split('-').next().unwrap_or_default().replace('r', "p");
            Ok((row, partners.share(VerdictRow::TABLE, &prompt_id)?))
        });
        joined.collect::<Result<Vec<_>, TableError>>()
    });
    let (mut at, mut sizes) = (0, Vec::new());
    apply_rows(&function, batches, |done| {
        sizes.push(done.len());
        for ((row, prompt), answered) in done {
            assert_eq!(row.rollout_id, format!("r{}-{}", at / 3, at % 3));
            assert_eq!((prompt.ordinal, answered), (at / 3, at / 3 % 2 == 0));
            at += 1;
        }
        Ok::<_, TableError>(())
    })
    .unwrap();
    assert_eq!(at, 1000);
    assert!(sizes.iter().all(|size| *size <= 256), "{sizes:?}");
}

#[test]
fn the_batches_before_an_error_are_still_taken() {
    let (rows, prompts) = tables();
    std::fs::remove_file(prompts.path().join("part-00001.parquet")).unwrap();
    let function = Answered { least: 1 };
    let mut partners = follow(scan::<Asked>(prompts.path()).unwrap(), |row| &row.prompt_id);
    let batches = scan::<Judged>(rows.path()).unwrap().batches().map(|batch| {
        let joined = batch?.into_iter().map(|row| {
            let prompt_id = row.rollout_id.split('-').next().unwrap_or_default().replace('r', "p");
            Ok((row, partners.share(VerdictRow::TABLE, &prompt_id)?))
        });
        joined.collect::<Result<Vec<_>, TableError>>()
    });
    let mut taken = 0;
    let error = apply_rows(&function, batches, |done| {
        taken += done.len();
        Ok(())
    })
    .unwrap_err();
    assert!(error.to_string().contains("row `p256` of table `verdicts` has no partner in table `prompts`"), "{error}");
    assert_eq!(taken, 768);
}

#[test]
fn a_dropped_writer_leaves_no_finished_shard() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TableWriter::<Prompt>::create(folder.path(), ShardLimits::default()).unwrap();
    (0..1000).for_each(|row| writer.push(prompt(row, "x", None)).unwrap());
    assert_eq!(writer.rows(), 1000);
    drop(writer);
    assert!(matches!(scan::<Prompt>(folder.path()), Err(TableError::Parquet { .. })));
}

/// Whatever byte of a shard is changed, a scan ends with rows or with one error.
#[test]
fn damaged_shards_end_in_rows_or_an_error() {
    let (rows, _) = tables();
    let path = rows.path().join("part-00003.parquet");
    let whole = std::fs::read(&path).unwrap();
    let (mut random, mut failures) = (1_u64, 0);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (random >> 33) as usize % bytes.len();
            bytes[at] = (random >> 20) as u8;
        }
        std::fs::write(&path, bytes).unwrap();
        match scan::<VerdictRow>(rows.path()).map(|scan| scan.filter_map(Result::err).count()) {
            Ok(errors) => {
                assert!(errors <= 1);
                failures += errors;
            }
            Err(_) => failures += 1,
        }
    }
    assert!(failures > 100, "{failures}");
}
