//! Rows of other people's files to rows of ours: finds the values of a row, and reads its prompt.

use super::evidence::at;
use super::layout::{Becomes, Format, ImportColumn, NONE, RowLayout};
use super::layouts::{BEYOND_TEXT, Layout, Reference};
use super::turns::{Turn, turns_of};
use super::unusable::{Unusable, keys, kind_of, listed};
use super::usage::Usage;
use super::values::{answers, non_empty, text_of};
use retort_records::{BeyondText, MEDIA, Pair, Prompt, Rollout, SftExample, id_of};
use serde_json::{Map, Value};
use std::cell::RefCell;

/// What one row became.
pub enum Imported {
    Prompt(Prompt),
    /// A prompt and its rollouts; a rollout that cannot be used comes with the reason.
    Rollouts(Prompt, Vec<Result<Rollout, Unusable>>),
    Example(SftExample),
    Pair(Pair),
}

/// Reads rows, and keeps count of what was read as what.
pub struct RowReader<'a> {
    settings: RowLayout<'a>,
    becomes: Becomes,
    usage: RefCell<Usage<'a>>,
}

impl<'a> RowReader<'a> {
    /// Reads rows that become `becomes`.
    pub fn new(settings: RowLayout<'a>, becomes: Becomes) -> Self {
        Self { settings, becomes, usage: RefCell::new(Usage::new(settings.columns)) }
    }

    /// What the row becomes, or why it cannot be used; `source` names its file.
    pub fn read(&self, row: &Value, source: &str) -> Result<Imported, Unusable> {
        let Some(columns) = row.as_object() else {
            return Err(("not_object", format!("the row is {}, not an object", kind_of(row))));
        };
        let put_back = own_column(columns);
        let row = put_back.as_ref().unwrap_or(row);
        let layout = Layout::of(self.settings.format, row, self.becomes);
        {
            let mut usage = self.usage.borrow_mut();
            usage.saw(put_back.as_ref().and_then(Value::as_object).unwrap_or(columns).keys());
            usage.read_as(layout.name);
            usage.look_for_written(|path| at(row, path).is_some());
        }
        let row = Row { settings: &self.settings, becomes: self.becomes, layout, row, usage: &self.usage };
        match self.becomes {
            Becomes::Prompts => Ok(Imported::Prompt(row.prompt(source)?.prompt)),
            Becomes::Rollouts => row.rollouts(source),
            Becomes::Sft => row.example(source),
            Becomes::Pairs => row.pair(source),
        }
    }

    /// What was read as what.
    pub fn into_usage(self) -> Usage<'a> {
        self.usage.into_inner()
    }

    /// Notes columns that a file has, of which some are never read.
    pub fn saw_columns<'n>(&self, names: impl Iterator<Item = &'n String>) {
        self.usage.borrow_mut().saw(names);
    }

    /// Whether a column of this name is read.
    pub fn used(&self, name: &str) -> bool {
        self.usage.borrow().used(name)
    }
}

/// One row, and the names under which its values stand.
pub struct Row<'r, 'a> {
    pub settings: &'r RowLayout<'a>,
    becomes: Becomes,
    pub layout: &'static Layout,
    pub row: &'r Value,
    usage: &'r RefCell<Usage<'a>>,
}

/// A prompt with the assistant's turns that follow it in the row.
pub struct Asked {
    pub prompt: Prompt,
    /// The turns of the prompt.
    pub turns: Vec<Turn>,
    /// What the assistant said at the end of the conversation.
    pub reply: Vec<Turn>,
    /// Tools and files that stand beside the conversation.
    pub beside: Map<String, Value>,
}

impl<'r, 'a> Row<'r, 'a> {
    /// The names under which `column` is looked for: the user's, else the layout's. What the user calls one thing is not taken
    /// for another.
    fn names(&self, column: ImportColumn) -> Vec<&'a str> {
        if !self.becomes.columns().contains(&column) {
            return Vec::new();
        }
        match self.settings.columns.get(&column) {
            Some(path) if path == NONE => Vec::new(),
            Some(path) => vec![path],
            None => self.unclaimed(self.layout.names(column)),
        }
    }

    /// The names that the user gave to nothing else.
    pub fn unclaimed(&self, names: &'static [&'static str]) -> Vec<&'a str> {
        names.iter().copied().filter(|name| !self.settings.columns.values().any(|path| path == name)).collect()
    }

    /// Whether the user says where `column` stands.
    pub fn written(&self, column: ImportColumn) -> bool {
        self.settings.columns.contains_key(&column)
    }

    /// The first value within `within` under one of the names of `column` that `take` can use.
    pub fn first<'v, T>(
        &self,
        within: &'v Value,
        column: ImportColumn,
        take: impl FnMut(&'v Value) -> Option<T>,
    ) -> Option<T> {
        self.first_of(&self.names(column), within, column, take)
    }

    /// [`Self::first`] under other names than the column's own.
    pub fn first_of<'v, T>(
        &self,
        names: &[&'a str],
        within: &'v Value,
        column: ImportColumn,
        mut take: impl FnMut(&'v Value) -> Option<T>,
    ) -> Option<T> {
        names.iter().find_map(|name| {
            let found = take(at(within, name).filter(|value| !value.is_null())?)?;
            self.usage.borrow_mut().took(column, name);
            Some(found)
        })
    }

    /// The first value of `column` in the row that is not null.
    pub fn find(&self, column: ImportColumn) -> Option<&'r Value> {
        self.first(self.row, column, Some)
    }

    /// The text of `column`.
    pub fn text(&self, column: ImportColumn) -> Option<String> {
        self.first(self.row, column, text_of)
    }

    /// Lets `note` write down what was met.
    pub fn note(&self, note: impl FnOnce(&mut Usage<'a>)) {
        note(&mut self.usage.borrow_mut());
    }

    /// The prompt of the row and what follows it.
    pub fn prompt(&self, source: &str) -> Result<Asked, Unusable> {
        let Some(value) = self.find(ImportColumn::Prompt) else {
            if self.layout.name.starts_with("OpenAI batch") {
                return Err((
                    "no_prompt",
                    "a batch output holds no prompts: put each request's `messages` into its row (join by `custom_id`)"
                        .into(),
                ));
            }
            let names = self.names(ImportColumn::Prompt);
            return Err(("no_prompt", format!("no column {}; found {}", listed(names), keys(self.row))));
        };
        let turns = turns_of(value, "user")?;
        if turns.is_empty() {
            return Err(("no_prompt", "the prompt is empty".into()));
        }
        self.asked(turns, source)
    }

    /// The prompt that consists of `turns`, with what stands beside it in the row.
    pub fn asked(&self, mut turns: Vec<Turn>, source: &str) -> Result<Asked, Unusable> {
        if let Some(input) = self.text(ImportColumn::Input).as_deref().and_then(non_empty)
            && let Some(turn) = turns.last_mut().filter(|turn| turn.role == "user")
        {
            turn.content = format!("{}\n{input}", turn.content);
        }
        if let Some(history) = self.find(ImportColumn::History) {
            let mut earlier = history_of(history)?;
            earlier.append(&mut turns);
            turns = earlier;
        }
        if let Some(system) = self.text(ImportColumn::System).as_deref().and_then(non_empty)
            && turns.first().is_none_or(|turn| turn.role != "system")
        {
            turns.insert(0, Turn::new("system", system));
        }
        let beside = self.no_text(&turns);
        // A conversation that ends with the assistant asks up to there.
        let ends = turns.iter().rposition(|turn| !turn.by_assistant()).map_or(0, |last| last + 1);
        let reply = turns.split_off(ends);
        if turns.is_empty() {
            return Err(("no_prompt", "the conversation has no message before the assistant's".into()));
        }
        let messages: Vec<_> = turns.iter().map(Turn::message).collect();
        let beyond_text = beyond_text(&beside, &turns);
        let texts = messages.iter().flat_map(|message| [message.role.as_bytes(), message.content.as_bytes()]);
        let parts: Vec<&[u8]> = texts.chain(beyond_text.iter().map(String::as_bytes)).collect();
        let prompt = Prompt {
            prompt_id: id_of("prompt", &parts),
            ordinal: 0,
            reference_answer: self.reference_answer()?,
            domain: self.text(ImportColumn::Domain).or_else(|| self.settings.domain.map(str::to_owned)).unwrap_or_else(
                || match self.settings.format {
                    Format::Gsm8k | Format::Math => "math".into(),
                    _ => "general".into(),
                },
            ),
            source: source.to_owned(),
            source_id: self.text(ImportColumn::SourceId),
            language: self.text(ImportColumn::Language).or_else(|| self.settings.language.map(str::to_owned)),
            tests: self.find(ImportColumn::Tests).map(|tests| match tests {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
            messages,
            beyond_text,
        };
        Ok(Asked { prompt, turns, reply, beside })
    }

    /// What stands beside the conversation and is no text: the tools, and the files that marks in its text stand for.
    fn no_text(&self, turns: &[Turn]) -> Map<String, Value> {
        let filled = |value: &Value| match value {
            Value::Array(items) => !items.is_empty(),
            Value::String(text) => !matches!(text.trim(), "" | "[]" | "null"),
            Value::Object(object) => !object.is_empty(),
            _ => false,
        };
        let mut beside = Map::new();
        let tools = self.first(self.row, ImportColumn::Tools, |value| filled(value).then(|| value.clone()));
        beside.extend(tools.map(|tools| ("tools".to_owned(), tools)));
        let shown = |mark: &str| {
            turns
                .iter()
                .any(|turn| turn.content.contains(mark) || turn.beyond.get("content").is_some_and(Value::is_array))
        };
        for name in self.names(ImportColumn::Media) {
            let mark = MARKS.iter().find(|(kind, _)| name.contains(kind)).map_or("<image>", |(_, mark)| mark);
            let take = |value: &Value| (filled(value) && shown(mark)).then(|| value.clone());
            if let Some(media) = self.first_of(&[name], self.row, ImportColumn::Media, take) {
                let key = MEDIA.into_iter().find(|key| *key == name).unwrap_or("images");
                beside.insert(key.to_owned(), media);
            }
        }
        beside
    }

    fn reference_answer(&self) -> Result<Option<String>, Unusable> {
        let mut wrong = None;
        let found = self.first(self.row, ImportColumn::ReferenceAnswer, |value| match answers(value) {
            Ok(found) => Some(found),
            Err(reason) => {
                wrong.get_or_insert(reason);
                None
            }
        });
        if let (None, Some(reason)) = (&found, wrong) {
            return Err(("reference_unreadable", reason));
        }
        let mut given: Vec<String> = found.unwrap_or_default();
        if let Some(pattern) = self.settings.answer_pattern {
            given = given.iter().filter_map(|text| after(text, pattern)).collect();
        } else {
            given = match self.layout.reference {
                Reference::Whole => given,
                // A GSM8K answer without its mark is already the final number.
                Reference::AfterMark => given
                    .iter()
                    .filter_map(|text| if text.contains("####") { after(text, "####") } else { non_empty(text) })
                    .collect(),
                Reference::LastBoxed => given
                    .iter()
                    .filter_map(|text| retort_verify::last_boxed(text).map_or_else(|| non_empty(text), non_empty))
                    .collect(),
            };
        }
        let math = self.settings.format == Format::Math && matches!(self.becomes, Becomes::Prompts | Becomes::Rollouts);
        if given.is_empty() && math && !self.written(ImportColumn::ReferenceAnswer) {
            let solution = self.first_of(&["solution"], self.row, ImportColumn::ReferenceAnswer, text_of);
            return Ok(solution.as_deref().and_then(retort_verify::last_boxed).and_then(non_empty));
        }
        Ok(match given.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => {
                self.note(|usage| usage.alternatives += 1);
                Some(Value::from(several).to_string())
            }
        })
    }
}

/// A row of our own with what is beyond text where others have it.
fn own_column(columns: &Map<String, Value>) -> Option<Value> {
    let beyond = BeyondText::read(columns.get(BEYOND_TEXT)?.as_str()?)?;
    let mut row = columns.clone();
    row.shift_remove(BEYOND_TEXT);
    beyond.put_back(&mut row);
    Some(Value::Object(row))
}

/// The marks that stand for files in a text, by what the columns of these files are called.
const MARKS: [(&str, &str); 3] = [("image", "<image>"), ("video", "<video>"), ("audio", "<audio>")];

/// What a conversation holds beyond text, for its table.
pub fn beyond_text<'t>(beside: &Map<String, Value>, turns: impl IntoIterator<Item = &'t Turn>) -> Option<String> {
    let messages = turns.into_iter().map(|turn| turn.beyond.clone()).collect();
    BeyondText { row: beside.clone(), messages }.written()
}

/// What follows the last `pattern`.
fn after(text: &str, pattern: &str) -> Option<String> {
    text.rfind(pattern).and_then(|at| non_empty(&text[at + pattern.len()..]))
}

/// Earlier turns as Alpaca has them: pairs of what the user and the assistant said.
fn history_of(value: &Value) -> Result<Vec<Turn>, Unusable> {
    let unreadable = || ("history_unreadable", "`history` is no list of pairs of texts".to_owned());
    let mut turns = Vec::new();
    for pair in value.as_array().ok_or_else(unreadable)? {
        let texts: Option<Vec<&str>> = pair.as_array().map(|pair| pair.iter().filter_map(Value::as_str).collect());
        match texts.as_deref() {
            Some([said, replied]) => turns.extend([Turn::new("user", *said), Turn::new("assistant", *replied)]),
            _ => return Err(unreadable()),
        }
    }
    Ok(turns)
}
