//! Finished stages whose files were edited or deleted: named before any work, made again, and nothing else with them.

use crate::binary::{differing, results, run, succeed, text};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Three prompts, judged, chosen and exported: a run that takes a moment.
fn write_run(folder: &Path) {
    let rows = [("2+2=", "4", "so \\boxed{4}", 9), ("3+3=", "6", "\\boxed{6}", 7), ("5+5=", "10", "\\boxed{11}", 8)];
    let lines: String = rows
        .iter()
        .map(|(prompt, answer, completion, tokens)| {
            json!({"prompt": prompt, "answer": answer, "completion": completion, "tokens": tokens}).to_string() + "\n"
        })
        .collect();
    fs::write(folder.join("a.jsonl"), lines).expect("rows");
    let pipeline = "
name: c
stages:
  data: { import: { path: a.jsonl, as: rollouts } }
  v: { verify: { rollouts: data, verifiers: [math] } }
  s: { select: { verdicts: v, rule: shortest-correct } }
  out: { export: { data: s } }
";
    fs::write(folder.join("p.yaml"), pipeline).expect("a pipeline");
}

fn lock(folder: &Path, run: &str) -> Value {
    let text = fs::read(folder.join("runs").join(run).join("lock.json")).expect("a lock file");
    serde_json::from_slice(&text).expect("a lock file is JSON")
}

/// The stages that a run says it worked on.
fn made(said: &str) -> Vec<&str> {
    let ran = said.lines().filter(|line| line.contains('[') || line.contains("stages run"));
    ran.collect()
}

#[test]
fn an_edited_file_is_named_its_stage_made_again_and_the_edit_kept() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_run(folder);
    succeed(folder, &["run", "p.yaml"]);
    let before = results(folder, "c");
    let card = folder.join("runs/c/out/README.md");
    let mine = fs::read_to_string(&card).expect("a card") + "hi\n";
    fs::write(&card, &mine).expect("a card can be edited");

    let (planned, _) = succeed(folder, &["plan", "p.yaml"]);
    assert!(planned.contains("damaged") && planned.contains("`README.md`"), "{planned}");
    assert!(planned.contains("1 stage to run"), "{planned}");
    let (_, said) = succeed(folder, &["run", "p.yaml"]);
    assert!(said.contains("out") && said.contains("`README.md` has"), "{said}");
    assert!(said.contains("1 stages run, 4 fresh"), "{said}");
    assert!(differing(&before, &results(folder, "c")).is_empty());
    let aside = fs::read_dir(folder.join("store")).expect("a store").flatten().map(|entry| entry.path());
    let kept = aside.filter(|path| path.to_string_lossy().contains("set-aside")).collect::<Vec<PathBuf>>();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read_to_string(kept[0].join("README.md")).expect("the edited card"), mine);

    let (_, said) = succeed(folder, &["run", "p.yaml"]);
    assert!(said.contains("0 stages run"), "{said}");
    succeed(folder, &["gc"]);
    assert!(!kept[0].exists(), "`gc` frees what was set aside");
    assert!(differing(&before, &results(folder, "c")).is_empty());
}

#[test]
fn records_pointers_and_whole_folders_are_mended_too() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_run(folder);
    succeed(folder, &["run", "p.yaml"]);
    let before = results(folder, "c");
    let lock_before = lock(folder, "c");
    let real = |stage: &str| folder.join("runs/c").join(stage).canonicalize().expect("a pointer leads somewhere");

    // The record of a stage in the middle.
    let record = real("v").join("manifest.json");
    let text_of = fs::read_to_string(&record).expect("a record");
    fs::write(&record, text_of.replacen("\"kept\"", "\"kep_\"", 1).replacen("math", "mat_", 1) + " ").expect("an edit");
    let (_, said) = succeed(folder, &["run", "p.yaml"]);
    assert!(said.contains("`manifest.json`") && said.contains("1 stages run"), "{said}");

    // A folder that is gone, one that is empty, one in whose place is a file.
    fs::remove_dir_all(real("s")).expect("a folder can go");
    let (_, said) = succeed(folder, &["run", "p.yaml"]);
    assert!(said.contains("is gone") && said.contains("1 stages run"), "{said}");
    let out = real("out");
    fs::remove_dir_all(&out).and_then(|()| fs::create_dir(&out)).expect("a folder can be emptied");
    let (_, said) = succeed(folder, &["run", "p.yaml"]);
    assert!(said.contains("`manifest.json` is gone") && said.contains("1 stages run"), "{said}");
    fs::remove_dir_all(&out).and_then(|()| fs::write(&out, "x")).expect("a file can be put there");
    succeed(folder, &["run", "p.yaml"]);

    // A table with a shard that is not its own.
    fs::copy(real("s").join("selection/part-00000.parquet"), real("s").join("selection/part-00001.parquet"))
        .expect("a shard can be copied");
    let (_, said) = succeed(folder, &["run", "p.yaml"]);
    assert!(said.contains("was not there") && said.contains("1 stages run"), "{said}");

    // Pointers: one gone, one replaced by a folder; and a lock file that tells something else.
    fs::remove_file(folder.join("runs/c/v")).expect("a pointer can go");
    fs::remove_file(folder.join("runs/c/s")).expect("a pointer can go");
    fs::create_dir_all(folder.join("runs/c/s/mine")).expect("a folder can be made");
    fs::write(folder.join("runs/c/lock.json"), "{}").expect("a lock file can be edited");
    let (_, said) = succeed(folder, &["run", "p.yaml"]);
    assert!(said.contains("`lock.json`") && said.contains("0 stages run"), "{said}");
    assert!(folder.join("runs/c/s.set-aside-1/mine").is_dir());
    assert!(differing(&before, &results(folder, "c")).iter().all(|name| name.starts_with("s.set-aside")));
    assert_eq!(lock(folder, "c"), lock_before);
}

#[test]
fn what_another_run_reads_by_path_is_whole_or_refused() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_run(folder);
    succeed(folder, &["run", "p.yaml", "--out", "first"]);
    let q = "name: q\nstages: { out: { export: { data: first/runs/c/s, file: parquet } } }\n";
    fs::write(folder.join("q.yaml"), q).expect("a pipeline");
    succeed(folder, &["run", "q.yaml", "--out", "second"]);
    // The rows stand in a stage behind the one that is named.
    let rollouts = folder.join("first/runs/c/data/rollouts/part-00000.parquet");
    let whole = fs::read(&rollouts).expect("a shard");
    let mut bytes = whole.clone();
    bytes[10] ^= 1;
    fs::write(&rollouts, &bytes).expect("an edit");
    let output = run(folder, &["run", "q.yaml", "--out", "second"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("rollouts/part-00000.parquet") && said.contains("run the pipeline that made it"), "{said}");
    succeed(folder, &["run", "p.yaml", "--out", "first"]);
    assert_eq!(fs::read(&rollouts).expect("a shard"), whole);
    let (_, said) = succeed(folder, &["run", "q.yaml", "--out", "second"]);
    assert!(said.contains("0 stages run"), "{said}");
    // The second folder's results know that their rows stand in the first.
    let (rows, _) = succeed(folder, &["show", "second/runs/q", "--json"]);
    assert!(rows.is_empty());
    let record = fs::read_to_string(folder.join("second/runs/q/out/manifest.json")).expect("a record");
    assert!(record.contains("first/store/"), "{record}");
}

#[test]
fn the_lock_file_tells_what_the_pointers_tell() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_run(folder);
    succeed(folder, &["run", "p.yaml"]);
    let whole = lock(folder, "c");
    // One stage alone leaves the others' entries.
    succeed(folder, &["run", "p.yaml", "--only", "v"]);
    assert_eq!(lock(folder, "c"), whole);

    // A run that fails half-way: rows without counts cannot be measured.
    let row = json!({"prompt": "9+9=", "answer": "18", "completion": "18"}).to_string();
    fs::write(folder.join("b.jsonl"), row).expect("rows");
    let other = fs::read_to_string(folder.join("p.yaml")).expect("a pipeline").replace("a.jsonl", "b.jsonl");
    fs::write(folder.join("q.yaml"), other).expect("a pipeline");
    let output = run(folder, &["run", "q.yaml"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("still what an earlier run left") && said.contains("s, out"), "{said}");
    let mixed = lock(folder, "c");
    for stage in mixed["stages"].as_object().expect("stages").keys() {
        let target = fs::read_link(folder.join("runs/c").join(stage)).expect("a pointer");
        let key = target.file_name().expect("a key").to_string_lossy();
        assert_eq!(mixed["stages"][stage]["key"], *key, "{stage}");
        let older = ["data.lengths", "s", "out"].contains(&stage.as_str());
        assert_eq!(mixed["stages"][stage].get("stale").is_some(), older, "{stage}");
    }
    assert_ne!(mixed["pipeline_sha256"], whole["pipeline_sha256"]);
    succeed(folder, &["run", "p.yaml"]);
    assert_eq!(lock(folder, "c"), whole);
}

#[test]
fn a_trained_checkpoint_is_named_before_it_is_trained_again() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    let from = crate::binary::root().join("pipelines/quickstart");
    for model in ["student", "tokenizer"] {
        std::os::unix::fs::symlink(from.join(model), folder.join(model)).expect("a model can be pointed at");
    }
    let rows: String = (1..5)
        .map(|a| json!({"prompt": format!("{a}+1="), "completion": format!("{}", a + 1)}).to_string() + "\n")
        .collect();
    fs::write(folder.join("a.jsonl"), rows).expect("rows");
    let pipeline = "
name: ck
tokenizer: tokenizer
stages:
  d: { import: { path: a.jsonl, as: sft } }
  long: { train: { base: ./student, data: d, chat_template: plain, training: { max_steps: 2, batch_size: 2, learning_rate: 1e-3 } } }
";
    fs::write(folder.join("ck.yaml"), pipeline).expect("a pipeline");
    succeed(folder, &["run", "ck.yaml"]);
    let before = results(folder, "ck");
    let settings = folder.join("runs/ck/long/checkpoint/tokenizer_config.json");
    let mut edited: Value = serde_json::from_slice(&fs::read(&settings).expect("settings")).expect("JSON");
    edited["mine"] = true.into();
    fs::write(&settings, edited.to_string()).expect("an edit");
    let (_, said) = succeed(folder, &["run", "ck.yaml"]);
    let named = said.find("checkpoint/tokenizer_config.json").expect("the file is named");
    assert!(said.find("train").is_none_or(|trained| named < trained), "{said}");
    assert!(differing(&before, &results(folder, "ck")).is_empty());
    let (_, said) = succeed(folder, &["run", "ck.yaml"]);
    assert!(said.contains("0 stages run"), "{said} {:?}", made(&said));
}

#[test]
fn a_corpus_of_two_sources_keeps_both() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    for (file, teacher, rows) in
        [("a", "t1", [("2+2=", "4"), ("3+3=", "6")]), ("b", "t2", [("5+5=", "10"), ("3+3=", "6")])]
    {
        let lines: String = rows
            .iter()
            .map(|(prompt, answer)| {
                let row = json!({"prompt": prompt, "answer": answer, "completion": format!("{teacher}: \\boxed{{{answer}}}"),
                    "tokens": 9, "teacher": teacher});
                row.to_string() + "\n"
            })
            .collect();
        fs::write(folder.join(format!("{file}.jsonl")), lines).expect("rows");
    }
    let stages = |x: &str| {
        format!(
            "  {x}: {{ import: {{ path: {x}.jsonl, as: rollouts }} }}\n  v{x}: {{ verify: {{ rollouts: {x}, verifiers: [math] }} }}\n  \
             s{x}: {{ select: {{ verdicts: v{x}, rule: shortest-correct }} }}\n"
        )
    };
    let pipeline = |more: &str| format!("name: c\nstages:\n{}{}{more}", stages("a"), stages("b"));
    let both = "  both: { compose: { data: [sa, sb] } }\n";
    fs::write(folder.join("p.yaml"), pipeline(both)).expect("a pipeline");
    succeed(folder, &["run", "p.yaml"]);
    let joined = || {
        let (rows, _) = succeed(folder, &["show", "runs/c/both", "--join", "--json"]);
        let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).expect("a row")).collect();
        rows.iter().map(|row| format!("{} {}", row["teacher"], row["verdict"])).collect::<Vec<_>>()
    };
    let all = joined();
    assert_eq!(all, [r#""t1" "correct""#, r#""t1" "correct""#, r#""t2" "correct""#, r#""t2" "correct""#]);

    // Only the corpus is still pointed at: all that its rows were made of stays.
    for stage in fs::read_dir(folder.join("runs/c")).expect("a run").flatten().map(|entry| entry.path()) {
        if stage.is_symlink() && !stage.ends_with("both") {
            fs::remove_file(stage).expect("a pointer can go");
        }
    }
    succeed(folder, &["gc"]);
    assert_eq!(joined(), all);
    let reading = "
name: q
stages:
  out: { export: { data: runs/c/both } }
  report: { report: { of: [runs/c/both] } }
";
    fs::write(folder.join("q.yaml"), reading).expect("a pipeline");
    succeed(folder, &["run", "q.yaml"]);
    succeed(folder, &["run", "q.yaml", "--out", "elsewhere"]);
    assert!(!folder.join("runs/q/out/train.jsonl").metadata().expect("rows").len().eq(&0));
    // Another run's record that cannot be read must not cost what it stands on.
    fs::write(folder.join("runs/c/both/manifest.json"), "{").expect("an edit");
    let output = run(folder, &["gc"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("runs/c/both"));
}

#[test]
fn reports_and_exports_read_every_kind_of_output_by_path() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_run(folder);
    fs::write(folder.join("prompts.jsonl"), "{\"prompt\": \"2+2=\", \"answer\": \"4\"}\n").expect("rows");
    fs::write(folder.join("sft.jsonl"), "{\"prompt\": \"q\", \"completion\": \"a\"}\n").expect("rows");
    let pairs = "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\"}\n";
    fs::write(folder.join("pairs.jsonl"), pairs).expect("rows");
    let more = "
  prompts: { import: { path: prompts.jsonl } }
  sft: { import: { path: sft.jsonl, as: sft } }
  pairs: { import: { path: pairs.jsonl, as: pairs } }
  corpus: { compose: { data: [sft, s] } }
";
    let text_of = fs::read_to_string(folder.join("p.yaml")).expect("a pipeline") + more.trim_start_matches('\n');
    fs::write(folder.join("p.yaml"), text_of).expect("a pipeline");
    succeed(folder, &["run", "p.yaml"]);
    for stage in ["data", "v", "s", "out", "prompts", "sft", "pairs", "corpus"] {
        let report = format!("name: r-{stage}\nstages: {{ report: {{ report: {{ of: [runs/c/{stage}] }} }} }}\n");
        fs::write(folder.join("r.yaml"), report).expect("a pipeline");
        succeed(folder, &["run", "r.yaml", "--quiet"]);
    }
    for stage in ["s", "sft", "pairs", "corpus"] {
        let export = format!("name: e-{stage}\nstages: {{ out: {{ export: {{ data: runs/c/{stage} }} }} }}\n");
        fs::write(folder.join("e.yaml"), export).expect("a pipeline");
        succeed(folder, &["run", "e.yaml", "--quiet"]);
    }
}

#[test]
fn looking_writes_nothing() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_run(folder);
    for arguments in [&["plan", "p.yaml", "--out", "x"][..], &["check", "p.yaml"]] {
        succeed(folder, arguments);
    }
    for arguments in [&["gc", "--out", "x"][..], &["verify-data", "--out", "x"]] {
        let output = run(folder, arguments);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    }
    let left: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    succeed(folder, &["run", "p.yaml"]);
    let index = || fs::read(folder.join("store/.inputs.json")).expect("known hashes");
    let before = index();
    fs::write(
        folder.join("a.jsonl"),
        "{\"prompt\": \"1+1=\", \"answer\": \"2\", \"completion\": \"2\", \"tokens\": 1}\n",
    )
    .expect("rows");
    let (planned, _) = succeed(folder, &["plan", "p.yaml"]);
    assert!(planned.contains("file: `a.jsonl` changed"), "{planned}");
    assert_eq!(index(), before);
}
