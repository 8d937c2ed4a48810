//! The layouts that rows of others come in: one entry of [`LAYOUTS`] each, from which rows are read and `retort explain
//! import` is written.

use super::evidence::Evidence::{self, Flag, Has, Lacks, List, Marked, NoReply, Object, Replied, Text, Transcript};
use super::layout::Becomes::{self, Pairs, Prompts, Rollouts, Sft};
use super::layout::Format;
use super::layout::ImportColumn::{
    self, Chosen, Complete, Completion, CompletionTokens, Domain, FinishReason, History, Input, Label, Language, Media,
    Prompt, Reasoning, ReferenceAnswer, Rejected, Samples, SourceId, System, Teacher, Tests, Tools,
};
use retort_records::MEDIA;
use serde_json::Value;

/// One way in which rows are laid out.
#[derive(Debug)]
pub struct Layout {
    /// What people call it.
    pub name: &'static str,
    /// What its rows can become.
    pub becomes: &'static [Becomes],
    /// What a row must show, all of it.
    pub evidence: &'static [Evidence],
    /// What its columns are read as, the first that a row has; columns that are not named here are read by their
    /// [`usual`] names.
    pub columns: &'static [(ImportColumn, &'static [&'static str])],
    /// How the reference answer stands in its column.
    pub reference: Reference,
}

/// How the reference answer stands in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// As it is.
    Whole,
    /// After the last `####`.
    AfterMark,
    /// In the last `\boxed{}`, or as it is where there is none.
    LastBoxed,
}

/// Columns in which completions usually stand.
const COMPLETIONS: &[&str] = &[
    "completion",
    "full",
    "text",
    "response",
    "generation",
    "output",
    "model_output",
    "generated_text",
    "answer_text",
    "samples",
    "completions",
    "generations",
    "responses",
    "outputs",
    "choices",
];
const CONVERSATIONS: &[&str] = &["messages", "conversations", "conversation", "dialogue", "dialog", "items"];
const REASONING: &[&str] = &[
    "reasoning",
    "reasoning_content",
    "thinking",
    "thought",
    "thoughts",
    "reasoning_text",
    "chain_of_thought",
    "cot",
    "think",
    "thinking_content",
    "reasoning_trace",
    "reasoning_process",
    "thinking_process",
    "thinking_trajectory",
    "message.reasoning_content",
    "message.reasoning",
];
const ALL: &[Becomes] = &[Prompts, Rollouts, Sft, Pairs];

/// All of them, the more particular before the more general.
pub const LAYOUTS: &[Layout] = &[
    Layout {
        name: "OpenAI batch output",
        becomes: &[Prompts, Rollouts],
        evidence: &[Has(&["response.body", "response.status_code"])],
        columns: &[
            (Prompt, &["request.body.messages", "body.messages", "request.body.input", "messages", "prompt"]),
            (Samples, &["response.body.choices"]),
            (CompletionTokens, &["response.body.usage.completion_tokens"]),
            (Teacher, &["response.body.model"]),
            (SourceId, &["custom_id"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "vLLM outputs",
        becomes: &[Prompts, Rollouts],
        evidence: &[List(&["outputs"]), Has(&["outputs.0.text"])],
        columns: &[
            (Prompt, &["prompt", "messages"]),
            (Samples, &["outputs"]),
            (Completion, &["text"]),
            (CompletionTokens, &["token_ids"]),
            (SourceId, &["id", "request_id"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "SGLang outputs",
        becomes: &[Prompts, Rollouts],
        evidence: &[Object(&["meta_info"]), Has(&["text"])],
        columns: &[
            (Completion, &["text"]),
            (FinishReason, &["meta_info.finish_reason"]),
            (CompletionTokens, &["meta_info.completion_tokens"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "lm-eval samples",
        becomes: &[Prompts, Rollouts],
        evidence: &[List(&["resps"]), Object(&["doc"])],
        columns: &[
            (
                Prompt,
                &[
                    "doc.question",
                    "doc.problem",
                    "doc.Question",
                    "doc.query",
                    "doc.prompt",
                    "arguments.0.0",
                    "arguments.gen_args_0.arg_0",
                ],
            ),
            (ReferenceAnswer, &["target"]),
            (Samples, &["resps.0"]),
            (SourceId, &["doc_id"]),
        ],
        reference: Reference::AfterMark,
    },
    Layout {
        name: "verl rollouts",
        becomes: &[Prompts, Rollouts],
        evidence: &[Has(&["gts"]), Has(&["input"]), Has(&["output"])],
        columns: &[(Prompt, &["input"]), (Completion, &["output"]), (ReferenceAnswer, &["gts"])],
        reference: Reference::Whole,
    },
    Layout {
        name: "verl rows",
        becomes: &[Prompts, Rollouts],
        evidence: &[Has(&["reward_model.ground_truth"])],
        columns: &[(ReferenceAnswer, &["reward_model.ground_truth"]), (Domain, &["domain", "ability"])],
        reference: Reference::Whole,
    },
    Layout {
        name: "OpenR1 generations",
        becomes: &[Prompts, Rollouts],
        evidence: &[
            List(&["generations"]),
            Has(&["finish_reasons", "is_reasoning_complete", "correctness_math_verify", "correctness_count"]),
        ],
        columns: &[
            (Prompt, &["problem", "prompt", "question"]),
            (Samples, &["generations"]),
            (FinishReason, &["finish_reasons", "finish_reason"]),
            (Complete, &["is_reasoning_complete"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "s1K attempts",
        becomes: &[Prompts, Rollouts, Sft],
        evidence: &[Has(&["deepseek_attempt", "gemini_attempt", "attempt"])],
        columns: &[
            (Prompt, &["question", "problem"]),
            (Reasoning, &["deepseek_thinking_trajectory", "gemini_thinking_trajectory", "thinking_trajectories.0"]),
            (Completion, &["deepseek_attempt", "gemini_attempt", "attempt"]),
            (ReferenceAnswer, &["answer", "solution"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "OpenThoughts metadata",
        becomes: &[Prompts, Rollouts, Sft],
        evidence: &[Has(&["deepseek_solution"])],
        columns: &[
            (Prompt, &["problem", "question"]),
            (Reasoning, &["deepseek_reasoning"]),
            (Completion, &["deepseek_solution"]),
            (ReferenceAnswer, &["ground_truth_solution", "answer"]),
            (Tests, &["test_cases"]),
        ],
        reference: Reference::LastBoxed,
    },
    Layout {
        name: "OpenMathReasoning",
        becomes: &[Prompts, Rollouts, Sft],
        evidence: &[Has(&["generated_solution"])],
        columns: &[
            (Prompt, &["problem", "question"]),
            (Completion, &["generated_solution"]),
            (Teacher, &["generation_model"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "Nemotron post-training",
        becomes: &[Prompts, Rollouts, Sft],
        evidence: &[Has(&["input"]), Has(&["output"]), Has(&["system_prompt", "generator", "used_in_training"])],
        columns: &[
            (Prompt, &["input"]),
            (Input, &[]),
            (System, &["system_prompt", "system"]),
            (Reasoning, &[]),
            (Completion, &["output"]),
            (Domain, &["domain", "category"]),
            (Teacher, &["teacher", "model", "generator"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "medical-o1",
        becomes: &[Prompts, Rollouts, Sft],
        evidence: &[Has(&["Complex_CoT"]), Has(&["Response"])],
        columns: &[(Prompt, &["Question"]), (Reasoning, &["Complex_CoT"]), (Completion, &["Response"])],
        reference: Reference::Whole,
    },
    Layout {
        name: "AM conversations",
        becomes: &[Prompts, Rollouts, Sft],
        evidence: &[Object(&["messages.0.info"])],
        columns: &[
            (Prompt, &["messages"]),
            (ReferenceAnswer, &["messages.0.info.reference_answer"]),
            (Tests, &["messages.0.info.test_case"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "reasoning beside an answer (Dolphin-R1)",
        becomes: &[Rollouts, Sft],
        evidence: &[Text(REASONING), Has(&["answer"]), Lacks(COMPLETIONS), NoReply(CONVERSATIONS)],
        columns: &[
            (Completion, &["answer"]),
            (ReferenceAnswer, &["reference_answer", "expected_answer", "final_answer", "ground_truth"]),
        ],
        reference: Reference::Whole,
    },
    Layout {
        name: "HH transcripts",
        becomes: &[Pairs],
        evidence: &[Transcript(&["chosen"]), Lacks(&["prompt"])],
        columns: &[(Prompt, &[])],
        reference: Reference::Whole,
    },
    Layout {
        name: "preference rows, the prompt within (TRL implicit, UltraFeedback)",
        becomes: &[Pairs],
        evidence: &[Replied(&["chosen"]), Lacks(&["prompt", "conversations", "instruction", "question", "problem"])],
        columns: &[(Prompt, &[])],
        reference: Reference::Whole,
    },
    Layout {
        name: "ShareGPT preference rows",
        becomes: &[Pairs],
        evidence: &[List(&["conversations"]), Has(&["chosen"])],
        columns: &[(Prompt, &["conversations"])],
        reference: Reference::Whole,
    },
    Layout {
        name: "Alpaca",
        becomes: ALL,
        evidence: &[Has(&["instruction"]), Has(&["input", "output", "history"]), Lacks(CONVERSATIONS)],
        columns: &[(Prompt, &["instruction"]), (Input, &["input"]), (History, &["history"])],
        reference: Reference::Whole,
    },
    Layout {
        name: "preference rows",
        becomes: &[Pairs],
        evidence: &[Has(&["chosen"]), Has(&["rejected"])],
        columns: &[],
        reference: Reference::Whole,
    },
    Layout {
        name: "labelled completions (KTO)",
        becomes: &[Sft],
        evidence: &[Flag(&["label", "kto_tag"])],
        columns: &[],
        reference: Reference::Whole,
    },
    Layout {
        name: "OpenAI conversations",
        becomes: &[Sft],
        evidence: &[Replied(&["messages"])],
        columns: &[(Prompt, &["messages"])],
        reference: Reference::Whole,
    },
    Layout {
        name: "ShareGPT conversations",
        becomes: &[Sft],
        evidence: &[Replied(CONVERSATIONS)],
        columns: &[(Prompt, CONVERSATIONS)],
        reference: Reference::Whole,
    },
    Layout {
        name: "conversations that end with a completion",
        becomes: &[Rollouts],
        evidence: &[Replied(CONVERSATIONS), Lacks(COMPLETIONS)],
        columns: &[(Prompt, CONVERSATIONS)],
        reference: Reference::Whole,
    },
    Layout {
        name: "GSM8K",
        becomes: &[Prompts, Rollouts],
        evidence: &[Marked(&["answer"])],
        columns: &[],
        reference: Reference::AfterMark,
    },
    Layout {
        name: "problems with worked solutions (MATH, NuminaMath)",
        becomes: &[Prompts],
        evidence: &[Text(&["solution"]), Lacks(&["answer", "reference_answer", "expected_answer", "final_answer"])],
        columns: &[(ReferenceAnswer, &["solution"])],
        reference: Reference::LastBoxed,
    },
    Layout {
        name: "problems with worked solutions (LIMO, NuminaMath)",
        becomes: &[Rollouts, Sft],
        evidence: &[Text(&["solution"]), Lacks(COMPLETIONS), NoReply(CONVERSATIONS)],
        columns: &[(Completion, &["solution"])],
        reference: Reference::Whole,
    },
    Layout {
        name: "questions with answers",
        becomes: &[Sft],
        evidence: &[Has(&["answer"]), Lacks(COMPLETIONS), NoReply(CONVERSATIONS)],
        columns: &[(Completion, &["answer"])],
        reference: Reference::Whole,
    },
    PLAIN,
];

/// Columns by their usual names.
const PLAIN: Layout =
    Layout { name: "plain columns", becomes: ALL, evidence: &[], columns: &[], reference: Reference::Whole };

static GSM8K: Layout = Layout { name: "format gsm8k", reference: Reference::AfterMark, ..PLAIN };
static MATH: Layout = Layout { name: "format math", ..PLAIN };
static MESSAGES: Layout = Layout { name: "format messages", columns: &[(Prompt, &["messages"])], ..PLAIN };
static SHAREGPT: Layout =
    Layout { name: "format sharegpt", columns: &[(Prompt, &["conversations", "conversation", "items"])], ..PLAIN };
static TRL: Layout = Layout { name: "format trl", ..PLAIN };

impl Layout {
    /// The layout of a row that becomes `becomes`: what `format` says, else the first whose evidence the row shows.
    pub fn of(format: Format, row: &Value, becomes: Becomes) -> &'static Self {
        match format {
            Format::Auto => {}
            // The prompt of a preference row may stand within its sides, whatever the format.
            Format::Trl if becomes == Becomes::Pairs => {}
            Format::Gsm8k => return &GSM8K,
            Format::Math => return &MATH,
            Format::Messages => return &MESSAGES,
            Format::Sharegpt => return &SHAREGPT,
            Format::Trl => return &TRL,
        }
        let shown = |layout: &&Self| {
            layout.becomes.contains(&becomes) && layout.evidence.iter().all(|evidence| evidence.holds(row))
        };
        LAYOUTS.iter().find(shown).unwrap_or(&PLAIN)
    }

    /// The names under which `column` is looked for, in this order.
    pub fn names(&self, column: ImportColumn) -> &'static [&'static str] {
        let own = self.columns.iter().find(|(known, _)| *known == column);
        own.map_or_else(|| usual(column), |(_, names)| names)
    }
}

/// The names that a column usually has.
pub fn usual(column: ImportColumn) -> &'static [&'static str] {
    match column {
        Prompt => &[
            "prompt",
            "problem",
            "question",
            "instruction",
            "messages",
            "conversations",
            "query",
            "Question",
            "Problem",
            "conversation",
            "dialogue",
            "dialog",
            "items",
            "input.messages",
            "input",
        ],
        ReferenceAnswer => {
            &["reference_answer", "expected_answer", "answer", "final_answer", "ground_truth", "gold_answer"]
        }
        System => &["system", "system_prompt"],
        Input | History => &[],
        Domain => &["domain"],
        SourceId => &["id", "prompt_id", "task_id", "uuid"],
        Language => &["language"],
        Tests => &["tests"],
        Completion => &[
            "completion",
            "full",
            "text",
            "response",
            "generation",
            "output",
            "model_output",
            "generated_text",
            "message.content",
        ],
        Reasoning => REASONING,
        Teacher => &["teacher", "model"],
        // Those of one text, and the lists that stand beside a list of samples.
        FinishReason => &[
            "finish_reason",
            "finishReason",
            "stop_reason",
            "stopReason",
            "done_reason",
            "doneReason",
            "stop_type",
            "finish_reasons",
            "stop_reasons",
        ],
        Complete => &["is_reasoning_complete", "is_complete"],
        CompletionTokens => &[
            "completion_tokens",
            "tokens",
            "num_tokens",
            "output_tokens",
            "n_tokens",
            "token_count",
            "num_output_tokens",
            "generated_tokens",
            "usage.completion_tokens",
            "usage.output_tokens",
            "token_ids",
        ],
        Samples => &["samples", "completions", "generations", "responses", "outputs", "choices"],
        Tools => &["tools", "functions"],
        Media => &MEDIA,
        Label => &["label", "kto_tag"],
        Chosen => &["chosen", "preferred_output", "chosen_response"],
        Rejected => &["rejected", "non_preferred_output", "rejected_response"],
    }
}

/// The column in which our own tables and Parquet exports keep what is beyond text.
pub const BEYOND_TEXT: &str = "beyond_text";

/// Columns that are looked at without being one of [`ImportColumn`].
const BESIDE: &[&str] = &[BEYOND_TEXT, "weight", "solution", "sample", "id"];

/// Whether any layout looks at a path that `wanted` takes.
pub fn any_path(wanted: impl Fn(&str) -> bool) -> bool {
    let columns = LAYOUTS.iter().flat_map(|layout| layout.columns).flat_map(|(_, names)| names.iter());
    let evidence = LAYOUTS.iter().flat_map(|layout| layout.evidence).flat_map(Evidence::names);
    let usual = COLUMNS.iter().flat_map(|column| usual(*column));
    columns.chain(evidence).chain(usual).chain(ANSWERS).chain(BESIDE).chain(CONVERSATIONS).any(|path| wanted(path))
}

/// Every column.
const COLUMNS: [ImportColumn; 21] = [
    Prompt,
    System,
    Input,
    History,
    ReferenceAnswer,
    Domain,
    SourceId,
    Language,
    Tests,
    Completion,
    Reasoning,
    Teacher,
    FinishReason,
    Complete,
    CompletionTokens,
    Samples,
    Label,
    Tools,
    Media,
    Chosen,
    Rejected,
];

/// Where a completion stands beside reasoning that has a column of its own.
pub const ANSWERS: &[&str] =
    &["answer_text", "text", "completion", "response", "content", "output", "generation", "message.content"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;
    use std::path::Path;

    /// The tables of `retort explain import`, in Markdown.
    fn in_markdown() -> String {
        let mut text = String::from("| layout | becomes | read so when a row has | columns |\n|---|---|---|---|\n");
        let listed = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        for layout in LAYOUTS {
            let becomes = layout.becomes.iter().map(|becomes| becomes.word()).collect::<Vec<_>>().join(", ");
            let evidence: Vec<String> = layout.evidence.iter().map(Evidence::in_words).collect();
            let evidence = if evidence.is_empty() { "nothing of the above".to_owned() } else { evidence.join("; ") };
            let mut columns: Vec<String> = layout
                .columns
                .iter()
                .map(|(column, names)| match names {
                    [] => format!("no {}", column.word()),
                    names => format!("{}: {}", column.word(), listed(names)),
                })
                .collect();
            match layout.reference {
                Reference::Whole => {}
                Reference::AfterMark => columns.push("the reference answer is what follows the last `####`".into()),
                Reference::LastBoxed => columns.push("the reference answer is the last `\\boxed{}`".into()),
            }
            let columns = if columns.is_empty() { "the usual ones".to_owned() } else { columns.join("; ") };
            let _ = writeln!(text, "| {} | {becomes} | {evidence} | {columns} |", layout.name);
        }
        text.push_str("\nUsual names of columns, the first that a row has:\n\n| column | names |\n|---|---|\n");
        for column in COLUMNS.into_iter().filter(|column| !usual(*column).is_empty()) {
            let _ = writeln!(text, "| {} | {} |", column.word(), listed(usual(column)));
        }
        text
    }

    /// The tables of `explain import` say what the code does; `RETORT_BLESS=1` writes them anew.
    #[test]
    fn explain_import_lists_every_layout() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/explain/import.md");
        let text = std::fs::read_to_string(&path).expect("the text");
        let (before, rest) = text.split_once("<!-- layouts -->\n").expect("where the tables begin");
        let (_, after) = rest.split_once("<!-- end -->\n").expect("where they end");
        let wanted = format!("{before}<!-- layouts -->\n{}<!-- end -->\n{after}", in_markdown());
        if std::env::var_os("RETORT_BLESS").is_some() {
            std::fs::write(&path, wanted).expect("the text can be written");
        } else {
            assert!(text == wanted, "explain/import.md does not list the layouts: run once with RETORT_BLESS=1");
        }
    }

    #[test]
    fn layouts_have_names_of_their_own_and_read_what_their_rows_can_use() {
        for (index, layout) in LAYOUTS.iter().enumerate() {
            assert!(LAYOUTS[..index].iter().all(|other| other.name != layout.name), "{}", layout.name);
            for (column, _) in layout.columns {
                assert!(layout.becomes.iter().any(|becomes| becomes.columns().contains(column)), "{}", layout.name);
            }
        }
    }
}
