//! A worked solution, and its text with checks and detours.

use retort_records::completion;

use crate::random::Random;
use crate::settings::{AnswerForm, ChainOfThought};

/// A problem with its solution, as a task makes it.
#[derive(Debug, Clone)]
pub(crate) struct Worked {
    /// What the problem is, apart from wording and order of terms: decides its split.
    pub key: String,
    /// The prompt in few characters.
    pub compact: String,
    /// The prompt as a sentence.
    pub words: String,
    /// The exact answer.
    pub answer: String,
    /// Subject area of the prompt.
    pub domain: &'static str,
    /// The solution, never empty.
    pub steps: Vec<Step>,
}

/// One step of a solution: `head` and then a number, such as `37+58=` and 95.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The line up to its last number.
    pub head: String,
    /// The line's last number; `None` for a line that cannot go wrong, whose `head` is whole.
    pub number: Option<i64>,
    /// True equations that confirm the step.
    pub checks: Vec<String>,
    /// True equations that lead nowhere and may stand before the step.
    pub asides: Vec<String>,
}

impl Step {
    /// A step without checks and asides.
    pub(crate) fn new(head: impl Into<String>, number: i64) -> Self {
        Self { head: head.into(), number: Some(number), checks: Vec::new(), asides: Vec::new() }
    }

    /// A line that states something without a number to get wrong.
    pub(crate) fn statement(text: impl Into<String>) -> Self {
        Self { head: text.into(), number: None, checks: Vec::new(), asides: Vec::new() }
    }

    pub(crate) fn line(&self) -> String {
        self.number.map_or_else(|| self.head.clone(), |number| format!("{}{number}", self.head))
    }

    /// A false version of the step: its last number missed by a one or a ten.
    fn slip(&self, random: &mut Random) -> Option<String> {
        let number = self.number?;
        let miss = *random.pick(&[1, -1, 10, -10])?;
        let slipped = number + miss;
        let slipped = if number >= 0 && slipped < 0 { number - miss } else { slipped };
        Some(format!("{}{slipped}", self.head))
    }

    fn detour(&self, random: &mut Random) -> Option<String> {
        let aside = random.pick(&self.asides).cloned();
        if random.between(0, 1) == 0 { self.slip(random).or(aside) } else { aside.or_else(|| self.slip(random)) }
    }
}

/// Writes one completion: `<think>` block with the steps, the drawn checks and detours, then the answer.
/// `prompt_characters` count against the limit.
pub(crate) fn write(
    worked: &Worked,
    settings: &ChainOfThought,
    prompt_characters: usize,
    random: &mut Random,
) -> String {
    let steps = &worked.steps;
    let checks = random.between(settings.checks.min.into(), settings.checks.max.into());
    let detours = random.between(settings.detours.min.into(), settings.detours.max.into());
    let mut extras: Vec<(usize, Extra)> = Vec::new();
    let answer = written(&worked.answer, settings.answer_form);
    let shell = completion::join(Some(""), &answer).len() + prompt_characters;
    let mut length = shell + steps.iter().map(|step| step.line().len() + 1).sum::<usize>();
    let limit = settings.max_characters.map_or(usize::MAX, |limit| limit as usize);

    // Drawn in turn, so that a limit cuts both kinds alike.
    for turn in 0..checks.max(detours) {
        for is_check in [true, false] {
            if turn >= if is_check { checks } else { detours } {
                continue;
            }
            let able: Vec<usize> = (0..steps.len())
                .filter(|&index| {
                    let step = &steps[index];
                    if is_check { !step.checks.is_empty() } else { step.number.is_some() || !step.asides.is_empty() }
                })
                .collect();
            let Some(&index) = random.pick(&able) else { continue };
            let line = if is_check {
                random.pick(&steps[index].checks).map(|check| format!("check {check} ok"))
            } else {
                steps[index].detour(random).map(|detour| format!("{detour} wait"))
            };
            if let Some(line) = line.filter(|line| length + line.len() < limit) {
                length += line.len() + 1;
                extras.push((index, if is_check { Extra::After(line) } else { Extra::Before(line) }));
            }
        }
    }

    let mut lines: Vec<String> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let here = || extras.iter().filter(move |(at, _)| *at == index).map(|(_, extra)| extra);
        lines
            .extend(here().filter_map(|extra| if let Extra::Before(line) = extra { Some(line.clone()) } else { None }));
        lines.push(step.line());
        lines.extend(here().filter_map(|extra| if let Extra::After(line) = extra { Some(line.clone()) } else { None }));
    }
    completion::join(Some(&lines.join("\n")), &answer)
}

/// A line that the solution does not need.
enum Extra {
    Before(String),
    After(String),
}

fn written(answer: &str, form: AnswerForm) -> String {
    match form {
        AnswerForm::Bare => answer.to_owned(),
        AnswerForm::Boxed => format!("\\boxed{{{answer}}}"),
        AnswerForm::Sentence => format!("The answer is \\boxed{{{answer}}}."),
    }
}
