//! Starts the binary and compares what it leaves behind.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The workspace's root. Tests start in the folder of their package, `crates/cli`, wherever they were built.
pub fn root() -> PathBuf {
    Path::new("../..").canonicalize().expect("the workspace has a root")
}

/// The binary, started in `folder`.
pub fn retort(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retort"));
    command.current_dir(folder).env_remove("RETORT_ABORT_AT");
    command
}

/// Runs the binary with `arguments` in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    retort(folder).args(arguments).output().expect("the binary starts")
}

/// Runs it and insists that it succeeds; gives standard output and standard error.
pub fn succeed(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = run(folder, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {:?}\n{out}\n{err}", output.status);
    (out, err)
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The folder with large test data, or a loud word about its absence.
pub fn test_data(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("RETORT_TEST_DATA").map(PathBuf::from).filter(|folder| folder.is_dir());
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: set RETORT_TEST_DATA to the folder of test data");
    }
    found
}

/// Every file of a run's stages with its content, telemetry and what names it left out.
pub fn results(out: &Path, run: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let stages = std::fs::read_dir(out.join("runs").join(run)).expect("the run has a folder");
    for stage in stages.flatten().filter(|stage| stage.path().is_dir()) {
        let name = stage.file_name().to_string_lossy().into_owned();
        collect(&stage.path(), &name, &mut files);
    }
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a stage can be read").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name == "telemetry" || name == "manifest.json" {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{prefix}/{name}"), files);
        } else {
            files.insert(format!("{prefix}/{name}"), std::fs::read(&path).expect("a result can be read"));
        }
    }
}

/// Names of the files whose bytes differ.
pub fn differing(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}
