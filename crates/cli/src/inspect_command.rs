//! `inspect`: shows which tokens a `train` stage trains.

use crate::colour::coloured;
use crate::pipeline_flags::{OutFlag, PipelineFlags};
use crate::screen::{CommandResult, line};
use clap::Args;
use retort_stages::{InspectedRow, InspectedToken};
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(after_help = "\
Every token stands between bars. Tokens that count in the loss stand in ⟦…⟧ and are green on a terminal; the others are
only read. The stages that the train stage reads must have run.

Examples:
  retort inspect pipeline.yaml --stage student
  retort inspect pipeline.yaml --stage student --limit 1 --json")]
pub struct InspectArguments {
    #[command(flatten)]
    pub pipeline: PipelineFlags,
    #[command(flatten)]
    pub out: OutFlag,
    /// The `train` stage.
    #[arg(long, value_name = "STAGE")]
    pub stage: String,
    /// At most this many rows; a preference pair is two.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub limit: usize,
    /// Print JSON lines with `input_ids`, `tokens` and `loss`.
    #[arg(long)]
    pub json: bool,
}

/// `inspect`.
pub fn inspect(arguments: &InspectArguments) -> CommandResult {
    let checked = arguments.pipeline.check()?;
    let rows = retort_stages::inspect(&checked, &arguments.out.out, &arguments.stage, arguments.limit)?;
    let colour = coloured(&std::io::stdout());
    for row in &rows {
        if arguments.json {
            line(&as_json(row))?;
        } else {
            line(&heading(row))?;
            if let Ok(tokens) = &row.tokens {
                line(&painted(tokens, colour))?;
            }
            line("")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(row: &InspectedRow) -> String {
    let json = match &row.tokens {
        Err(reason) => json!({ "row": row.label, "reason": reason }),
        Ok(tokens) => json!({
            "row": row.label,
            "input_ids": tokens.iter().map(|token| token.id).collect::<Vec<_>>(),
            "tokens": tokens.iter().map(|token| token.text.as_str()).collect::<Vec<_>>(),
            "loss": tokens.iter().map(|token| token.trained).collect::<Vec<_>>(),
        }),
    };
    json.to_string()
}

fn heading(row: &InspectedRow) -> String {
    match &row.tokens {
        Err(reason) => format!("── {}: dropped: {reason}", row.label),
        Ok(tokens) => {
            let trained = tokens.iter().filter(|token| token.trained).count();
            format!("── {}: {} tokens, {trained} of them trained", row.label, tokens.len())
        }
    }
}

/// Tokens between bars, trained ones in brackets and perhaps in colour; what would move the cursor is spelt out.
fn painted(tokens: &[InspectedToken], colour: bool) -> String {
    let (trained_on, plain_on, off) = if colour { ("\x1b[32m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let mut text = String::new();
    for piece in tokens.chunk_by(|a, b| a.trained == b.trained) {
        let trained = piece[0].trained;
        let inside: Vec<String> = piece.iter().map(|token| spelt(&token.text)).collect();
        text.push_str(if trained { trained_on } else { plain_on });
        text.push_str(if trained { "⟦" } else { "" });
        text.push_str(&inside.join("│"));
        text.push_str(if trained { "⟧" } else { "" });
        text.push_str(off);
    }
    text
}

fn spelt(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("↵\n"),
            '\t' => out.push('⇥'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_say_what_colour_says() {
        let token = |text: &str, trained| InspectedToken { id: 1, text: text.into(), trained };
        let tokens = [token("2", false), token("+", false), token("\n3", true), token("\x1b", true)];
        assert_eq!(painted(&tokens, false), "2│+⟦↵\n3│\u{fffd}⟧");
        assert!(painted(&tokens, true).contains("\x1b[32m⟦"));
    }
}
