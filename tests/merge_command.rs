//! `retort merge` on folders, by files of mergekit's.

use crate::binary::{root, run, succeed, text};

const HALVES: &str = "merge_method: linear\nmodels:\n- model: one\n  parameters: { weight: 0.5 }\n- model: two\n  parameters: { weight: 0.5 }\n";

#[test]
fn a_file_of_mergekits_makes_a_checkpoint_and_nothing_is_overwritten() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    for name in ["one", "two"] {
        let student = root().join("pipelines/quickstart/student");
        std::os::unix::fs::symlink(student, folder.join(name)).expect("a model can be pointed at");
    }
    std::fs::write(folder.join("m.yaml"), HALVES).expect("a merge file");
    let (table, _) = succeed(folder, &["merge", "m.yaml", "merged", "--dry-run"]);
    assert!(table.contains("lm_head.weight") || table.contains("model.embed_tokens.weight"), "{table}");
    assert!(table.lines().skip(1).all(|row| row.ends_with("1.0000")), "a model is as itself: {table}");
    assert!(!folder.join("merged").exists(), "a dry run writes nothing");

    succeed(folder, &["merge", "m.yaml", "merged"]);
    let weights = |name: &str| std::fs::read(folder.join(name).join("model.safetensors")).expect("weights");
    assert!(weights("merged") == weights("one"), "the average of a model and itself is the model");
    assert!(folder.join("merged/tokenizer_config.json").is_file());

    let again = run(folder, &["merge", "m.yaml", "merged"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("`merged` is there already"), "{}", text(&again.stderr));
    for (file, words) in [
        (HALVES.replace("two", "three"), "there is no folder `three`"),
        (HALVES.replace("weight", "density"), "`density` is not read by linear"),
        (HALVES.replace("linear", "fancy"), "fancy"),
    ] {
        std::fs::write(folder.join("wrong.yaml"), file).expect("a merge file");
        let wrong = run(folder, &["merge", "wrong.yaml", "other"]);
        assert_eq!(wrong.status.code(), Some(2));
        let said = text(&wrong.stderr);
        assert!(said.contains("wrong.yaml") && said.contains(words), "{said}");
    }
    let left: Vec<_> =
        std::fs::read_dir(folder).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 5, "one, two, merged and two files: {left:?}");
}
