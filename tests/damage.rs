//! Random edits, deletions and truncations of a finished store: each is named, its stage alone is made again, and the bytes
//! end up as they were.

use crate::binary::{differing, results, run, succeed, text};
use crate::random::{Xorshift, count};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
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

/// What can be harmed: the run's pointers and lock file, the finished stages' folders with all that is in them, the store's
/// own index.
fn targets(folder: &Path) -> Vec<PathBuf> {
    let (mut targets, mut open) = (Vec::new(), vec![folder.join("store"), folder.join("runs/c")]);
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
            if path.to_string_lossy().contains(".set-aside-") || path.ends_with(".lock") {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                open.push(path.clone());
            }
            targets.push(path);
        }
    }
    targets.sort();
    targets
}

/// Does something to a file, a folder or a pointer; says what.
fn harm(random: &mut Xorshift, path: &Path) -> &'static str {
    if path.is_symlink() {
        fs::remove_file(path).expect("a pointer can go");
        return "a pointer deleted";
    }
    if path.is_dir() {
        fs::remove_dir_all(path).expect("a folder can go");
        return match random.below(3) {
            0 => {
                fs::create_dir(path).expect("a folder can be made");
                "a folder emptied"
            }
            1 => {
                fs::write(path, "mine").expect("a file can be made");
                "a folder made a file"
            }
            _ => "a folder deleted",
        };
    }
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

/// Harms one to three things that do not hold each other; gives each with what was done.
fn harm_some(random: &mut Xorshift, folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let mut harmed: Vec<(PathBuf, &str)> = Vec::new();
    for _ in 0..=random.below(3) {
        let mut targets = targets(folder);
        targets.retain(|path| !harmed.iter().any(|(other, _)| path.starts_with(other) || other.starts_with(path)));
        let path = targets.swap_remove(random.below(targets.len()));
        let what = harm(random, &path);
        harmed.push((path, what));
    }
    harmed
}

/// `RETORT_FUZZ_STORES` sets how often something is harmed.
#[test]
fn what_is_harmed_is_named_and_only_its_stage_made_again() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_inputs(folder);
    succeed(folder, &["run", "p.yaml"]);
    let whole = results(folder, "c");
    let lock = fs::read(folder.join("runs/c/lock.json")).expect("a lock file");
    let pointers = fs::read_dir(folder.join("runs/c")).expect("a run").flatten().map(|entry| entry.path());
    let stages: BTreeMap<PathBuf, String> = pointers
        .filter(|path| path.is_symlink())
        .map(|path| {
            let target = fs::read_link(&path).expect("a pointer");
            let stage = path.file_name().expect("a name").to_string_lossy().into_owned();
            (folder.join("store").join(target.file_name().expect("a key")), stage)
        })
        .collect();
    assert_eq!(stages.len(), STAGES);
    let mut random = Xorshift::new(0x5851_f42d_4c95_7f2d);
    for round in 0..count("RETORT_FUZZ_STORES", 60) {
        let harmed = harm_some(&mut random, folder);
        let output = run(folder, &["run", "p.yaml"]);
        let said = text(&output.stderr);
        let about = || format!("round {round}, {harmed:?}:\n{said}");
        assert!(output.status.success(), "{}", about());
        let found = differing(&whole, &results(folder, "c"));
        assert!(found.is_empty(), "{found:?}, {}", about());
        assert_eq!(fs::read(folder.join("runs/c/lock.json")).expect("a lock file"), lock, "{}", about());

        let stage_of = |path: &Path| stages.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, stage)| stage);
        let again: BTreeSet<&String> = harmed.iter().filter_map(|(path, _)| stage_of(path)).collect();
        let expected = format!("{} stages run, {} fresh", again.len(), STAGES - again.len());
        assert!(said.contains(&expected), "not `{expected}`, {}", about());
        for (path, what) in &harmed {
            let Some(stage) = stage_of(path) else { continue };
            // Without its folder and its pointer nothing tells that a stage ever ran.
            let pointer = folder.join("runs/c").join(stage);
            if *what == "a folder deleted"
                && stages.contains_key(path)
                && harmed.iter().any(|(other, _)| *other == pointer)
            {
                continue;
            }
            let named = said.lines().filter(|line| line.contains(&format!("{stage}: ")) && line.contains("warning"));
            let named: Vec<&str> = named.collect();
            assert!(!named.is_empty(), "`{stage}` is not named, {}", about());
            // A stage whose record is damaged is not looked at further.
            let record =
                harmed.iter().any(|(other, _)| other.ends_with("manifest.json") && stage_of(other) == Some(stage));
            let name = path.strip_prefix(folder.join("store")).expect("a place in the store");
            let inside: PathBuf = name.components().skip(1).collect();
            let inside = inside.to_string_lossy();
            assert!(record || named.iter().any(|line| line.contains(&*inside)), "`{inside}` is not named, {}", about());
        }
        if round % 20 == 19 {
            succeed(folder, &["gc"]);
        }
    }
    let (said, _) = succeed(folder, &["verify-data"]);
    assert!(said.contains(", 0 bad"), "{said}");
}
