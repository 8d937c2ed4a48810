//! The rows of a hand-over: the tokens that our trainer would train on, in the forms that the tools take.

use super::super::dropping::Dropping;
use super::super::export::{Conversations, Export, PreferenceConversations, exported};
use super::super::token_rows::{Encoder, Limit, PairTokens};
use super::super::{Context, Made};
use super::Inputs;
use super::settings::Tool;
use crate::error::PipelineError;
use crate::inputs::Finished;
use crate::row_file::RowFile;
use retort_records::{Row, SftExample};
use retort_student::TokenRow;
use retort_training::{Method, OverLong};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::Write;

exported!(Tokens { input_ids: Vec<u32>, attention_mask: Vec<u32>, labels: Vec<i64> });
exported!(Texts { prompt: String, chosen: String, rejected: String });
exported!(PairOfTokens {
    chosen_input_ids: Vec<u32>,
    chosen_attention_mask: Vec<u32>,
    chosen_labels: Vec<i64>,
    rejected_input_ids: Vec<u32>,
    rejected_attention_mask: Vec<u32>,
    rejected_labels: Vec<i64>
});

/// Rows that the parity check looks at.
const PARITY_ROWS: usize = 100;

/// What was written.
#[derive(Debug, Default)]
pub struct Rows {
    /// Rows to train on.
    pub rows: usize,
    /// Held-out rows.
    pub held_out: usize,
    /// Tokens of the rows to train on, both sides of a pair.
    pub tokens: usize,
    /// The longest row.
    pub longest: usize,
    /// Pairs whose text is not read back as the same tokens.
    pub read_otherwise: usize,
    /// Dropped and cut rows for the summary; nothing when there are none.
    pub in_words: String,
}

/// Writes the rows below `recipes` and counts them.
pub fn write(
    context: &Context<'_>,
    export: &Export,
    inputs: &Inputs<'_>,
    made: &mut Made,
) -> Result<Rows, PipelineError> {
    let Inputs { block, encoder, data, held_out } = inputs;
    let training = &block.training;
    let limit = Limit { most: training.max_length.unwrap_or(usize::MAX), over_long: training.over_long };
    let mut dropping = Dropping::new(context)?;
    let mut writer = Writer { context, export, encoder, rows: Rows::default(), parity: String::new() };
    let (rows_in, truncated) = match block.method {
        Method::Sft => {
            let mut seen = 0;
            let mut drop = |row: &SftExample, reason: &'static str, detail: String| {
                seen += 1;
                dropping.push(&row.example_id, &row.prompt_id, reason, detail)
            };
            let truncated = writer.examples(data, limit, "train", &mut drop, made)?;
            (seen + writer.rows.rows as u64, truncated)
        }
        Method::Dpo => {
            let truncated = writer.pairs(data, limit, &mut dropping, made)?;
            (dropping.count() + writer.rows.rows as u64, truncated)
        }
    };
    if writer.rows.rows == 0 {
        let (words, example) = (dropping.in_words(), dropping.example());
        return Err(context.fail(format!("no row is left to train on{words}{example}")));
    }
    if training.over_long == OverLong::Error && dropping.count() > 0 {
        let (words, example) = (dropping.in_words(), dropping.example());
        return Err(context.fail(format!("some rows cannot be used{words}{example}")));
    }
    made.files.push(context.out.write_file("recipes/parity/rows.jsonl", writer.parity.as_bytes())?);
    if let Some(held_out) = held_out {
        let kept = writer.rows.rows;
        let (tokens, longest) = (writer.rows.tokens, writer.rows.longest);
        writer.examples(held_out, limit, "test", &mut |_, _, _| Ok(()), made)?;
        writer.rows.held_out = writer.rows.rows - kept;
        (writer.rows.rows, writer.rows.tokens, writer.rows.longest) = (kept, tokens, longest);
    }
    let mut rows = writer.rows;
    rows.in_words = dropping.in_words();
    if truncated > 0 {
        let _ = write!(rows.in_words, ", {truncated} truncated");
    }
    let kept = rows.rows as u64;
    dropping.finish(made, rows_in, kept)?;
    made.facts["tokens"] = json!(rows.tokens);
    Ok(rows)
}

/// Writes one set of rows after another.
struct Writer<'a> {
    context: &'a Context<'a>,
    export: &'a Export,
    encoder: &'a Encoder,
    rows: Rows,
    parity: String,
}

impl Writer<'_> {
    fn for_llama_factory(&self) -> bool {
        self.export.recipes.as_ref().is_some_and(|recipes| recipes.tools.contains(&Tool::LlamaFactory))
    }

    fn examples(
        &mut self,
        input: &Finished,
        limit: Limit,
        set: &str,
        drop: &mut dyn FnMut(&SftExample, &'static str, String) -> Result<(), PipelineError>,
        made: &mut Made,
    ) -> Result<u64, PipelineError> {
        let (context, export) = (self.context, self.export);
        let mut tokens = RowFile::<Tokens>::create(context.out, &format!("recipes/data/{set}"), export.file)?;
        let name = format!("recipes/llama-factory/{set}");
        let mut conversations = None;
        if self.for_llama_factory() {
            conversations = Some(RowFile::<Conversations>::create(context.out, &name, export.file)?);
        }
        let encoder = self.encoder;
        let truncated = encoder.each_example(context, input, limit, drop, &mut |example, row| {
            self.count(&row, set == "train");
            self.rows.rows += 1;
            if let Some(file) = &mut conversations {
                file.push(export.conversations(example))?;
            }
            tokens.push(labelled(row))
        })?;
        made.files.push(tokens.finish()?);
        if let Some(file) = conversations {
            made.files.push(file.finish()?);
        }
        Ok(truncated)
    }

    fn pairs(
        &mut self,
        input: &Finished,
        limit: Limit,
        dropping: &mut Dropping,
        made: &mut Made,
    ) -> Result<u64, PipelineError> {
        let (context, export, encoder) = (self.context, self.export, self.encoder);
        let mut texts = RowFile::<Texts>::create(context.out, "recipes/data/train", export.file)?;
        let mut more = None;
        if self.for_llama_factory() {
            more = Some((
                RowFile::<PairOfTokens>::create(context.out, "recipes/tokens/train", export.file)?,
                RowFile::<PreferenceConversations>::create(context.out, "recipes/llama-factory/train", export.file)?,
            ));
        }
        let truncated = encoder.each_pair(context, input, limit, dropping, &mut |pair, tokens| {
            self.count(&tokens.chosen, true);
            self.count(&tokens.rejected, false);
            self.rows.rows += 1;
            let (text, as_tokens) = rendered(encoder, &tokens);
            self.rows.read_otherwise += usize::from(!as_tokens);
            texts.push(text)?;
            if let Some((pairs, conversations)) = &mut more {
                let (chosen, rejected) = (labelled(tokens.chosen), labelled(tokens.rejected));
                pairs.push(PairOfTokens {
                    chosen_input_ids: chosen.input_ids,
                    chosen_attention_mask: chosen.attention_mask,
                    chosen_labels: chosen.labels,
                    rejected_input_ids: rejected.input_ids,
                    rejected_attention_mask: rejected.attention_mask,
                    rejected_labels: rejected.labels,
                })?;
                conversations.push(export.preference_conversations(pair.clone()))?;
            }
            Ok(())
        })?;
        made.files.push(texts.finish()?);
        if let Some((pairs, conversations)) = more {
            made.files.push(pairs.finish()?);
            made.files.push(conversations.finish()?);
        }
        Ok(truncated)
    }

    fn count(&mut self, row: &TokenRow, checked: bool) {
        self.rows.tokens += row.input_ids.len();
        self.rows.longest = self.rows.longest.max(row.input_ids.len());
        if checked && self.rows.rows < PARITY_ROWS {
            let Tokens { input_ids, labels, .. } = labelled(row.clone());
            let _ = writeln!(self.parity, "{}", json!({ "input_ids": input_ids, "labels": labels }));
        }
    }
}

/// A row as transformers' trainers take it: -100 where a token does not count in the loss.
fn labelled(row: TokenRow) -> Tokens {
    let labels = row.input_ids.iter().zip(&row.loss);
    let labels = labels.map(|(id, counts)| if *counts { i64::from(*id) } else { -100 }).collect();
    Tokens { attention_mask: vec![1; row.input_ids.len()], labels, input_ids: row.input_ids }
}

/// The texts of a pair, cut where the prompt ends, and whether they are read back as the same tokens.
fn rendered(encoder: &Encoder, pair: &PairTokens) -> (Texts, bool) {
    let tokenizer = encoder.tokenizer();
    let untrained = |row: &TokenRow| row.loss.iter().take_while(|counts| !**counts).count();
    let prompt = untrained(&pair.chosen).min(untrained(&pair.rejected));
    let before = tokenizer.decode(&pair.chosen.input_ids[..prompt], false);
    let mut same = true;
    let mut side = |row: &TokenRow| {
        let whole = tokenizer.decode(&row.input_ids, false);
        same &= tokenizer.encode(&whole) == row.input_ids;
        match whole.strip_prefix(&before) {
            Some(text) => text.to_owned(),
            None => tokenizer.decode(&row.input_ids[prompt..], false),
        }
    };
    let (chosen, rejected) = (side(&pair.chosen), side(&pair.rejected));
    (Texts { prompt: before, chosen, rejected }, same)
}
