//! Random edits, deletions and truncations of files of a finished store: each is named, its stage alone is made again, and
//! the bytes end up as they were.

use crate::binary::{differing, results, run, succeed, text};
use crate::random::{Xorshift, count};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

const PIPELINE: &str = "
name: c
seed: 2
stages:
  prompts: { import: { path: prompts.jsonl } }
  rollouts: { sample: { prompts: prompts, teacher: { replay: recorded.jsonl, model: m }, sampling: { n: 2, max_tokens: 99 } } }
  verdicts: { verify: { rollouts: rollouts, verifiers: [math] } }
  short: { select: { verdicts: verdicts, rule: shortest-correct } }
  other: { select: { verdicts: verdicts, rule: random-correct } }
  corpus: { compose: { data: [short, other] } }
  pairs: { pair: { verdicts: verdicts } }
  sft: { export: { data: corpus } }
  dpo: { export: { data: pairs, file: parquet } }
  report: { report: {} }
";
const STAGES: usize = 11;

fn write_inputs(folder: &Path) {
    let (mut prompts, mut recorded) = (String::new(), String::new());
    for a in 0..4 {
        let prompt = format!("{a}+1=");
        prompts += &(json!({"prompt": prompt, "answer": (a + 1).to_string()}).to_string() + "\n");
        for index in 0..2_usize {
            let completion = format!("{}\\boxed{{{}}}", "so ".repeat(20 * index), a + 1);
            let row = json!({"prompt": prompt, "sample_index": index, "completion": completion,
                "completion_tokens": 10 + 90 * index, "finish_reason": "stop"});
            recorded += &(row.to_string() + "\n");
        }
    }
    fs::write(folder.join("prompts.jsonl"), prompts).expect("prompts");
    fs::write(folder.join("recorded.jsonl"), recorded).expect("a recording");
    fs::write(folder.join("p.yaml"), PIPELINE).expect("a pipeline");
}

/// Every file of the finished stages, the run's lock file and the store's own index.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut open) = (vec![folder.join("runs/c/lock.json")], vec![folder.join("store")]);
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).expect("a store").flatten().map(|entry| entry.path()) {
            if path.to_string_lossy().contains(".set-aside-") || path.ends_with(".lock") {
                continue;
            }
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Does something to a file; says what.
fn harm(random: &mut Xorshift, path: &Path) -> &'static str {
    let mut bytes = fs::read(path).expect("a file");
    let at = random.below(bytes.len());
    let what = match random.below(6) {
        0 => {
            fs::remove_file(path).expect("a file can go");
            return "deleted";
        }
        1 => {
            bytes.truncate(at);
            "cut"
        }
        2 => {
            bytes.clear();
            "emptied"
        }
        3 => {
            bytes.extend_from_slice(b"\nmine\n");
            "added to"
        }
        4 => {
            bytes.remove(at);
            "shortened"
        }
        _ => {
            bytes[at] ^= 1 << random.below(8);
            "edited"
        }
    };
    fs::write(path, bytes).expect("a file can be written");
    what
}

/// `RETORT_FUZZ_STORES` sets how many files are harmed.
#[test]
fn harmed_files_are_named_and_only_their_stages_made_again() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_inputs(folder);
    succeed(folder, &["run", "p.yaml"]);
    let whole = results(folder, "c");
    let lock = fs::read(folder.join("runs/c/lock.json")).expect("a lock file");
    let mut random = Xorshift::new(0x5851_f42d_4c95_7f2d);
    for run_number in 0..count("RETORT_FUZZ_STORES", 60) {
        let files = files(folder);
        let file = &files[random.below(files.len())];
        let what = harm(&mut random, file);
        let output = run(folder, &["run", "p.yaml"]);
        let said = text(&output.stderr);
        let about = || format!("{run_number}: {} {what}:\n{said}", file.display());
        assert!(output.status.success(), "{}", about());
        let name = file.file_name().expect("a name").to_string_lossy();
        // The store's own index and the lock file are made anew from what is there.
        if name != ".inputs.json" && name != "lock.json" {
            assert!(said.contains(&*name), "not named, {}", about());
        }
        let again = usize::from(name != ".inputs.json" && name != "lock.json");
        let expected = format!("{again} stages run, {} fresh", STAGES - again);
        assert!(said.contains(&expected), "not `{expected}`, {}", about());
        let found = differing(&whole, &results(folder, "c"));
        assert!(found.is_empty(), "{found:?}, {}", about());
        assert_eq!(fs::read(folder.join("runs/c/lock.json")).expect("a lock file"), lock, "{}", about());
        if run_number % 20 == 19 {
            succeed(folder, &["gc"]);
        }
    }
    let (said, _) = succeed(folder, &["verify-data"]);
    assert!(said.contains(", 0 bad"), "{said}");
}
