//! The walls between the crates hold, files stay small, names mean something, and no circle of imports grows.

use crate::binary::root;
use crate::imports::circles;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which crate may know which; drawn in `crates/README.md`.
const ALLOWED: [(&str, &[&str]); 16] = [
    ("records", &[]),
    ("training", &[]),
    ("report", &[]),
    ("weights", &[]),
    ("tables", &["records"]),
    ("chat", &["records"]),
    ("verify", &["records"]),
    ("curate", &["records"]),
    ("synthesize", &["records"]),
    ("teacher", &["records", "chat"]),
    ("handover", &["training"]),
    ("student", &["records", "chat", "weights", "training"]),
    ("local", &["records", "chat", "teacher", "weights", "student", "training"]),
    ("pipeline", &["records", "tables"]),
    (
        "stages",
        &[
            "records",
            "tables",
            "chat",
            "verify",
            "teacher",
            "curate",
            "weights",
            "training",
            "student",
            "local",
            "report",
            "synthesize",
            "handover",
            "pipeline",
        ],
    ),
    ("cli", &["pipeline", "stages", "local"]),
];

/// Heavy libraries and the one crate that may see each.
const WALLED: [(&str, &str); 5] = [
    ("burn", "student"),
    ("tokenizers", "chat"),
    ("reqwest", "teacher"),
    ("datafusion", "cluster"),
    ("ballista", "cluster"),
];

/// Lines of the longest file.
const LONGEST: usize = 600;

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
    let drawn = std::fs::read_to_string(root().join("crates/README.md")).expect("the architecture page can be read");
    for (name, dependencies) in packages {
        let name = name.trim_start_matches("retort-").to_owned();
        let row = drawn.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("crates/README.md says nothing about `{name}`"));
        let known = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        for dependency in dependencies {
            if let Some(inner) = dependency.strip_prefix("retort-") {
                assert!(allowed[name.as_str()].contains(&inner), "`{name}` must not know `{inner}`");
                assert!(known.contains(inner), "crates/README.md does not say that `{name}` knows `{inner}`");
            }
            for (library, home) in WALLED {
                let named = dependency == library || dependency.starts_with(&format!("{library}-"));
                assert!(!named || name == home, "only `{home}` may see `{library}`, not `{name}`");
            }
        }
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
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
        assert!(lines <= LONGEST, "{}: {lines} lines", file.display());
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let empty_words = ["utils", "common", "helpers", "misc", "base", "types"];
        assert!(!empty_words.contains(&name.as_str()), "{}: the name excludes nothing", file.display());
        assert_ne!(name, "mod", "{}: a module's file stands beside its folder", file.display());
    }
}

#[test]
fn no_circle_of_imports_has_more_than_two_files() {
    let mut large = BTreeMap::new();
    for (name, _) in ALLOWED {
        let source = root().join("crates").join(name).join("src");
        let mut files = Vec::new();
        rust_files(&source, &mut files);
        large.insert(name, circles(&source, &files).into_iter().filter(|circle| circle.len() > 2).collect::<Vec<_>>());
    }
    large.retain(|_, circles| !circles.is_empty());
    assert!(large.is_empty(), "files that import each other in circles: {large:#?}");
}
