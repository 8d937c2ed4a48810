//! Lines of JSON that a stage appends while it works. A crash can only cut the last line off; anything else that is wrong
//! with them was done by somebody, and nothing that is whole is given up for it.

use retort_pipeline::{PipelineError, shown};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What a damaged line means for those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Each line stands for itself.
    Whole,
    /// A line is known by its place, so those behind a damaged one are lost too.
    Lost,
}

/// The values of all lines of `path` and the bytes that they take: see [`each_line`].
pub fn read_lines<T: DeserializeOwned>(path: &Path, mend: bool, rest: Rest) -> Result<(Vec<T>, u64), PipelineError> {
    let mut lines = Vec::new();
    let bytes = each_line(path, mend, rest, |line, _| lines.push(line))?;
    Ok((lines, bytes))
}

/// Tells `each` the value and offset of every line of the file at `path`, if there is one, and gives the bytes that they
/// take. An unterminated last line is left out: who appends cuts it off first. Any other line that is no `T` is an error
/// with file and line; with `mend`, such lines are moved to a file of their own.
pub fn each_line<T: DeserializeOwned>(
    path: &Path,
    mend: bool,
    rest: Rest,
    mut each: impl FnMut(T, u64),
) -> Result<u64, PipelineError> {
    if mend && !walk(path, |_: Result<T, ()>, _| ())?.damaged.is_empty() {
        move_out::<T>(path, rest)?;
    }
    let Walked { bytes, damaged } = walk(path, |line, offset| {
        if let Ok(line) = line {
            each(line, offset);
        }
    })?;
    if let Some(first) = damaged.first() {
        let more = damaged.len() - 1;
        let more = if more > 0 { format!(" (and {more} more lines)") } else { String::new() };
        let what = match rest {
            Rest::Whole => "all other lines are kept and only those are done again",
            Rest::Lost => "the lines before it are kept and what follows is done again",
        };
        let reason = format!("`{}`, line {}: damaged{more}: {}", shown(path), first.number, first.reason);
        return Err(PipelineError::argument(reason).with_hint(format!(
            "run again with `--mend`: damaged lines are moved to `{}`, {what}",
            shown(&aside(path))
        )));
    }
    Ok(bytes)
}

/// The terminated lines of a file.
struct Walked {
    bytes: u64,
    damaged: Vec<Damaged>,
}

/// A line that holds no value.
struct Damaged {
    /// From 1.
    number: usize,
    reason: String,
}

/// Tells `each` of every terminated line and where it begins.
fn walk<T: DeserializeOwned>(path: &Path, mut each: impl FnMut(Result<T, ()>, u64)) -> Result<Walked, PipelineError> {
    let mut walked = Walked { bytes: 0, damaged: Vec::new() };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(walked),
        Err(error) => return Err(PipelineError::io("read", path)(error)),
    };
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    for number in 1.. {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(PipelineError::io("read", path))?;
        if !line.ends_with(b"\n") {
            break;
        }
        let value = serde_json::from_slice(&line);
        each(value.map_err(|error| walked.damaged.push(Damaged { number, reason: error.to_string() })), walked.bytes);
        walked.bytes += line.len() as u64;
    }
    Ok(walked)
}

/// Moves damaged lines to [`aside`]. The file with what is whole appears whole.
fn move_out<T: DeserializeOwned>(path: &Path, rest: Rest) -> Result<(), PipelineError> {
    let read = || -> std::io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut out = File::options().create(true).append(true).open(aside(path))?;
        let kept_path = path.with_extension("partial");
        let mut kept = File::create(&kept_path)?;
        let (mut line, mut whole) = (Vec::new(), true);
        while reader.read_until(b'\n', &mut line)? > 0 {
            let fits = line.ends_with(b"\n") && serde_json::from_slice::<T>(&line).is_ok();
            whole = fits && (whole || rest == Rest::Whole);
            let to = if whole { &mut kept } else { &mut out };
            to.write_all(&line)?;
            line.clear();
        }
        out.sync_all()?;
        kept.sync_all()?;
        std::fs::rename(kept_path, path)
    };
    read().map_err(PipelineError::io("mend", path))
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("damaged.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path, mend: bool, rest: Rest) -> Result<Vec<u32>, PipelineError> {
        Ok(read_lines(path, mend, rest)?.0)
    }

    #[test]
    fn only_a_last_line_without_its_end_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        assert_eq!(lines(&path, false, Rest::Whole).unwrap(), Vec::<u32>::new());
        std::fs::write(&path, "1\n2\n3").unwrap();
        assert_eq!(read_lines::<u32>(&path, false, Rest::Whole).unwrap(), (vec![1, 2], 4));
        for damaged in ["1\nx\n3\n", "1\n\n3\n", "1\n2\nx\n", "1\n\u{0}\u{0}\n3\n4"] {
            std::fs::write(&path, damaged).unwrap();
            let error = lines(&path, false, Rest::Whole).unwrap_err();
            assert!(error.to_string().contains("lines.jsonl`, line "), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("--mend")));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn mending_keeps_what_is_whole_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        std::fs::write(&path, "1\nx\n3\n4\n").unwrap();
        assert_eq!(lines(&path, true, Rest::Whole).unwrap(), [1, 3, 4]);
        std::fs::write(&path, "1\nx\n3\n4\n").unwrap();
        assert_eq!(lines(&path, true, Rest::Lost).unwrap(), [1]);
        assert_eq!(std::fs::read_to_string(folder.path().join("lines.damaged.jsonl")).unwrap(), "x\nx\n3\n4\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
    }
}
