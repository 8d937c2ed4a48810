//! Pipeline files and `--set` of every form: a clear message, never a panic, never a hang.

use crate::binary::{retort, root, run, succeed, text};
use crate::random::Xorshift;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let said = text(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {:?}\n{said}", output.status);
    said
}

#[test]
fn every_form_of_set_gets_an_answer() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    for (name, content) in [
        ("empty", ""),
        ("list", "- a\n"),
        ("text", "foo\n"),
        ("no_stages", "name: x\n"),
        ("stages_list", "name: x\nstages: [a]\n"),
        ("stage_text", "name: x\nstages: { a: foo }\n"),
        ("stage_nothing", "name: x\nstages: { a: }\n"),
        ("stage_two", "name: x\nstages: { a: { import: {}, export: {} } }\n"),
        ("settings_list", "name: x\nstages: { a: { import: [1] } }\n"),
    ] {
        fs::write(folder.join("p.yaml"), content).expect("a pipeline");
        for set in [
            "name=x",
            "seed=1",
            "a.k=v",
            "a.k.l.m=1",
            "a=1",
            "=",
            "=v",
            ".",
            "a.=1",
            ".a=1",
            "a..b=1",
            "a.0=1",
            "a.0.b=1",
            "stages=1",
            "stages.a.k=1",
            "a.k=[",
            "a.k={a: [",
            "",
            "a.k",
            "seed.x=1",
        ] {
            let said = refused(folder, &["check", "p.yaml", "--set", set]);
            assert!(!said.contains("panicked"), "{name} {set}: {said}");
        }
    }
}

#[test]
fn set_reaches_into_lists_and_names_the_nearest_stage() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    fs::write(folder.join("a.jsonl"), "{\"prompt\": \"q\"}\n").expect("rows");
    let pipeline = "name: x\nstages: { prompts: { import: { path: [b.jsonl] } } }\n";
    fs::write(folder.join("p.yaml"), pipeline).expect("a pipeline");
    succeed(folder, &["check", "p.yaml", "--set", "prompts.path.0=a.jsonl"]);
    let said = refused(folder, &["check", "p.yaml", "--set", "prompts.path.1=a.jsonl"]);
    assert!(said.contains("no place in a list of 1"), "{said}");
    let set = ["--set", "prompts.path.0=a.jsonl"];
    let said = refused(folder, &["check", "p.yaml", "--set", "promts.path=a.jsonl"]);
    assert!(said.contains("did you mean `prompts`?"), "{said}");
    let said = refused(folder, &["run", "p.yaml", set[0], set[1], "--only", "prompst"]);
    assert!(said.contains("did you mean `prompts`?"), "{said}");
    let said = refused(folder, &["explain", "improt"]);
    assert!(said.contains("did you mean `import`?"), "{said}");
    // A program gets errors as JSON too.
    let said = refused(folder, &["run", "p.yaml", set[0], set[1], "--only", "prompst", "--json"]);
    let error: Value = serde_json::from_str(said.trim()).expect("an error as JSON");
    assert_eq!((&error["event"], &error["hint"]), (&"error".into(), &"did you mean `prompts`?".into()));
    let said = refused(folder, &["run", "p.yaml", "--json"]);
    let error: Value = serde_json::from_str(said.trim()).expect("an error as JSON");
    assert_eq!((&error["problems"][0]["line"], &error["file"]), (&2.into(), &"p.yaml".into()));
}

#[test]
fn variables_that_hold_variables_end() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let pipeline = "name: c\nstages: { data: { import: { path: \"${RETORT_D}/a.jsonl\" } } }\n";
    fs::write(work.path().join("p.yaml"), pipeline).expect("a pipeline");
    for value in ["${RETORT_D}", "${RETORT_D}${RETORT_D}", "${RETORT_E}", "${", "a${HOME}"] {
        let output = retort(work.path())
            .args(["check", "p.yaml"])
            .env("RETORT_D", value)
            .env("RETORT_E", "${RETORT_D}")
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.contains("RETORT_D") && said.contains("p.yaml:2:"), "{said}");
    }
    fs::create_dir(work.path().join("d")).expect("a folder");
    fs::write(work.path().join("d/a.jsonl"), "{\"prompt\": \"q\"}\n").expect("rows");
    let status = retort(work.path()).args(["check", "p.yaml"]).env("RETORT_D", "d").status().expect("it starts");
    assert!(status.success());
}

#[test]
fn passwords_and_keys_are_never_shown() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    fs::write(folder.join("a.jsonl"), "{\"prompt\": \"q\"}\n").expect("rows");
    for teacher in [
        "{ endpoint: \"https://me:canary1@host/v1\", model: m }",
        "{ endpoint: \"ftp://me:canary1@host/v1\", model: m }",
        "{ endpoint: \"https://me:canary1@host/v1\", modle: m }",
        "{ endpoint: \"https://host/v1\", api_key: canary1, modle: m }",
        "{ endpoint: \"https://host/v1\",\n          api_key: 'canary1',\n          modle: m }",
    ] {
        let pipeline = format!(
            "name: c\nstages:\n  p: {{ import: {{ path: a.jsonl }} }}\n  r:\n    sample:\n      prompts: p\n      teacher: {teacher}\n      \
             sampling: {{ max_tokens: 10, n: x }}\n"
        );
        fs::write(folder.join("p.yaml"), pipeline).expect("a pipeline");
        for command in [&["check", "p.yaml"][..], &["run", "p.yaml"], &["run", "p.yaml", "--json"], &["plan", "p.yaml"]]
        {
            let said = refused(folder, command);
            assert!(!said.contains("canary1") && said.contains("sampling") | said.contains("`n`"), "{said}");
        }
    }
    let set = "r.teacher.endpoint=https://me:canary1@host/v1";
    for set in [set, "r.teacher.api_key=canary1", "r.teacher.api_key=[canary1", "x.teacher.api_key=canary1"] {
        let said = refused(folder, &["check", "p.yaml", "--set", set]);
        assert!(!said.contains("canary1"), "{said}");
    }
}

/// The binary with at most a second of processor time and 200 MB of memory.
fn bounded(folder: &Path, arguments: &[String]) -> Output {
    let binary = retort(folder);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -t 1; ulimit -d 204800; exec \"$0\" \"$@\""]).arg(binary.get_program()).args(arguments);
    command.current_dir(folder).env("RAYON_NUM_THREADS", "1").output().expect("a shell starts")
}

#[test]
fn what_never_ends_is_not_read() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    fs::create_dir(folder.join("stage")).expect("a folder");
    for file in ["stage/manifest.json", "endless"] {
        std::os::unix::fs::symlink("/dev/zero", folder.join(file)).expect("a device can be pointed at");
    }
    fs::write(folder.join("a.jsonl"), "{\"prompt\": \"q\"}\n").expect("rows");
    let asked = "{ p: { import: { path: a.jsonl } }, r: { sample: { prompts: p, sampling: { max_tokens: 9 }, \
                 teacher: { endpoint: \"http://127.0.0.1:9/v1\", model: m, api_key: file:endless } } } }";
    for (stages, reason) in [
        ("{ out: { export: { data: ./stage } } }", "`manifest.json` is no file"),
        ("{ p: { import: { path: endless } } }", "there is no file"),
        (asked, "it is no file"),
    ] {
        fs::write(folder.join("p.yaml"), format!("name: x\nstages: {stages}\n")).expect("a pipeline");
        let output = bounded(folder, &["check".to_owned(), "p.yaml".to_owned()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn chains_that_double_are_checked_at_once() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    fs::write(folder.join("a.jsonl"), "{\"prompt\": \"q\", \"completion\": \"a\"}\n").expect("rows");
    let row = "{\"prompt\": \"2+2=\", \"answer\": \"4\", \"completion\": \"4\", \"tokens\": 1}\n";
    fs::write(folder.join("r.jsonl"), row).expect("rows");
    let chosen = "  r: { import: { path: r.jsonl, as: rollouts } }\n  v: { verify: { rollouts: r, verifiers: [math] } }\n  \
                  c0: { select: { verdicts: v, rule: shortest-correct } }\n";
    for first in ["  c0: { import: { path: a.jsonl, as: sft } }\n", chosen] {
        let mut pipeline = format!("name: c\nstages:\n{first}");
        for stage in 1..400 {
            let _ = writeln!(pipeline, "  c{stage}: {{ compose: {{ data: [c{0}, c{0}] }} }}", stage - 1);
        }
        fs::write(folder.join("p.yaml"), pipeline).expect("a pipeline");
        for command in ["check", "plan"] {
            let output = bounded(folder, &[command.to_owned(), "p.yaml".to_owned()]);
            assert!(output.status.success(), "{command}: {:?} {}", output.status, text(&output.stderr));
        }
    }
}

/// What mutated files are made of.
const SCALARS: [&str; 40] = [
    "~",
    "\"\"",
    "''",
    "[]",
    "{}",
    "-1",
    "0",
    "1",
    "1e999",
    "-.inf",
    ".nan",
    "99999999999999999999",
    "0x7f",
    "0o17",
    "1_000",
    "true",
    "yes",
    "null",
    "a",
    "a/b",
    "../..",
    "/etc/passwd",
    "${RETORT_X}",
    "${",
    "env:X",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "*x",
    "&x 1",
    "!!binary aGk=",
    "!!str 1",
    "2001-01-01",
    "|",
    ">-",
    "'*'",
    "*.jsonl",
    "'**/*'",
    "[a, a]",
    "{ a: { a: { a: 1 } } }",
    "<<",
];

fn mutated(random: &mut Xorshift, seed: &str, words: &[&str]) -> String {
    let mut lines: Vec<String> = seed.lines().map(str::to_owned).collect();
    for _ in 0..=random.below(4) {
        let (at, other) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(10) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[other].clone()),
            2 => lines.swap(at, other),
            3 => lines[at] = format!("{}{}", " ".repeat(random.below(9)), lines[at].trim_start()),
            4 => {
                if let Some((key, _)) = lines[at].clone().split_once(':') {
                    lines[at] = format!("{key}: {}", SCALARS[random.below(SCALARS.len())]);
                }
            }
            5 => {
                let (from, to) = (words[random.below(words.len())], words[random.below(words.len())]);
                lines[at] = lines[at].replacen(from, to, 1);
            }
            6 => {
                let scalar = SCALARS[random.below(SCALARS.len())];
                let place = lines[at].char_indices().map(|(at, _)| at).nth(random.below(40)).unwrap_or(lines[at].len());
                lines[at].insert_str(place, scalar);
            }
            7 => {
                let deep = [10, 200, 5000][random.below(3)];
                let (open, close) = [("[", "]"), ("{ a: ", " }")][random.below(2)];
                let key = lines[at].split(':').next().unwrap_or_default().to_owned();
                lines[at] = format!("{key}: {}{}", open.repeat(deep), close.repeat(deep * random.below(2)));
            }
            8 => {
                let word = words[random.below(words.len())];
                let mut bomb = "  b0: &b0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
                for level in 1..12 {
                    let _ =
                        writeln!(bomb, "  b{level}: &b{level} [{}]", vec![format!("*b{}", level - 1); 10].join(", "));
                }
                lines.push(format!("{bomb}  {word}: *b11"));
            }
            _ => lines[at] = lines[at].chars().rev().collect(),
        }
        if lines.is_empty() {
            lines.push("a: 1".to_owned());
        }
    }
    lines.join("\n")
}

fn set_form(random: &mut Xorshift, words: &[&str]) -> String {
    let steps: Vec<String> = (0..=random.below(4))
        .map(|_| match random.below(8) {
            0 => random.below(5).to_string(),
            1 => String::new(),
            2 => "x".repeat(random.below(3000)),
            _ => words[random.below(words.len())].to_owned(),
        })
        .collect();
    let equals = if random.below(12) == 0 { "" } else { "=" };
    let value = match random.below(8) {
        0 => "[".repeat(random.below(3000)),
        1 => words[random.below(words.len())].to_owned(),
        _ => SCALARS[random.below(SCALARS.len())].to_owned(),
    };
    format!("--set={}{equals}{value}", steps.join("."))
}

/// Files and `--set` forms mutated by a seeded random generator; `RETORT_FUZZ_FILES` sets how many.
#[test]
fn mutated_files_never_panic_hang_or_fill_the_memory() {
    let count = crate::random::count("RETORT_FUZZ_FILES", 120);
    let work = tempfile::tempdir().expect("a temporary folder");
    let from = root().join("pipelines");
    let pipelines = work.path().join("pipelines");
    fs::create_dir(&pipelines).expect("a folder");
    let mut seeds = Vec::new();
    let mut open = vec![from.clone()];
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).expect("pipelines").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                seeds.push(fs::read_to_string(path).expect("a pipeline"));
            }
        }
    }
    seeds.sort();
    std::os::unix::fs::symlink(from.join("quickstart"), pipelines.join("quickstart")).expect("models");
    std::os::unix::fs::symlink(root().join("tests"), work.path().join("tests")).expect("rows");
    let all = seeds.join("\n");
    let mut words: Vec<&str> = all.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').collect();
    words.retain(|word| word.len() > 1);
    words.sort_unstable();
    words.dedup();
    let mut random = Xorshift::new(0x9e37_79b9_7f4a_7c15);
    for run in 0..count {
        let seed = &seeds[random.below(seeds.len())];
        let file = if run % 4 == 3 { seed.clone() } else { mutated(&mut random, seed, &words) };
        fs::write(pipelines.join("p.yaml"), &file).expect("a pipeline");
        let mut arguments = vec!["check".to_owned(), "pipelines/p.yaml".to_owned()];
        for _ in 0..random.below(3) + usize::from(run % 4 == 3) {
            arguments.push(set_form(&mut random, &words));
        }
        // What passes is looked at further.
        for command in ["check", "plan"] {
            command.clone_into(&mut arguments[0]);
            let output = bounded(work.path(), &arguments);
            let said = text(&output.stderr);
            let fine = matches!(output.status.code(), Some(0..=2)) && !said.contains("panicked");
            assert!(fine, "run {run}: {:?}\n{said}\n{arguments:?}\n{file}", output.status);
            if !output.status.success() {
                break;
            }
        }
    }
}
