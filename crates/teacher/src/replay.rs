//! A teacher that repeats recorded answers.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use retort_records::{FinishReason, Message, Telemetry, completion};
use serde::Deserialize;
use serde_json::Value;

use crate::{Asking, Attempt, Failure, FailureKind, ReplaySettings, Reply, Request, Sampling, Teacher, TeacherError};

/// A JSONL file of recorded answers, one object a line:
///
/// - `prompt_id`, or `prompt` (exactly the text of the prompt's last user message), or both;
/// - `completion` (think tags included), or `reasoning` (also `thinking`) and `answer` (also `text`);
/// - `sample_index`, from 0; without it, lines of one prompt are numbered in the order of the file;
/// - `model` (also `teacher`): a line that names another model than the settings is skipped;
/// - `finish_reason` in any spelling that [`FinishReason::read`] knows, `prompt_tokens`, `completion_tokens`.
///
/// Other keys are ignored, so that rollouts written by Retort and most published ones can be replayed as they are. A
/// request is looked up by its `prompt_id` first and by its prompt text second. What is not recorded fails with
/// `not_recorded`. The file stays open; only the places of its lines are held in memory.
#[derive(Debug)]
pub struct Replay {
    model: String,
    path: PathBuf,
    by_id: HashMap<String, Vec<Place>>,
    by_text: HashMap<String, Vec<Place>>,
    file: Mutex<File>,
}

/// Where the line of one sample stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    sample_index: u32,
    offset: u64,
    length: usize,
}

#[derive(Deserialize)]
struct Line {
    prompt_id: Option<String>,
    prompt: Option<String>,
    sample_index: Option<u32>,
    #[serde(alias = "teacher")]
    model: Option<String>,
    completion: Option<String>,
    #[serde(alias = "thinking")]
    reasoning: Option<String>,
    answer: Option<String>,
    text: Option<String>,
    finish_reason: Option<Value>,
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
}

impl Line {
    fn into_reply(self) -> Reply {
        let completion = if let Some(completion) = self.completion {
            completion
        } else {
            let reasoning = self.reasoning.as_deref().map(str::trim).filter(|reasoning| !reasoning.is_empty());
            // `text` is the whole visible text where `answer` is only a final value.
            completion::join(reasoning, self.text.or(self.answer).unwrap_or_default().trim())
        };
        let parts = completion::split(&completion);
        Reply {
            reasoning: parts.reasoning.map(str::to_owned),
            answer: parts.answer.map(str::to_owned),
            finish_reason: self.finish_reason.map_or(FinishReason::Unknown, |reason| FinishReason::read_value(&reason)),
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            completion,
        }
    }
}

impl Replay {
    /// Reads where each answer stands in the file; a relative path starts at `root`.
    pub fn open(settings: &ReplaySettings, root: &Path) -> Result<Self, TeacherError> {
        if let Some(problem) = settings.problems().into_iter().next() {
            return Err(problem.into());
        }
        let path = root.join(&settings.replay);
        let unreadable = |source| TeacherError::RecordingFile { path: path.clone(), source };
        let mut reader = BufReader::new(File::open(&path).map_err(unreadable)?);
        let (mut by_id, mut by_text) = (HashMap::new(), HashMap::new());
        let (mut offset, mut number, mut bytes) = (0, 0, Vec::new());
        loop {
            bytes.clear();
            let length = reader.read_until(b'\n', &mut bytes).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            number += 1;
            let start = offset;
            offset += length as u64;
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let wrong = |reason: String| TeacherError::RecordingLine { path: path.clone(), line: number, reason };
            let line: Line = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
            if line.model.as_ref().is_some_and(|model| *model != settings.model) {
                continue;
            }
            if line.completion.is_none() && line.answer.is_none() && line.text.is_none() && line.reasoning.is_none() {
                return Err(wrong("no `completion`, `answer`, `text` or `reasoning`".into()));
            }
            if line.prompt_id.is_none() && line.prompt.is_none() {
                return Err(wrong("neither `prompt_id` nor `prompt`".into()));
            }
            for (key, places) in [(line.prompt_id, &mut by_id), (line.prompt, &mut by_text)] {
                if let Some(key) = key {
                    let places: &mut Vec<Place> = places.entry(key).or_default();
                    let sample_index = line.sample_index.unwrap_or(places.len() as u32);
                    places.push(Place { sample_index, offset: start, length });
                }
            }
        }
        if by_id.is_empty() && by_text.is_empty() {
            let reason = format!("no answers of model `{}`", settings.model);
            return Err(TeacherError::RecordingLine { path, line: number, reason });
        }
        Ok(Self { model: settings.model.clone(), file: Mutex::new(reader.into_inner()), path, by_id, by_text })
    }

    fn find(&self, request: &Request) -> Option<Place> {
        let text = last_user_message(&request.messages);
        let places = self.by_id.get(&request.prompt_id).or_else(|| self.by_text.get(text?));
        places?.iter().find(|place| place.sample_index == request.sample_index).copied()
    }

    fn read(&self, place: Place) -> Result<Reply, String> {
        let mut bytes = vec![0; place.length];
        {
            // A reader that panicked leaves only a position behind, which is set anew here.
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(place.offset)).map_err(|error| error.to_string())?;
            file.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        }
        let line: Line = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        Ok(line.into_reply())
    }

    fn repeat(&self, request: &Request) -> Attempt {
        let failure = |kind, drop_reason: &str, message| Failure { kind, drop_reason: drop_reason.into(), message };
        let result = if let Some(place) = self.find(request) {
            self.read(place).map_err(|reason| {
                let message = format!("`{}` changed while it was replayed: {reason}", self.path.display());
                failure(FailureKind::Fatal, "refused", message)
            })
        } else {
            let message = format!("no recorded sample {} of this prompt", request.sample_index);
            Err(failure(FailureKind::Request, "not_recorded", message))
        };
        let telemetry = Telemetry {
            rollout_id: request.rollout_id.clone(),
            prompt_id: request.prompt_id.clone(),
            endpoint: "replay".into(),
            attempts: 1,
            started_ms: 0,
            latency_ms: 0,
            cost: None,
        };
        Attempt { result, telemetry }
    }
}

fn last_user_message(messages: &[Message]) -> Option<&str> {
    messages.iter().rev().find(|message| message.role == "user").map(|message| message.content.as_str())
}

impl Teacher for Replay {
    fn name(&self) -> &str {
        &self.model
    }

    fn ask<'a>(&'a self, request: &'a Request, _: &'a Sampling) -> Asking<'a> {
        Box::pin(async { self.repeat(request) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(text: &str) -> Result<(tempfile::TempDir, Replay), String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jsonl"), text).unwrap();
        let settings = ReplaySettings { replay: "a.jsonl".into(), model: "m".into() };
        let replay = Replay::open(&settings, folder.path()).map_err(|error| error.to_string())?;
        Ok((folder, replay))
    }

    fn ask(replay: &Replay, prompt_id: &str, text: &str, sample_index: u32) -> Result<Reply, Failure> {
        let request = Request {
            rollout_id: "r".into(),
            prompt_id: prompt_id.into(),
            sample_index,
            messages: vec![Message { role: "system".into(), content: "s".into() }, Message::user(text)],
            beyond_text: None,
            seed: 0,
        };
        replay.repeat(&request).result
    }

    #[test]
    fn answers_are_found_by_id_and_by_text() {
        let (_folder, replay) = recording(concat!(
            "{\"prompt\":\"1+1?\",\"model\":\"m\",\"thinking\":\"so\",\"text\":\"2\",\"answer\":\"no\"}\n",
            "{\"prompt\":\"1+1?\",\"model\":\"other\",\"completion\":\"3\"}\n",
            "\n",
            "{\"prompt\":\"1+1?\",\"completion\":\"<think>a</think>b\",\"finish_reason\":\"length\",\"completion_tokens\":4}\n",
            "{\"prompt_id\":\"p\",\"sample_index\":7,\"completion\":\"seven\",\"finish_reason\":\"stop\",\"sample\":\"x\"}",
        ))
        .unwrap();
        let first = ask(&replay, "?", "1+1?", 0).unwrap();
        assert_eq!(
            (first.completion.as_str(), first.finish_reason),
            ("<think>\nso\n</think>\n\n2", FinishReason::Unknown)
        );
        let second = ask(&replay, "?", "1+1?", 1).unwrap();
        assert_eq!((second.completion.as_str(), second.finish_reason), ("<think>a</think>b", FinishReason::Length));
        assert_eq!((second.reasoning.as_deref(), second.completion_tokens), (Some("a"), Some(4)));
        assert_eq!(ask(&replay, "p", "whatever", 7).unwrap().answer.as_deref(), Some("seven"));
        assert_eq!(ask(&replay, "?", "1+1?", 2).unwrap_err().drop_reason, "not_recorded");
        assert_eq!(ask(&replay, "p", "whatever", 0).unwrap_err().drop_reason, "not_recorded");
    }

    #[test]
    fn a_bad_recording_is_named_by_its_line() {
        assert!(recording("{\"prompt\":\"a\",\"completion\":\"b\"}\n{\n").unwrap_err().contains("line 2"));
        assert!(recording("{\"completion\":\"b\"}\n").unwrap_err().contains("neither `prompt_id` nor `prompt`"));
        assert!(recording("{\"prompt\":\"b\"}\n").unwrap_err().contains("no `completion`"));
        assert!(recording("").unwrap_err().contains("no answers of model `m`"));
    }
}
