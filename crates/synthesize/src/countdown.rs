//! Find the operators between given numbers, after the game of Countdown. The numbers keep their order, and only
//! problems with a single solution are made, so that the answer is exact.

use crate::arithmetic::{step, written};
use crate::chain::{Step, Worked};
use crate::random::Random;
use crate::settings::{CountdownSettings, Operator};

/// Wrong tries that a problem offers as detours.
const TRIES: usize = 16;

/// A problem, or `None` when the drawn numbers have several solutions.
pub(crate) fn draw(settings: &CountdownSettings, random: &mut Random) -> Option<Worked> {
    let count = random.between(settings.numbers.min.into(), settings.numbers.max.into());
    let numbers: Vec<i64> = (0..count).map(|_| random.between(1, settings.max_value.into())).collect();
    let operators: Option<Vec<Operator>> = (1..count).map(|_| random.pick(&settings.operators).copied()).collect();
    pose(&numbers, &operators?, &settings.operators)
}

/// Asks for `operators` between `numbers`, given the result.
pub(crate) fn pose(numbers: &[i64], operators: &[Operator], allowed: &[Operator]) -> Option<Worked> {
    let (&first, others) = numbers.split_first()?;
    let pairs = |operators: &[Operator]| -> Vec<(Operator, i64)> {
        operators.iter().copied().zip(others.iter().copied()).collect()
    };
    let allowed: Vec<Operator> = [Operator::Add, Operator::Subtract, Operator::Multiply]
        .into_iter()
        .filter(|operator| allowed.contains(operator))
        .collect();
    let solution = pairs(operators);
    let (target, steps) = evaluate(first, &solution)?;
    if target < 0 {
        return None;
    }

    let mut tries = Vec::new();
    for mut code in 0..allowed.len().pow(others.len() as u32) {
        let other: Vec<Operator> = others
            .iter()
            .map(|_| {
                let operator = allowed[code % allowed.len()];
                code /= allowed.len();
                operator
            })
            .collect();
        if other == operators {
            continue;
        }
        let (value, _) = evaluate(first, &pairs(&other))?;
        if value == target {
            return None;
        }
        if tries.len() < TRIES {
            tries.push(format!("{}={value}", written(first, &pairs(&other))));
        }
    }

    let asked = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join("?");
    let names: Vec<String> = allowed.iter().map(|operator| operator.sign().to_string()).collect();
    let answer = written(first, &solution);
    let mut steps = steps;
    for step in &mut steps {
        step.asides.clear();
    }
    if let Some(step) = steps.first_mut() {
        step.asides = tries;
    }
    if let Some(step) = steps.last_mut() {
        step.checks.push(format!("{answer}={target}"));
    }
    Some(Worked {
        key: format!("countdown {asked}={target} {names:?}"),
        compact: format!("{asked}={target}"),
        words: format!("Replace every ? in {asked}={target} by one of {} so that it is true.", names.join(" ")),
        answer,
        domain: "math",
        steps,
    })
}

/// The value, products first, and the steps to it.
fn evaluate(first: i64, rest: &[(Operator, i64)]) -> Option<(i64, Vec<Step>)> {
    let mut steps = Vec::new();
    let mut apply = |a: i64, operator: Operator, b: i64| {
        let result = operator.apply(a, b)?;
        steps.push(step(a, operator, b, result));
        Some(result)
    };
    let mut terms: Vec<(Operator, i64)> = vec![(Operator::Add, first)];
    for &(operator, number) in rest {
        match (operator, terms.last_mut()) {
            (Operator::Multiply, Some((_, value))) => *value = apply(*value, operator, number)?,
            _ => terms.push((operator, number)),
        }
    }
    let mut total = terms[0].1;
    for &(operator, value) in &terms[1..] {
        total = apply(total, operator, value)?;
    }
    Some((total, steps))
}
