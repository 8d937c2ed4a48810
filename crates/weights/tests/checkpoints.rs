//! Reading and writing of real folders.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // helpers of tests; skipping must be seen

use std::borrow::Cow;
use std::path::Path;

use retort_weights::{Checkpoint, Dtype, Error, TensorShape, copy_companions, end_of_sequence_ids, write_checkpoint};

fn shape(name: &str, shape: &[usize]) -> TensorShape {
    TensorShape { name: name.to_owned(), shape: shape.to_vec() }
}

fn write_two(dir: &Path, dtype: Dtype, most: Option<usize>) {
    let (a, b) = ([1.0, -2.5, 3.25, 1e-3], [0.1, 0.2]);
    let config = serde_json::json!({"model_type": "llama", "eos_token_id": 2});
    write_checkpoint(dir, &config, &[shape("b", &[2]), shape("a", &[2, 2])], dtype, most, |name| {
        Ok(Cow::Borrowed(if name == "a" { &a[..] } else { &b[..] }))
    })
    .unwrap();
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, most) in [("one", None), ("two", Some(16))] {
        let path = dir.path().join(folder);
        write_two(&path, Dtype::Float32, most);
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(checkpoint.tensor_f32("a").unwrap(), (vec![2, 2], vec![1.0, -2.5, 3.25, 1e-3]));
        assert_eq!(checkpoint.tensor_f32("b").unwrap().1, [0.1, 0.2]);
        assert!(matches!(checkpoint.tensor_f32("c"), Err(Error::NoTensor { .. })));
        assert_eq!(checkpoint.parameters(), 6);
    }
    assert!(dir.path().join("two/model-00002-of-00002.safetensors").is_file());
}

#[test]
fn bfloat16_rounds_to_nearest() {
    let dir = tempfile::tempdir().unwrap();
    write_two(dir.path(), Dtype::Bfloat16, None);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.tensor_f32("b").unwrap().1, [0.100097656, 0.20019531]);
    assert_eq!(checkpoint.config_json()["torch_dtype"], "bfloat16");
}

#[test]
fn equal_weights_give_equal_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_two(a.path(), Dtype::Float32, None);
    write_two(b.path(), Dtype::Float32, None);
    let read = |dir: &Path| std::fs::read(dir.join("model.safetensors")).unwrap();
    assert_eq!(read(a.path()), read(b.path()));
    let header = String::from_utf8_lossy(&read(a.path())[8..48]).into_owned();
    assert!(header.starts_with(r#"{"__metadata__":{"format":"pt"},"#), "{header}");
}

#[test]
fn pickled_weights_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), "{}").unwrap();
    std::fs::write(dir.path().join("pytorch_model.bin"), "x").unwrap();
    let text = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("pytorch_model.bin") && text.contains("safetensors"), "{text}");
}

#[test]
fn a_truncated_file_is_malformed() {
    let dir = tempfile::tempdir().unwrap();
    write_two(dir.path(), Dtype::Float32, None);
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    assert!(matches!(Checkpoint::open(dir.path()), Err(Error::Malformed { .. })));
}

#[test]
fn end_of_sequence_is_one_id_or_a_list() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), r#"{"eos_token_id": 7}"#).unwrap();
    assert_eq!(end_of_sequence_ids(dir.path()).unwrap(), [7]);
    std::fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": [8, 9]}"#).unwrap();
    assert_eq!(end_of_sequence_ids(dir.path()).unwrap(), [8, 9]);
    let copy = tempfile::tempdir().unwrap();
    assert_eq!(copy_companions(dir.path(), copy.path()).unwrap(), ["generation_config.json"]);
}

#[test]
fn a_writer_wants_what_was_announced() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        retort_weights::CheckpointWriter::create(dir.path(), &[shape("a", &[2])], Dtype::Float32, None).unwrap();
    assert!(writer.write("b", &[0.0, 0.0]).is_err());
    let writer =
        retort_weights::CheckpointWriter::create(dir.path(), &[shape("a", &[2])], Dtype::Float32, None).unwrap();
    assert!(writer.finish().is_err());
}
