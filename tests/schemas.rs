//! The generated schemas in the repository are those of the code, and every shipped pipeline passes `check`.

use crate::binary::{root, succeed};

#[test]
fn schemas_are_current() {
    let fresh = tempfile::tempdir().expect("a temporary folder");
    succeed(fresh.path(), &["schema", "--write", "."]);
    let mut count = 0;
    for entry in std::fs::read_dir(fresh.path()).expect("the schemas were written").flatten() {
        let kept = std::fs::read_to_string(root().join("schemas").join(entry.file_name())).unwrap_or_default();
        let fresh = std::fs::read_to_string(entry.path()).expect("a schema can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(kept == fresh, "schemas/{name} is stale: cargo run --release -- schema --write schemas");
        count += 1;
    }
    let kept = std::fs::read_dir(root().join("schemas")).expect("schemas/ is there").flatten();
    let kept = kept.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json")).count();
    assert_eq!(kept, count, "schemas/ holds a file that nobody generates");
}

#[test]
fn every_shipped_pipeline_passes_check() {
    let mut folders = vec![root().join("pipelines")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("pipelines/ is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                succeed(&root(), &["check", &path.to_string_lossy()]);
                count += 1;
            }
        }
    }
    assert!(count > 0, "no pipeline was found");
}
