//! The walls between the crates hold, files stay small, names mean something.

use crate::binary::root;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Which crate may know which. `pipeline` joins all; `cli` knows only it.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("records", &[]),
    ("tables", &["records"]),
    ("chat", &["records"]),
    ("verify", &["records"]),
    ("teacher", &["records", "chat"]),
    ("curate", &["records"]),
    ("weights", &[]),
    ("training", &[]),
    ("student", &["records", "chat", "weights", "training"]),
    ("synthesize", &["records"]),
    ("report", &[]),
    ("handover", &["training"]),
    (
        "pipeline",
        &[
            "records",
            "tables",
            "chat",
            "verify",
            "teacher",
            "curate",
            "weights",
            "student",
            "training",
            "synthesize",
            "report",
        ],
    ),
    ("cli", &["pipeline"]),
];

/// Heavy libraries and the one crate that may see each.
const WALLED: [(&str, &str); 4] =
    [("burn", "student"), ("datafusion", "tables"), ("ballista", "tables"), ("reqwest", "teacher")];

fn packages() -> Vec<(String, Vec<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|package| {
            let normal = package["dependencies"].as_array().into_iter().flatten().filter(|d| d["kind"].is_null());
            (words(&package["name"]), normal.map(|dependency| words(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn crates_know_only_whom_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let packages = packages();
    assert_eq!(packages.len(), ALLOWED.len(), "a crate came or went: {packages:?}");
    for (name, dependencies) in packages {
        let name = name.trim_start_matches("retort-").to_owned();
        for dependency in dependencies {
            if let Some(inner) = dependency.strip_prefix("retort-") {
                assert!(allowed[name.as_str()].contains(&inner), "`{name}` must not know `{inner}`");
            }
            for (library, home) in WALLED {
                let named = dependency == library || dependency.starts_with(&format!("{library}-"));
                assert!(!named || name == home, "only `{home}` may see `{library}`, not `{name}`");
            }
        }
    }
}

fn rust_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_are_small_and_their_names_exclude_something() {
    let mut files = Vec::new();
    for folder in ["crates", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50, "the sources were not found");
    for file in files {
        let lines = std::fs::read_to_string(&file).expect("a source can be read").lines().count();
        assert!(lines <= 800, "{}: {lines} lines", file.display());
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let empty_words = ["utils", "common", "helpers", "misc", "base", "types"];
        assert!(!empty_words.contains(&name.as_str()), "{}: the name excludes nothing", file.display());
    }
}
