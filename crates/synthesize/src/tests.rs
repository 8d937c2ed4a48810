//! Hand-worked problems, and properties that hold for every problem and chain.

use std::collections::BTreeSet;

use retort_records::completion::{self, ThinkForm};
use serde_json::json;

use crate::calendar::Date;
use crate::chain::Worked;
use crate::generate::{Exercise, SynthesizeError, synthesize};
use crate::settings::{ArithmeticSettings, CalendarKind, Operator, SynthesizeSettings};
use crate::{arithmetic, base_conversion, calendar, countdown};

fn lines(worked: &Worked) -> Vec<String> {
    worked.steps.iter().map(crate::chain::Step::line).collect()
}

fn settings(value: serde_json::Value) -> SynthesizeSettings {
    let settings: SynthesizeSettings = serde_json::from_value(value).expect("settings");
    assert_eq!(settings.problems(), []);
    settings
}

fn all(settings: &SynthesizeSettings, seed: u64) -> Vec<Exercise> {
    synthesize(settings, seed).expect("settings").collect::<Result<_, _>>().expect("enough problems")
}

fn prompts(settings: &SynthesizeSettings, seed: u64) -> BTreeSet<String> {
    all(settings, seed).into_iter().map(|problem| problem.prompt).collect()
}

#[test]
fn arithmetic_is_worked_products_first() {
    use Operator::{Add, Multiply, Subtract};
    let settings = ArithmeticSettings::default();
    let worked = arithmetic::solve(37, &[(Add, 58), (Subtract, 12)], &settings).expect("solvable");
    assert_eq!((worked.compact.as_str(), worked.answer.as_str()), ("37+58-12=", "83"));
    assert_eq!(lines(&worked), ["37+58=95", "95-12=83"]);
    assert_eq!(worked.steps[0].checks, ["37+58=95", "95-58=37"]);
    assert_eq!(worked.steps[1].checks, ["95-12=83", "83+12=95"]);

    let worked = arithmetic::solve(2, &[(Add, 3), (Multiply, 4), (Multiply, 5), (Subtract, 6)], &settings);
    let worked = worked.expect("solvable");
    assert_eq!(lines(&worked), ["3*4=12", "12*5=60", "2+60=62", "62-6=56"]);
    // Turning terms and factors round makes the same problem of them.
    let turned = arithmetic::solve(5, &[(Multiply, 3), (Multiply, 4), (Subtract, 6), (Add, 2)], &settings);
    assert_eq!(turned.expect("solvable").key, worked.key);

    assert!(arithmetic::solve(3, &[(Subtract, 5), (Add, 9)], &settings).is_none());
    let negative = ArithmeticSettings { negative: true, ..settings.clone() };
    let worked = arithmetic::solve(3, &[(Subtract, 5), (Add, 9)], &negative).expect("solvable");
    assert_eq!(lines(&worked), ["3-5=-2", "-2+9=7"]);
}

#[test]
fn columns_carry_and_borrow() {
    use Operator::{Add, Multiply, Subtract};
    let columns = ArithmeticSettings { columns: true, negative: true, ..ArithmeticSettings::default() };
    let worked = |first, rest: &[_]| lines(&arithmetic::solve(first, rest, &columns).expect("solvable"));
    assert_eq!(worked(37, &[(Add, 58)]), ["7+8=15", "3+5+1=9", "37+58=95"]);
    assert_eq!(worked(95, &[(Add, 7)]), ["5+7=12", "9+0+1=10", "0+0+1=1", "95+7=102"]);
    assert_eq!(worked(95, &[(Subtract, 58)]), ["15-8=7", "9-5-1=3", "95-58=37"]);
    assert_eq!(worked(103, &[(Subtract, 8)]), ["13-8=5", "10-0-1=9", "1-0-1=0", "103-8=95"]);
    assert_eq!(worked(58, &[(Subtract, 95)]), ["15-8=7", "9-5-1=3", "58-95=-37"]);
    assert_eq!(worked(37, &[(Multiply, 4)]), ["7*4=28", "30*4=120", "28+120=148", "37*4=148"]);
    assert_eq!(worked(3, &[(Add, 4)]), ["3+4=7"]);
}

#[test]
fn countdown_has_one_solution() {
    use Operator::{Add, Subtract};
    let both = [Add, Subtract];
    let worked = countdown::pose(&[8, 5, 3], &[Add, Subtract], &both).expect("unique");
    assert_eq!((worked.compact.as_str(), worked.answer.as_str()), ("8?5?3=10", "8+5-3"));
    assert_eq!(lines(&worked), ["8+5=13", "13-3=10"]);
    assert_eq!(worked.steps[0].asides, ["8+5+3=16", "8-5+3=6", "8-5-3=0"]);
    // 4+2-2 and 4-2+2 are both 4; 2-5 is below zero.
    assert!(countdown::pose(&[4, 2, 2], &[Add, Subtract], &both).is_none());
    assert!(countdown::pose(&[2, 5], &[Subtract], &both).is_none());
    let products = countdown::pose(&[2, 3, 4], &[Add, Operator::Multiply], &[Operator::Multiply, Add]).expect("unique");
    assert_eq!(lines(&products), ["3*4=12", "2+12=14"]);
    assert_eq!(products.words, "Replace every ? in 2?3?4=14 by one of + * so that it is true.");
}

#[test]
fn bases_are_converted_through_decimal() {
    let worked = base_conversion::convert(25, 10, 2).expect("differs");
    assert_eq!((worked.compact.as_str(), worked.answer.as_str()), ("25 b10>b2=", "11001"));
    assert_eq!(lines(&worked), ["25=12*2+1", "12=6*2+0", "6=3*2+0", "3=1*2+1"]);
    let worked = base_conversion::convert(255, 2, 16).expect("differs");
    assert_eq!((worked.compact.as_str(), worked.answer.as_str()), ("11111111 b2>b16=", "ff"));
    assert_eq!(lines(&worked)[..2], ["1*2+1=3", "3*2+1=7"]);
    assert_eq!(lines(&worked)[7..], ["255=15*16+15"]);
    let worked = base_conversion::convert(15, 16, 10).expect("differs");
    assert_eq!((lines(&worked), worked.answer.as_str()), (vec!["f is 15".to_owned()], "15"));
    assert!(base_conversion::convert(7, 10, 16).is_none());
    assert!(base_conversion::convert(7, 8, 8).is_none());
}

#[test]
fn dates_cross_months_and_leap_days() {
    let day = |year, month, day| Date { year, month, day };
    let worked = calendar::ask(CalendarKind::AddDays, day(2024, 2, 27), 45);
    assert_eq!((worked.compact.as_str(), worked.answer.as_str()), ("2024-02-27+45=", "2024-04-12"));
    assert_eq!(lines(&worked), ["27+45=72", "feb 29: 72-29=43", "mar 31: 43-31=12"]);
    let worked = calendar::ask(CalendarKind::DaysBetween, day(2023, 12, 30), 62);
    assert_eq!((worked.compact.as_str(), worked.answer.as_str()), ("2023-12-30>2024-03-01=", "62"));
    assert_eq!(lines(&worked), ["dec 31: 31-30=1", "jan 31: 1+31=32", "feb 29: 32+29=61", "mar 1: 61+1=62"]);
    let worked = calendar::ask(CalendarKind::Weekday, day(2024, 1, 1), 57);
    assert_eq!((worked.compact.as_str(), worked.answer.as_str()), ("mon 2024-01-01>2024-02-27=", "tue"));
    assert_eq!(lines(&worked)[2..], ["57=8*7+1", "mon+1 is tue"]);
    let worked = calendar::ask(CalendarKind::DaysBetween, day(2024, 5, 3), 20);
    assert_eq!(lines(&worked), ["23-3=20"]);
    // 1 January 2000 was a Saturday, 29 February 2000 a Tuesday, 1 March 1900 a Thursday, 28 February 2100 a Sunday.
    assert_eq!(day(2000, 1, 1).weekday(), 5);
    assert_eq!(day(2000, 2, 29).weekday(), 1);
    assert_eq!(day(1900, 3, 1).weekday(), 3);
    assert_eq!(day(2100, 2, 28).weekday(), 6);
    assert_eq!([day(1900, 2, 1), day(2000, 2, 1), day(2023, 2, 1)].map(Date::month_length), [28, 29, 28]);
}

/// The value of a sum of products of whole numbers.
fn value(expression: &str) -> i64 {
    let mut total = 0;
    let mut at = 0;
    let bytes = expression.as_bytes();
    while at < bytes.len() {
        let sign = match bytes[at] {
            b'-' => -1,
            _ => 1,
        };
        at += usize::from(matches!(bytes[at], b'-' | b'+'));
        let end = expression[at..].find(['+', '-']).map_or(expression.len(), |length| at + length);
        total += sign
            * expression[at..end].split('*').map(|factor| factor.parse::<i64>().expect(expression)).product::<i64>();
        at = end;
    }
    total
}

fn holds(line: &str) -> bool {
    let equation = line.rsplit(": ").next().unwrap_or(line);
    let (left, right) = equation.split_once('=').expect("an equation");
    value(left) == value(right)
}

fn every_task() -> Vec<serde_json::Value> {
    vec![
        json!({"arithmetic": {}}),
        json!({"arithmetic": {"operations": {"min": 2, "max": 6}, "max_value": 999, "operators": ["+", "-", "*"],
            "negative": true, "columns": true}}),
        json!({"countdown": {"operators": ["+", "-", "*"]}}),
        json!({"base_conversion": {"max_value": 4000}}),
        json!({"calendar": {"max_days": 400}}),
        json!({"mix": [{"weight": 3, "task": {"arithmetic": {}}}, {"task": {"calendar": {}}}]}),
    ]
}

#[test]
fn every_chain_is_right_and_every_line_true_outside_detours() {
    for (seed, task) in every_task().into_iter().enumerate() {
        for form in ["bare", "boxed", "sentence"] {
            let settings = settings(json!({"task": task, "count": 300, "samples_per_prompt": 3,
                "chain_of_thought": {"checks": {"min": 1, "max": 4}, "detours": {"min": 0, "max": 5}, "answer_form": form}}));
            let (mut slips, mut asides, mut checks) = (0, 0, 0);
            for problem in all(&settings, seed as u64) {
                assert_eq!(problem.completions.len(), 3);
                for text in &problem.completions {
                    assert!(text.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{text}");
                    let parts = completion::split(text);
                    assert_eq!(parts.form, ThinkForm::Complete, "{text}");
                    let answer = parts.answer.expect("an answer");
                    let answer =
                        answer.strip_prefix("The answer is ").and_then(|rest| rest.strip_suffix('.')).unwrap_or(answer);
                    let answer =
                        answer.strip_prefix("\\boxed{").and_then(|rest| rest.strip_suffix('}')).unwrap_or(answer);
                    assert_eq!(answer, problem.reference_answer, "{text}");
                    assert_eq!(completion::join(parts.reasoning, parts.answer.expect("an answer")), *text);
                    for line in parts.reasoning.expect("reasoning").lines() {
                        if let Some(detour) = line.strip_suffix(" wait") {
                            *(if holds(detour) { &mut asides } else { &mut slips }) += 1;
                        } else if let Some(check) = line.strip_prefix("check ") {
                            checks += 1;
                            assert!(holds(check.strip_suffix(" ok").expect("a check")), "{line}");
                        } else if line.contains('=') {
                            assert!(holds(line), "{line} in {text}");
                        } else {
                            assert!(line.contains(" is "), "{line}");
                        }
                    }
                }
            }
            assert!(slips > 50 && asides > 50 && checks > 300, "{slips} {asides} {checks} {task}");
        }
    }
}

#[test]
fn answers_of_arithmetic_are_the_values_of_the_prompts() {
    for seed in 0..4 {
        for problem in all(&settings(json!({"task": every_task()[1].clone(), "count": 200})), seed) {
            assert_eq!(value(problem.prompt.trim_end_matches('=')).to_string(), problem.reference_answer);
            assert!(problem.completions.is_empty());
        }
        for problem in all(&settings(json!({"task": {"countdown": {}}, "count": 200})), seed) {
            let (asked, target) = problem.prompt.split_once('=').expect("an equation");
            assert_eq!(value(&problem.reference_answer), value(target));
            assert_eq!(problem.reference_answer.replace(['+', '-'], "?"), asked);
        }
    }
}

#[test]
fn splits_share_no_problem() {
    for task in every_task() {
        let part = |split: serde_json::Value, style: &str, seed| {
            let drawn = all(&settings(json!({"task": task, "count": 400, "split": split, "style": style})), seed);
            drawn.into_iter().map(|problem| problem.prompt).collect::<BTreeSet<_>>()
        };
        let names = ["train", "validation", "heldout", "test"];
        let sets: Vec<_> = (0..).zip(names).map(|(seed, name)| part(json!({"name": name}), "compact", seed)).collect();
        for (index, set) in sets.iter().enumerate() {
            assert_eq!(set.len(), 400);
            assert!(sets[..index].iter().all(|other| other.is_disjoint(set)), "{task}");
        }
        let low = part(json!({"name": "train", "to": 0.5}), "compact", 1);
        let high = part(json!({"name": "train", "from": 0.5}), "compact", 1);
        assert!(low.is_disjoint(&high));
    }
    // The order of terms does not move a problem to another split.
    let small = |name: &str| {
        let task = json!({"arithmetic": {"operations": {"min": 1, "max": 1}, "max_value": 40, "operators": ["+"]}});
        prompts(&settings(json!({"task": task, "count": 100, "split": {"name": name}})), 3)
    };
    let turned: BTreeSet<String> = small("train")
        .iter()
        .map(|prompt| {
            let (a, b) = prompt.trim_end_matches('=').split_once('+').expect("a sum");
            format!("{b}+{a}=")
        })
        .collect();
    assert!(turned.is_disjoint(&small("heldout")));
}

#[test]
fn a_small_space_is_used_up_and_no_more() {
    let small = |count: u64| {
        let task = json!({"arithmetic": {"operations": {"min": 1, "max": 1}, "min_value": 0, "max_value": 9,
            "operators": ["+"]}});
        settings(json!({"task": task, "count": count}))
    };
    assert_eq!(prompts(&small(100), 1).len(), 100);
    let drawn: Vec<_> = synthesize(&small(101), 1).expect("settings").collect();
    assert_eq!(drawn.len(), 101);
    assert_eq!(drawn[100], Err(SynthesizeError::TooFew { found: 100, wanted: 101 }));
}

#[test]
fn equal_seeds_give_equal_problems() {
    let make = |count: u64, seed| {
        all(&settings(json!({"task": every_task()[5].clone(), "count": count, "chain_of_thought": {}})), seed)
    };
    assert_eq!(make(50, 7), make(50, 7));
    assert_eq!(make(50, 7), make(80, 7)[..50]);
    assert_ne!(make(50, 7), make(50, 8));
}

#[test]
fn chains_of_one_problem_differ_in_length_and_keep_to_the_limit() {
    let chain = |settings_of_chain: serde_json::Value| {
        let task = json!({"arithmetic": {"operations": {"min": 2, "max": 3}}});
        all(
            &settings(
                json!({"task": task, "count": 100, "samples_per_prompt": 8, "chain_of_thought": settings_of_chain}),
            ),
            5,
        )
    };
    let none = json!({"min": 0, "max": 0});
    for problem in chain(json!({"checks": none, "detours": none})) {
        assert!(problem.completions.iter().all(|text| *text == problem.completions[0] && text.len() < 70));
    }
    let many = json!({"min": 0, "max": 12});
    let mut spread = 0;
    for problem in chain(json!({"checks": many, "detours": many})) {
        let lengths: BTreeSet<usize> = problem.completions.iter().map(String::len).collect();
        let (shortest, longest) = (lengths.first().expect("some"), lengths.last().expect("some"));
        spread += usize::from(longest > &(2 * shortest));
    }
    assert!(spread > 50, "{spread}");
    let mut longest = 0;
    for problem in chain(json!({"checks": many, "detours": many, "max_characters": 200})) {
        for text in &problem.completions {
            longest = longest.max(problem.prompt.len() + text.len());
        }
    }
    assert!((150..=200).contains(&longest), "{longest}");
}

#[test]
fn contradictory_settings_are_named() {
    let of = |value| serde_json::from_value::<SynthesizeSettings>(value);
    let wrong =
        of(json!({"task": {"mix": [{"weight": 0, "task": {"arithmetic": {"operations": {"min": 3, "max": 1}}}}]},
        "count": 0, "split": {"name": "train", "from": 0.5, "to": 0.5}}));
    let wrong = wrong.expect("well formed");
    let pointers: Vec<String> = wrong.problems().into_iter().map(|problem| problem.pointer).collect();
    assert_eq!(pointers, ["/count", "/split", "/task/mix/0/weight", "/task/mix/0/task/arithmetic/operations"]);
    assert!(matches!(synthesize(&wrong, 0).err(), Some(SynthesizeError::Settings(_))));
    assert!(of(json!({"task": {"arithmetic": {"operation": 1}}, "count": 1})).is_err());
    assert!(of(json!({"task": {"arithmetic": {}}, "count": 1, "split": {"name": "dev"}})).is_err());
    for task in every_task() {
        let settings = settings(json!({"task": task, "count": 1}));
        let text = serde_json::to_string(&settings).expect("writes");
        assert_eq!(serde_json::from_str::<SynthesizeSettings>(&text).expect("reads"), settings);
    }
}
