//! Refusals and leaked answers: phrases that give them away. Both lists are short and exact: they miss much rather than
//! drop good reasoning, which is full of "I cannot see how" and "the correct answer must be".

use std::sync::LazyLock;

use regex::Regex;

use super::excerpt::excerpt;
use crate::PromptView;

/// How much of the answer is searched for a refusal: a refusal comes first.
const ANSWER_START: usize = 300;

/// Ways to decline, in English and Chinese. Capitals are spelt out rather than ignored: the engine then jumps from one
/// `I can` to the next. Every apostrophe also matches its curly form.
const REFUSALS: &[&str] = &[
    "I (?:can't|cannot|can not|won't|will not) (?:help (?:you )?with|assist|comply|fulfil|provide (?:that|this|assistance))",
    "I(?: am|'m) (?:unable|not able|not going) to (?:help (?:you )?with|assist|comply|fulfil|provide (?:that|this|assistance))",
    "I won't be able to (?:help|assist|comply|fulfil|provide)",
    "I (?:can't|cannot|can not|won't|will not) answer (?:that|this) (?:question|request)",
    "I (?:must|have to|need to|should|will) (?:politely |respectfully )?(?:decline|refuse) (?:to (?:answer|help|assist|comply|provide)|th(?:is|e) request)",
    "I'll (?:politely |respectfully )?(?:decline|refuse) (?:to (?:answer|help|assist|comply|provide)|th(?:is|e) request)",
    "(?:against|violates?) my (?:guidelines|policies|programming)",
    "[Aa]s an AI(?: language model)?, I (?:can't|cannot|am not able to|am unable to|'m not able to|'m unable to)",
    "我(?:无法|不能)(?:帮助|协助|提供(?:帮助|协助|这)|满足您|回答(?:这个|此类|您的))",
    "(?:抱歉|对不起)[,，]? ?我(?:无法|不能)(?:帮助|协助|提供|回答|满足)",
];

/// Ways to speak of an answer that one was given. `the correct answer`, `the intended answer`, `the given answer`, `the
/// answer provided` and `the user's answer` are not among them: real reasoning guesses at those all the time (of 21 such
/// finds in 1,875 real rollouts, none had been told its answer).
const GIVEN: &[&str] = &[
    "[Tt]he reference (?:answer|solution)",
    "[Tt]he (?:provided|supplied) (?:correct |final |reference )?answer (?:is|was|says|states|gives|confirms)",
    "[Tt]he (?:provided|supplied) solution (?:is|was|says|states|gives|confirms)",
    "[Tt]he (?:answer|solution) key (?:is|says|states|gives|has)",
    "[Gg]round[- ]truth (?:answer|solution)",
    "[Tt]he (?:correct|final|right) answer (?:is|was) (?:given (?:as|to be)|provided|supplied)",
    "[Tt]he hint (?:says|states|gives|tells|indicates)",
    "参考答案",
    "标准答案是",
    "(?:给出|给定|提供|题目给)的(?:正确)?答案是",
    "提示(?:说|中说|里说|给出)",
];

/// Words after which a given answer is a guess.
const GUESS: [&str; 8] = ["likely", "probably", "might", "may", "could", "presumably", "possibly", "perhaps"];

static REFUSAL: LazyLock<Regex> = LazyLock::new(|| phrases(REFUSALS));
static GIVEN_ANSWER: LazyLock<Regex> = LazyLock::new(|| phrases(GIVEN));

fn phrases(patterns: &[&str]) -> Regex {
    Regex::new(&patterns.join("|").replace('\'', "['’]")).expect("the patterns are constant")
}

/// Where the text declines to answer: in the reasoning, or where the answer begins.
pub fn refusal(reasoning: &str, answer: &str) -> Option<String> {
    if let Some(found) = REFUSAL.find(reasoning) {
        return Some(format!("`{}` in the reasoning", excerpt(found.as_str(), 60)));
    }
    let end = answer.char_indices().nth(ANSWER_START).map_or(answer.len(), |(at, _)| at);
    let found = REFUSAL.find(&answer[..end])?;
    Some(format!("`{}` in the answer", excerpt(found.as_str(), 60)))
}

/// Where the reasoning speaks of an answer that it was given.
pub fn given_answer(reasoning: &str) -> Option<String> {
    let guess = |after: usize| {
        let next = reasoning[after..].split_whitespace().next().unwrap_or_default();
        GUESS.contains(&next.trim_matches(|c: char| !c.is_alphabetic()))
    };
    let found = GIVEN_ANSWER.find_iter(reasoning).find(|found| !guess(found.end()))?;
    Some(format!("the reasoning speaks of `{}`", excerpt(found.as_str(), 60)))
}

/// Where the user's part of the prompt states the reference answer: after `answer:`, `answer is`, `\boxed{`, `####` or
/// their Chinese counterparts. An example in the prompt whose answer happens to be equal also counts.
pub fn stated_answer(prompt: &PromptView<'_>) -> Option<String> {
    static ANCHOR: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"[Aa]nswer(?: is|:| =| to be)|\\boxed\{|####|答案(?:是|为|：|:)").expect("the pattern is constant")
    });
    let reference = prompt.reference_answer?.trim();
    if reference.is_empty() {
        return None;
    }
    let user = prompt.messages.iter().filter(|message| message.role == "user");
    user.flat_map(|message| ANCHOR.find_iter(&message.content).map(|found| (found, &message.content))).find_map(
        |(anchor, text)| {
            let after = text[anchor.end()..].trim_start_matches([' ', '\t', ':', '*', '$', '"', '`', '(', '{']);
            let rest = after.strip_prefix(reference)?;
            // `4` is not stated by `42` or `4.5`.
            let mut following = rest.chars();
            let ends = match following.next() {
                None => true,
                Some('.' | ',') => !following.next().is_some_and(|c| c.is_ascii_digit()),
                Some(c) => !c.is_alphanumeric() && !matches!(c, '/' | '^' | '_' | '\\'),
            };
            ends.then(|| format!("the prompt states `{}` after `{}`", excerpt(reference, 40), anchor.as_str()))
        },
    )
}

#[cfg(test)]
mod tests {
    use retort_records::Message;

    use super::*;

    #[test]
    fn refusals_are_told_from_doubts() {
        for text in [
            "I'm sorry, but I can't help with that.",
            "I cannot assist with this.",
            "The request is harmful. I must decline to answer.",
            "I should politely refuse to provide the steps.",
            "This goes against my guidelines.",
            "As an AI language model, I cannot have opinions.",
            "I’m unable to assist you here",
            "抱歉，我无法回答这个问题",
            "我不能协助你",
        ] {
            assert!(refusal(text, "").is_some(), "{text}");
        }
        for text in [
            "I can't help but notice that 3 divides it.",
            "I cannot see it.",
            "He cannot refuse to shave any man.",
            "I'm not able to find the steps.",
            "We must decline the first option because it is too heavy.",
            "I should provide the answer.",
            "As an AI, I can handle it.",
            "我不能确定",
        ] {
            assert_eq!(refusal(text, ""), None, "{text}");
        }
        assert_eq!(refusal("fine", "I cannot assist with it").as_deref(), Some("`I cannot assist` in the answer"));
        assert_eq!(refusal("", &format!("{}I cannot assist", "x".repeat(400))), None);
    }

    #[test]
    fn given_answers_are_told_from_guesses() {
        for text in
            ["Since the provided answer is 4", "The hint says it is odd", "the reference solution uses", "参考答案是 4"]
        {
            assert!(given_answer(text).is_some(), "{text}");
        }
        for text in
            ["the correct answer is 4", "the intended answer may be 5", "the answer given by each guard", "提示"]
        {
            assert_eq!(given_answer(text), None, "{text}");
        }
    }

    #[test]
    fn stated_answers() {
        let stated = |text: &str, reference: &str| {
            stated_answer(&PromptView {
                domain: "math",
                language: None,
                source: "s",
                messages: &[Message::user(text)],
                reference_answer: Some(reference),
            })
        };
        assert_eq!(
            stated("2 + 2? (The answer is 4.)", "4").as_deref(),
            Some("the prompt states `4` after `answer is`")
        );
        assert!(stated("Explain why \\boxed{\\frac{1}{2}}", "\\frac{1}{2}").is_some());
        assert!(stated("答案是 12。", "12").is_some());
        for (text, reference) in [
            ("The answer is 42, is it?", "4"),
            ("The answer is 4.5", "4"),
            ("Put 4 into the box; give your answer: x", "4"),
            ("answer:", ""),
            ("4", "4"),
        ] {
            assert_eq!(stated(text, reference), None, "{text}");
        }
    }
}
