//! What a pipeline file says of a `synthesize` stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes problems of a procedural task, each with its exact answer, and worked completions where they are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SynthesizeSettings {
    /// What the problems are.
    pub task: TaskSettings,
    /// How many problems to make. No two are the same.
    #[schemars(range(min = 1))]
    pub count: u64,
    /// Which problems the stage may use. Stages of different splits never share a problem. All problems by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// How prompts are worded.
    #[serde(default)]
    pub style: Style,
    /// Writes worked completions, `<think>` block and answer, which makes the stage's output rollouts of a teacher called
    /// `synthesize`. Without it the output is prompts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_of_thought: Option<ChainOfThought>,
    /// Worked completions per problem. They differ in their checks and detours.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub samples_per_prompt: u32,
}

/// The task, or a mixture of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskSettings {
    /// Sums, differences and products: `37+58-12=`.
    Arithmetic(ArithmeticSettings),
    /// Signs to be found between given numbers: `8?5?3=10`.
    Countdown(CountdownSettings),
    /// Numbers to be written in another base: `25 b10>b2=`.
    BaseConversion(BaseConversionSettings),
    /// Dates and weekdays to be worked out: `2024-02-27+45=`.
    Calendar(CalendarSettings),
    /// Several tasks, drawn by weight.
    Mix(#[schemars(length(min = 1))] Vec<MixPart>),
}

/// One task of a mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixPart {
    /// How often the task is drawn, against the others' weights.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub weight: u32,
    /// The task.
    pub task: Task,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Sums, differences and products: `37+58-12=`.
    Arithmetic(ArithmeticSettings),
    /// Signs to be found between given numbers: `8?5?3=10`.
    Countdown(CountdownSettings),
    /// Numbers to be written in another base: `25 b10>b2=`.
    BaseConversion(BaseConversionSettings),
    /// Dates and weekdays to be worked out: `2024-02-27+45=`.
    Calendar(CalendarSettings),
}

/// A range of whole numbers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// The least.
    pub min: u32,
    /// The greatest.
    pub max: u32,
}

/// An operator of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// Addition.
    #[serde(rename = "+")]
    Add,
    /// Subtraction.
    #[serde(rename = "-")]
    Subtract,
    /// Multiplication, which binds more tightly than the others.
    #[serde(rename = "*")]
    Multiply,
}

/// Arithmetic with whole numbers. The answer is a number, for the verifiers `math`, `number` and `exact`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArithmeticSettings {
    /// Operations in a problem.
    pub operations: Between,
    /// Least number in a problem.
    #[schemars(range(max = 999_999_999))]
    pub min_value: u32,
    /// Greatest number in a problem.
    #[schemars(range(max = 999_999_999))]
    pub max_value: u32,
    /// The operators to draw from. One that stands twice is drawn twice as often.
    #[schemars(length(min = 1))]
    pub operators: Vec<Operator>,
    /// Whether results, intermediate ones included, may be below zero.
    pub negative: bool,
    /// Whether chains work each operation out digit by digit before they state its result.
    pub columns: bool,
}

impl Default for ArithmeticSettings {
    fn default() -> Self {
        Self {
            operations: Between { min: 1, max: 3 },
            min_value: 1,
            max_value: 99,
            operators: vec![Operator::Add, Operator::Subtract],
            negative: false,
            columns: false,
        }
    }
}

/// Find the operators: given numbers in order and their result, say what stands between them. Only problems with a
/// single solution are made, so the answer (`8+5-3`) is for the verifier `exact`; `math` accepts any text of its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CountdownSettings {
    /// Numbers in a problem: at least 2, at most 7.
    pub numbers: Between,
    /// Greatest number in a problem; the least is 1.
    #[schemars(range(min = 1, max = 999_999))]
    pub max_value: u32,
    /// The operators to choose from, at least two.
    #[schemars(length(min = 2))]
    pub operators: Vec<Operator>,
}

impl Default for CountdownSettings {
    fn default() -> Self {
        Self { numbers: Between { min: 3, max: 4 }, max_value: 20, operators: vec![Operator::Add, Operator::Subtract] }
    }
}

/// A number in one base, to be written in another. Digits above 9 are lower-case letters; the answer is for the
/// verifier `exact`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseConversionSettings {
    /// Bases of the given number, each from 2 to 36.
    #[schemars(length(min = 1), inner(range(min = 2, max = 36)))]
    pub from: Vec<u32>,
    /// Bases to convert to, each from 2 to 36. A problem never asks for the base that it gives.
    #[schemars(length(min = 1), inner(range(min = 2, max = 36)))]
    pub to: Vec<u32>,
    /// Greatest number; the least is 2.
    #[schemars(range(min = 2, max = 999_999_999))]
    pub max_value: u32,
}

impl Default for BaseConversionSettings {
    fn default() -> Self {
        Self { from: vec![2, 8, 10, 16], to: vec![2, 8, 10, 16], max_value: 255 }
    }
}

/// Questions about dates of the Gregorian calendar. Answers are for the verifier `exact`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarSettings {
    /// The questions to draw from.
    #[schemars(length(min = 1))]
    pub kinds: Vec<CalendarKind>,
    /// Years of the first date.
    pub years: Between,
    /// Most days between the two dates.
    #[schemars(range(min = 1, max = 3_660))]
    pub max_days: u32,
}

impl Default for CalendarSettings {
    fn default() -> Self {
        Self {
            kinds: vec![CalendarKind::AddDays, CalendarKind::DaysBetween, CalendarKind::Weekday],
            years: Between { min: 2000, max: 2030 },
            max_days: 90,
        }
    }
}

/// A kind of question about dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CalendarKind {
    /// The date some days after another: `2024-02-27+45=` is `2024-04-12`.
    AddDays,
    /// The days from one date to another: `2024-02-27>2024-04-12=` is `45`.
    DaysBetween,
    /// The weekday of a date, given that of another: `mon 2024-01-01>2024-02-27=` is `tue`.
    Weekday,
}

/// The part of all problems that a stage may use. A hash of the problem decides where it belongs, so stages with
/// different names, or with ranges that do not overlap, share no problem, whatever their seeds and counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The split.
    pub name: SplitName,
    /// Where the part to use begins within the split: 0 is its beginning, 1 its end.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub from: f64,
    /// Where the part to use ends within the split.
    #[serde(default = "whole")]
    #[schemars(range(min = 0, max = 1))]
    pub to: f64,
}

/// A split with a fixed share of all problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitName {
    /// 70 % of all problems.
    Train,
    /// 10 % of all problems.
    Validation,
    /// 10 % of all problems.
    Heldout,
    /// 10 % of all problems.
    Test,
}

impl SplitName {
    /// Where the split's share begins and ends on the unit interval.
    fn interval(self) -> (f64, f64) {
        match self {
            Self::Train => (0.0, 0.7),
            Self::Validation => (0.7, 0.8),
            Self::Heldout => (0.8, 0.9),
            Self::Test => (0.9, 1.0),
        }
    }
}

impl Split {
    /// The part of the unit interval whose problems the split holds: its beginning (included) and end (excluded).
    pub(crate) fn interval(&self) -> (f64, f64) {
        let (low, high) = self.name.interval();
        let at = |share: f64| if share >= 1.0 { high } else { low + (high - low) * share };
        (at(self.from), at(self.to))
    }
}

/// How prompts are worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// As few characters as possible, for tiny models: `37+58-12=`.
    #[default]
    Compact,
    /// An English sentence: `What is 37+58-12?`.
    Words,
}

/// A worked completion: the steps of the solution, with checks and detours that lengthen it without need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChainOfThought {
    /// Steps that are checked again; drawn anew for every sample.
    pub checks: Between,
    /// Slips and side ways that are dropped with `wait`; drawn anew for every sample.
    pub detours: Between,
    /// How the answer is written behind the reasoning.
    pub answer_form: AnswerForm,
    /// Most characters of prompt and completion together: checks and detours that do not fit are left out (steps never
    /// are). No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_characters: Option<u32>,
}

impl Default for ChainOfThought {
    fn default() -> Self {
        Self {
            checks: Between { min: 0, max: 3 },
            detours: Between { min: 0, max: 3 },
            answer_form: AnswerForm::Bare,
            max_characters: None,
        }
    }
}

/// How a worked completion states its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerForm {
    /// The answer alone: `83`.
    #[default]
    Bare,
    /// In a box: `\boxed{83}`.
    Boxed,
    /// A sentence with the box: `The answer is \boxed{83}.`
    Sentence,
}

impl TaskSettings {
    /// The tasks with their weights.
    pub(crate) fn parts(&self) -> Vec<(u32, Task)> {
        match self {
            Self::Arithmetic(settings) => vec![(1, Task::Arithmetic(settings.clone()))],
            Self::Countdown(settings) => vec![(1, Task::Countdown(settings.clone()))],
            Self::BaseConversion(settings) => vec![(1, Task::BaseConversion(settings.clone()))],
            Self::Calendar(settings) => vec![(1, Task::Calendar(settings.clone()))],
            Self::Mix(parts) => parts.iter().map(|part| (part.weight, part.task.clone())).collect(),
        }
    }
}

/// What is wrong with a setting, beyond its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pointer}`: {message}")]
pub struct SettingProblem {
    /// Where, as a JSON pointer inside the settings.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

impl SynthesizeSettings {
    /// What is wrong with the settings beyond their types.
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut found = Vec::new();
        let mut wrong = |pointer: String, message: String| found.push(SettingProblem { pointer, message });
        if self.count == 0 {
            wrong("/count".into(), "`0` problems: expected at least 1".into());
        }
        if self.samples_per_prompt == 0 {
            wrong("/samples_per_prompt".into(), "`0` completions per problem: expected at least 1".into());
        }
        if let Some(Split { from, to, .. }) = self.split
            && !(0.0 <= from && from < to && to <= 1.0)
        {
            wrong("/split".into(), format!("from `{from}` to `{to}`: expected 0 <= from < to <= 1"));
        }
        if let Some(chain) = &self.chain_of_thought {
            for (name, range) in [("checks", chain.checks), ("detours", chain.detours)] {
                range.check(0, 1_000, &format!("/chain_of_thought/{name}"), &mut wrong);
            }
        }
        if let TaskSettings::Mix(parts) = &self.task {
            if parts.is_empty() {
                wrong("/task/mix".into(), "empty: expected at least one task".into());
            }
            for (index, part) in parts.iter().enumerate() {
                let pointer = format!("/task/mix/{index}");
                if part.weight == 0 {
                    wrong(format!("{pointer}/weight"), "`0`: expected at least 1".into());
                }
                part.task.check(&format!("{pointer}/task"), &mut wrong);
            }
        } else {
            self.task.parts().iter().for_each(|(_, task)| task.check("/task", &mut wrong));
        }
        found
    }
}

impl Between {
    fn check(self, least: u32, most: u32, pointer: &str, wrong: &mut impl FnMut(String, String)) {
        let Self { min, max } = self;
        if !(least <= min && min <= max && max <= most) {
            wrong(pointer.to_owned(), format!("`{min}` to `{max}`: expected {least} <= min <= max <= {most}"));
        }
    }
}

impl Task {
    fn check(&self, pointer: &str, wrong: &mut impl FnMut(String, String)) {
        match self {
            Self::Arithmetic(settings) => {
                let pointer = format!("{pointer}/arithmetic");
                settings.operations.check(1, 50, &format!("{pointer}/operations"), wrong);
                let values = Between { min: settings.min_value, max: settings.max_value };
                values.check(0, 999_999_999, &format!("{pointer}/max_value"), wrong);
                if settings.operators.is_empty() {
                    wrong(format!("{pointer}/operators"), "empty: expected at least one operator".into());
                }
            }
            Self::Countdown(settings) => {
                let pointer = format!("{pointer}/countdown");
                settings.numbers.check(2, 7, &format!("{pointer}/numbers"), wrong);
                Between { min: 1, max: settings.max_value }.check(1, 999_999, &format!("{pointer}/max_value"), wrong);
                let distinct = |operator| settings.operators.contains(&operator);
                let count =
                    [Operator::Add, Operator::Subtract, Operator::Multiply].into_iter().filter(|o| distinct(*o));
                if count.count() < 2 {
                    wrong(format!("{pointer}/operators"), "expected at least two different operators".into());
                }
            }
            Self::BaseConversion(settings) => {
                let pointer = format!("{pointer}/base_conversion");
                for (name, bases) in [("from", &settings.from), ("to", &settings.to)] {
                    if bases.is_empty() {
                        wrong(format!("{pointer}/{name}"), "empty: expected at least one base".into());
                    }
                    for base in bases.iter().filter(|base| !(2..=36).contains(*base)) {
                        wrong(format!("{pointer}/{name}"), format!("base `{base}`: expected 2 to 36"));
                    }
                }
                if !settings.from.iter().any(|from| settings.to.iter().any(|to| from != to)) {
                    wrong(format!("{pointer}/to"), "every base to convert to is the base given".into());
                }
                Between { min: 2, max: settings.max_value }.check(
                    2,
                    999_999_999,
                    &format!("{pointer}/max_value"),
                    wrong,
                );
            }
            Self::Calendar(settings) => {
                let pointer = format!("{pointer}/calendar");
                if settings.kinds.is_empty() {
                    wrong(format!("{pointer}/kinds"), "empty: expected at least one kind of question".into());
                }
                settings.years.check(1583, 9000, &format!("{pointer}/years"), wrong);
                Between { min: 1, max: settings.max_days }.check(1, 3_660, &format!("{pointer}/max_days"), wrong);
            }
        }
    }
}

fn one() -> u32 {
    1
}

fn whole() -> f64 {
    1.0
}
