//! `language`: DeepSeek-R1's language consistency, the share of words in the target language.

use retort_records::Verdict;
use retort_records::language::{Script, consistency, main_script};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError, length::Part};

/// Settings of `language`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageSettings {
    /// Target language (ISO 639-1). Without it the prompt's own language, as its row says or its script shows.
    pub target: Option<String>,
    /// Smallest share of words in the target language, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_ratio: f64,
    /// Which part of the completion is read.
    pub part: Part,
}

impl Default for LanguageSettings {
    fn default() -> Self {
        Self { target: None, min_ratio: 0.95, part: Part::Reasoning }
    }
}

impl LanguageSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        if !(0.0..=1.0).contains(&self.min_ratio) {
            return Err(VerifyError::Setting {
                verifier: "language",
                setting: "min_ratio",
                given: self.min_ratio.to_string(),
                allowed: "a number from 0 to 1".into(),
            });
        }
        Ok(Box::new(Language { settings: self.clone() }))
    }
}

struct Language {
    settings: LanguageSettings,
}

impl Verifier for Language {
    fn name(&self) -> &'static str {
        "language"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let named = self.settings.target.as_deref().or(case.language).map(Script::of_language);
        let Some(target) = named.or_else(|| main_script(case.prompt_text()?)) else {
            return Outcome::new(Verdict::Undecided, "no_target", "the language of the prompt is unknown");
        };
        let (text, prompt) = (self.settings.part.of(case).unwrap_or_default(), case.prompt_text().unwrap_or_default());
        let found = consistency(text, target, prompt);
        if found.words == 0 {
            return Outcome::new(Verdict::Correct, "no_words", "there are no words to judge");
        }
        let ratio = found.ratio();
        let verdict = if ratio >= self.settings.min_ratio { Verdict::Correct } else { Verdict::Incorrect };
        let reason = format!("{} of {} words in the target language ({ratio:.3})", found.target_words, found.words);
        Outcome::new(verdict, "ratio", reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_decides() {
        let verifier = LanguageSettings { min_ratio: 0.6, ..Default::default() }.build().unwrap();
        let prompt = [retort_records::Message::user("What does 你好 mean?")];
        let verdict = |reasoning: &str| {
            let completion = format!("<think>{reasoning}</think>");
            let outcome = verifier.verify(&Case { messages: &prompt, completion: &completion, ..Case::default() });
            (outcome.verdict, outcome.reason)
        };
        let (correct, reason) = verdict("two plus two 是四");
        assert_eq!(correct, Verdict::Correct);
        assert_eq!(reason, "3 of 5 words in the target language (0.600)");
        assert_eq!(verdict("two plus 是四").0, Verdict::Incorrect);
        assert_eq!(verdict("so 你好 means hello").0, Verdict::Correct, "the prompt's own words are quotations");
        assert_eq!(verdict("12 + 3").1, "there are no words to judge");
    }

    #[test]
    fn the_target_comes_from_settings_row_or_prompt() {
        let verifier = LanguageSettings::default().build().unwrap();
        let prompt = [retort_records::Message::user("求 1+1")];
        let case = Case { messages: &prompt, completion: "<think>let us see</think>2", ..Case::default() };
        assert_eq!(verifier.verify(&case).verdict, Verdict::Incorrect);
        assert_eq!(verifier.verify(&Case { language: Some("en"), ..case }).verdict, Verdict::Correct);
        let fixed = LanguageSettings { target: Some("en".into()), ..Default::default() }.build().unwrap();
        assert_eq!(fixed.verify(&Case { language: Some("zh"), ..case }).verdict, Verdict::Correct);
        assert_eq!(verifier.verify(&Case { completion: "2", ..Case::default() }).verdict, Verdict::Undecided);
    }
}
