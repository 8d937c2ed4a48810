//! `export`: files that other tools read, with a dataset card.

use super::hand_over::Recipes;
use super::rows::examples;
use super::{Context, Made};
use crate::error::PipelineError;
use crate::row_file::RowFile;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_curate::statistics::CorpusTable;
use retort_records::{Message, Pair, Row, SftExample, completion};
use retort_tables::file_digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::Write as _;

/// Writes training examples or preference pairs in the form another tool reads.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// A selection, training examples or preference pairs.
    pub data: Source,
    /// The columns.
    #[serde(default)]
    pub format: ExportFormat,
    /// The file type.
    #[serde(default)]
    pub file: ExportFile,
    /// What becomes of the reasoning.
    #[serde(default)]
    pub reasoning: ExportReasoning,
    /// Also write recipes with which TRL, axolotl and LLaMA-Factory train on this data, on many GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipes: Option<Recipes>,
}

/// The columns of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// TRL's conversational columns: `prompt` and `completion`, or `prompt`, `chosen` and `rejected`; lists of messages.
    #[default]
    Trl,
    /// OpenAI conversations: `messages`. For training examples only.
    Messages,
    /// ShareGPT: `conversations`, and `chosen` and `rejected` for preference pairs.
    Sharegpt,
}

/// The file type of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFile {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Parquet.
    Parquet,
}

impl ExportFile {
    /// How its name ends, which is also what `datasets` calls it.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

/// What becomes of the reasoning in an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportReasoning {
    /// It stays in the text, inside `<think>` and `</think>`.
    #[default]
    Inline,
    /// It is left out: only the answer remains.
    Drop,
}

macro_rules! exported {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        pub(crate) struct $name { $(pub(crate) $field: $type),+ }

        impl Row for $name {
            const TABLE: &'static str = "export";
            fn id(&self) -> &str { "" }
            fn prompt_id(&self) -> &str { "" }
        }
    };
}

pub(crate) use exported;

exported!(PromptCompletion { prompt: Vec<Message>, completion: Vec<Message> });
exported!(Preference { prompt: Vec<Message>, chosen: Vec<Message>, rejected: Vec<Message> });
exported!(Messages { messages: Vec<Message> });
exported!(Conversations { conversations: Vec<Turn> });
exported!(PreferenceConversations { conversations: Vec<Turn>, chosen: Turn, rejected: Turn });

/// One turn of a ShareGPT conversation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Turn {
    from: String,
    value: String,
}

impl From<&Message> for Turn {
    fn from(message: &Message) -> Self {
        let from = match message.role.as_str() {
            "user" => "human",
            "assistant" => "gpt",
            other => other,
        };
        Self { from: from.to_owned(), value: message.content.clone() }
    }
}

/// Where the recipes' held-out rows stand among the inputs.
pub(crate) const EVALUATED: &str = "/recipes/eval_data";

impl Export {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        let accepts: &[Kind] = match self.format {
            ExportFormat::Messages => &[Kind::Selection, Kind::Sft],
            ExportFormat::Trl | ExportFormat::Sharegpt => &[Kind::Selection, Kind::Sft, Kind::Pairs],
        };
        let mut inputs = vec![Input { pointer: "/data".into(), source: &self.data, accepts }];
        let held_out = self.recipes.iter().filter_map(Recipes::held_out);
        inputs.extend(held_out.map(|source| Input { pointer: EVALUATED.into(), source, accepts }));
        inputs
    }

    /// Files that decide what the recipes' rows are.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        self.recipes.iter().filter_map(Recipes::tokenizer_file).collect()
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let Some(recipes) = &self.recipes else { return Vec::new() };
        let mut problems = recipes.problems();
        for (pointer, _) in &mut problems {
            pointer.insert_str(0, "/recipes");
        }
        if self.reasoning == ExportReasoning::Drop {
            let message = "`recipes` train on the reasoning too: leave `reasoning: drop` out";
            problems.push(("/reasoning".into(), message.into()));
        }
        problems
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let input = context.input("data")?;
        context.started("export", None, "rows");
        let mut corpus = CorpusTable::default();
        let (rows, columns) = if input.manifest.tables.contains_key(Pair::TABLE) {
            let pairs = input.rows::<Pair>()?.map(|row| Ok(row?));
            match self.format {
                ExportFormat::Sharegpt => (
                    self.write(context, pairs, |pair| self.preference_conversations(pair))?,
                    "conversations, chosen, rejected",
                ),
                ExportFormat::Trl | ExportFormat::Messages => {
                    (self.write(context, pairs, |pair| self.preference(pair))?, "prompt, chosen, rejected")
                }
            }
        } else {
            let rows = examples(input)?.inspect(|row| {
                if let Ok(row) = row {
                    corpus.add_example(row);
                }
            });
            match self.format {
                ExportFormat::Trl => {
                    (self.write(context, rows, |example| self.prompt_completion(&example))?, "prompt, completion")
                }
                ExportFormat::Messages => {
                    (self.write(context, rows, |example| Messages { messages: self.messages(&example) })?, "messages")
                }
                ExportFormat::Sharegpt => {
                    (self.write(context, rows, |example| self.conversations(&example))?, "conversations")
                }
            }
        };
        let mut made = Made {
            facts: json!({ "rows_in": rows, "kept": rows }),
            summary: format!("{rows} rows with columns {columns} in {}", self.file_name()),
            ..Made::default()
        };
        made.files.push(file_digest(&context.out.path().join(self.file_name()), self.file_name())?);
        let card = self.card(context, rows, columns, &corpus);
        made.files.push(context.out.write_file("README.md", card.as_bytes())?);
        if let Some(recipes) = &self.recipes {
            recipes.write(context, self, input, &mut made)?;
        }
        Ok(made)
    }

    fn file_name(&self) -> &'static str {
        match self.file {
            ExportFile::Jsonl => "train.jsonl",
            ExportFile::Parquet => "train.parquet",
        }
    }

    fn write<T, U: Row>(
        &self,
        context: &Context<'_>,
        rows: impl Iterator<Item = Result<T, PipelineError>>,
        convert: impl Fn(T) -> U,
    ) -> Result<u64, PipelineError> {
        let mut file = RowFile::create(context.out, "train", self.file)?;
        let mut count = 0;
        for row in rows {
            file.push(convert(row?))?;
            count += 1;
            if count % 256 == 0 {
                context.advanced(count, "")?;
            }
        }
        file.finish()?;
        Ok(count)
    }

    pub(crate) fn conversations(&self, example: &SftExample) -> Conversations {
        Conversations { conversations: self.messages(example).iter().map(Turn::from).collect() }
    }

    pub(crate) fn preference_conversations(&self, pair: Pair) -> PreferenceConversations {
        let preference = self.preference(pair);
        PreferenceConversations {
            conversations: preference.prompt.iter().map(Turn::from).collect(),
            chosen: last_turn(&preference.chosen),
            rejected: last_turn(&preference.rejected),
        }
    }

    fn messages(&self, example: &SftExample) -> Vec<Message> {
        example
            .messages
            .iter()
            .map(|message| {
                let reasoning = message.reasoning.as_deref().filter(|_| self.reasoning == ExportReasoning::Inline);
                Message { role: message.role.clone(), content: completion::join(reasoning, &message.content) }
            })
            .collect()
    }

    /// Everything before the last message is the prompt.
    fn prompt_completion(&self, example: &SftExample) -> PromptCompletion {
        let mut prompt = self.messages(example);
        let completion = prompt.pop().into_iter().collect();
        PromptCompletion { prompt, completion }
    }

    fn preference(&self, pair: Pair) -> Preference {
        let side = |text: String| {
            let answer = completion::split(&text).answer.unwrap_or_default().to_owned();
            vec![Message::assistant(if self.reasoning == ExportReasoning::Inline { text } else { answer })]
        };
        Preference { prompt: pair.prompt, chosen: side(pair.chosen), rejected: side(pair.rejected) }
    }

    fn card(&self, context: &Context<'_>, rows: u64, columns: &str, corpus: &CorpusTable) -> String {
        let size = match rows {
            0..1_000 => "n<1K",
            1_000..10_000 => "1K<n<10K",
            10_000..100_000 => "10K<n<100K",
            100_000..1_000_000 => "100K<n<1M",
            _ => "n>1M",
        };
        let mut card = format!(
            "---\nconfigs:\n- config_name: default\n  data_files: {file}\nsize_categories:\n- {size}\ntask_categories:\n\
             - text-generation\ntags:\n- retort\n- reasoning\n---\n\n# {stage}\n\n{rows} rows with the columns {columns}, \
             written by Retort {version} from stage `{from}`.\n\n```python\nfrom datasets import load_dataset\n\n\
             data = load_dataset(\"json\", data_files=\"{file}\", split=\"train\")\n```\n",
            file = self.file_name(),
            stage = context.stage,
            version = env!("CARGO_PKG_VERSION"),
            from = self.data.as_str(),
        );
        if self.file == ExportFile::Parquet {
            card = card.replace("load_dataset(\"json\"", "load_dataset(\"parquet\"");
        }
        if !corpus.rows().is_empty() {
            let _ = write!(card, "\n{}\n", corpus.to_text());
        }
        card.push_str(
            "\nThe licence of the data is that of the prompts and of the teacher's terms; check both before you publish it.\n",
        );
        card
    }
}

fn last_turn(messages: &[Message]) -> Turn {
    messages.last().map_or_else(|| Turn { from: "gpt".into(), value: String::new() }, Turn::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_pair_becomes_trl_rows_with_and_without_reasoning() {
        let pair = Pair {
            pair_id: "p".into(),
            prompt_id: "q".into(),
            chosen_rollout_id: "a".into(),
            rejected_rollout_id: "b".into(),
            pair_kind: "correct_longer".into(),
            domain: "math".into(),
            prompt: vec![Message::user("1+1=")],
            chosen: "<think>\nx\n</think>\n\n2".into(),
            rejected: "<think>\nxyz\n</think>\n\n2".into(),
            chosen_tokens: 1,
            rejected_tokens: 2,
        };
        let mut export = Export {
            data: Source("pairs".into()),
            format: ExportFormat::Trl,
            file: ExportFile::Jsonl,
            reasoning: ExportReasoning::Inline,
            recipes: None,
        };
        let row: Value = serde_json::to_value(export.preference(pair.clone())).unwrap();
        assert_eq!(row["chosen"][0]["content"], "<think>\nx\n</think>\n\n2");
        export.reasoning = ExportReasoning::Drop;
        let row: Value = serde_json::to_value(export.preference(pair)).unwrap();
        assert_eq!(row["rejected"][0], json!({"role": "assistant", "content": "2"}));
        assert_eq!(row["prompt"][0]["role"], "user");
    }
}
