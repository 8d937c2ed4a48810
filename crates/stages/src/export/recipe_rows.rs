//! The rows of recipes: the tokens that our trainer would train on, in the forms that the tools take.

use super::row_file::{ExportFile, RowFile};
use super::row_forms::{Conversations, ExportReasoning, ExportRow, PreferenceConversations, exported};
use crate::dropping::Dropping;
use crate::error::StageError;
use crate::token_rows::{Encoder, LengthLimit, PairTokens};
use retort_handover::{ParityRows, Recipes, RowTotals, Tool, labels};
use retort_pipeline::{Context, Finished, PipelineError, RowCounts, StageOutput};
use retort_records::{Row, SftExample};
use retort_student::TokenRow;
use retort_training::{Method, OverLong, TrainBlock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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

/// The tools read the rows as they are trained on: with their reasoning.
const REASONING: ExportReasoning = ExportReasoning::Inline;

/// What the rows are made of.
pub struct Inputs<'a> {
    pub recipes: &'a Recipes,
    pub block: &'a TrainBlock,
    pub encoder: &'a Encoder,
    pub data: &'a Finished,
    pub held_out: Option<&'a Finished>,
}

/// What was written.
pub struct WrittenRows {
    /// What the texts beside the rows say of them.
    pub totals: RowTotals,
    /// Rows that came and can be trained on.
    pub counts: RowCounts,
    /// Dropped and cut rows for the summary; nothing when there are none.
    pub in_words: String,
}

/// Writes the rows below `recipes` and counts them.
pub fn write(
    context: &Context<'_>,
    file: ExportFile,
    inputs: &Inputs<'_>,
    output: &mut StageOutput,
) -> Result<WrittenRows, StageError> {
    let training = &inputs.block.training;
    let limit = LengthLimit { max_tokens: training.max_length.unwrap_or(usize::MAX), over_long: training.over_long };
    let mut dropping = Dropping::new(context)?;
    let for_llama_factory = inputs.recipes.tools.contains(&Tool::LlamaFactory);
    let mut writer = Writer { context, file, encoder: inputs.encoder, limit, for_llama_factory, output };
    let mut parity = ParityRows::default();
    let (mut totals, truncated) = match inputs.block.method {
        Method::Sft => {
            let mut drop = |row: &SftExample, reason: &'static str, detail: String| {
                dropping.push(&row.example_id, &row.prompt_id, reason, detail)
            };
            writer.examples(inputs.data, "train", &mut drop, &mut parity)?
        }
        Method::Dpo => writer.pairs(inputs.data, &mut dropping, &mut parity)?,
    };
    if totals.rows == 0 {
        let (words, example) = (dropping.in_words(), dropping.example());
        return Err(context.no_rows(format!("no row is left to train on{words}{example}")).into());
    }
    if training.over_long == OverLong::Error && dropping.count() > 0 {
        let (words, example) = (dropping.in_words(), dropping.example());
        return Err(context.fail(format!("some rows cannot be used{words}{example}")).into());
    }
    let (name, text) = parity.file();
    writer.output.files.push(context.out.write_file(&format!("recipes/{name}"), text.as_bytes())?);
    if let Some(held_out) = inputs.held_out {
        // Nobody checks these, and nobody trains on them: what is left out is not missed.
        let (found, _) = writer.examples(held_out, "test", &mut |_, _, _| Ok(()), &mut ParityRows::default())?;
        totals.held_out = found.rows;
    }
    let mut in_words = dropping.in_words();
    if truncated > 0 {
        let _ = write!(in_words, ", {truncated} truncated");
    }
    let kept = totals.rows as u64;
    let rows_in = kept + dropping.count();
    let counts = dropping.finish(output, rows_in, kept)?;
    Ok(WrittenRows { totals, counts, in_words })
}

/// Writes one set of rows after another.
struct Writer<'a> {
    context: &'a Context<'a>,
    file: ExportFile,
    encoder: &'a Encoder,
    limit: LengthLimit,
    for_llama_factory: bool,
    output: &'a mut StageOutput,
}

impl Writer<'_> {
    /// Writes examples; gives what was written and how many rows were cut.
    fn examples(
        &mut self,
        input: &Finished,
        set: &str,
        drop: &mut dyn FnMut(&SftExample, &'static str, String) -> Result<(), PipelineError>,
        parity: &mut ParityRows,
    ) -> Result<(RowTotals, u64), StageError> {
        let (context, file) = (self.context, self.file);
        let mut tokens = RowFile::<Tokens>::create(context.out, &format!("recipes/data/{set}"), file)?;
        let mut conversations = None;
        if self.for_llama_factory {
            let name = format!("recipes/llama-factory/{set}");
            conversations = Some(RowFile::<Conversations>::create(context.out, &name, file)?);
        }
        let mut totals = RowTotals::default();
        let truncated = self.encoder.each_example(context, input, self.limit, drop, &mut |example, row| {
            totals.rows += 1;
            totals.add_tokens(row.input_ids.len());
            parity.push(&row.input_ids, &row.loss);
            if let Some(file) = &mut conversations {
                file.push(REASONING.conversations(example))?;
            }
            tokens.push(labelled(row))
        })?;
        self.output.files.push(tokens.finish()?);
        if let Some(file) = conversations {
            self.output.files.push(file.finish()?);
        }
        Ok((totals, truncated))
    }

    /// Writes pairs; gives what was written and how many pairs were cut.
    fn pairs(
        &mut self,
        input: &Finished,
        dropping: &mut Dropping,
        parity: &mut ParityRows,
    ) -> Result<(RowTotals, u64), StageError> {
        let (context, encoder, file) = (self.context, self.encoder, self.file);
        let mut texts = RowFile::<Texts>::create(context.out, "recipes/data/train", file)?;
        let mut more = None;
        if self.for_llama_factory {
            more = Some((
                RowFile::<PairOfTokens>::create(context.out, "recipes/tokens/train", file)?,
                RowFile::<PreferenceConversations>::create(context.out, "recipes/llama-factory/train", file)?,
            ));
        }
        let mut totals = RowTotals::default();
        let truncated = encoder.each_pair(context, input, self.limit, dropping, &mut |pair, tokens| {
            totals.rows += 1;
            totals.add_tokens(tokens.chosen.input_ids.len());
            totals.add_tokens(tokens.rejected.input_ids.len());
            parity.push(&tokens.chosen.input_ids, &tokens.chosen.loss);
            let (text, as_tokens) = rendered(encoder, &tokens);
            totals.read_otherwise += usize::from(!as_tokens);
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
                conversations.push(REASONING.preference_conversations(pair.clone()))?;
            }
            Ok(())
        })?;
        self.output.files.push(texts.finish()?);
        if let Some((pairs, conversations)) = more {
            self.output.files.push(pairs.finish()?);
            self.output.files.push(conversations.finish()?);
        }
        Ok((totals, truncated))
    }
}

/// A row as transformers' trainers take it.
fn labelled(row: TokenRow) -> Tokens {
    let labels = labels(&row.input_ids, &row.loss);
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
