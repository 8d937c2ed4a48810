//! Sums, differences and products of whole numbers, worked left to right with products first.

use crate::chain::{Step, Worked};
use crate::random::Random;
use crate::settings::{ArithmeticSettings, Operator};

/// Results beyond this size are not asked for.
const LARGEST: i64 = 1_000_000_000_000_000;

impl Operator {
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
        }
    }

    pub(crate) fn apply(self, a: i64, b: i64) -> Option<i64> {
        let result = match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => a.checked_sub(b),
            Self::Multiply => a.checked_mul(b),
        };
        result.filter(|value| value.abs() <= LARGEST)
    }
}

/// A problem, or `None` when the draw breaks a rule of the settings.
pub(crate) fn draw(settings: &ArithmeticSettings, random: &mut Random) -> Option<Worked> {
    let operations = random.between(settings.operations.min.into(), settings.operations.max.into());
    let value = |random: &mut Random| random.between(settings.min_value.into(), settings.max_value.into());
    let first = value(random);
    let rest: Option<Vec<(Operator, i64)>> =
        (0..operations).map(|_| Some((*random.pick(&settings.operators)?, value(random)))).collect();
    solve(first, &rest?, settings)
}

/// Works `first` and the operations after it out.
pub(crate) fn solve(first: i64, rest: &[(Operator, i64)], settings: &ArithmeticSettings) -> Option<Worked> {
    let expression = written(first, rest);
    // Terms of the sum: a sign and factors.
    let mut terms = vec![(Operator::Add, vec![first])];
    for &(operator, number) in rest {
        match (operator, terms.last_mut()) {
            (Operator::Multiply, Some((_, factors))) => factors.push(number),
            _ => terms.push((operator, vec![number])),
        }
    }
    let mut worker = Worker { settings, steps: Vec::new() };
    let mut total: Option<i64> = None;
    let products: Option<Vec<i64>> = terms
        .iter()
        .map(|(_, factors)| {
            let mut product = factors[0];
            for &factor in &factors[1..] {
                product = worker.operate(product, Operator::Multiply, factor)?;
            }
            Some(product)
        })
        .collect();
    for ((operator, _), value) in terms.iter().zip(products?) {
        total = Some(match total {
            None => value,
            Some(total) => worker.operate(total, *operator, value)?,
        });
    }
    let answer = total?.to_string();

    for (_, factors) in &mut terms {
        factors.sort_unstable();
    }
    terms.sort_by(|a, b| (a.0.sign(), &a.1).cmp(&(b.0.sign(), &b.1)));
    Some(Worked {
        key: format!("arithmetic {:?}", terms.iter().map(|(o, f)| (o.sign(), f)).collect::<Vec<_>>()),
        compact: format!("{expression}="),
        words: format!("What is {expression}?"),
        answer,
        domain: "math",
        steps: worker.steps,
    })
}

/// `8+5-3`.
pub(crate) fn written(first: i64, rest: &[(Operator, i64)]) -> String {
    use std::fmt::Write;
    rest.iter().fold(first.to_string(), |mut text, (operator, number)| {
        let _ = write!(text, "{}{number}", operator.sign());
        text
    })
}

/// The step `a operator b`, with everything that may be said around it; `b` is not negative.
pub(crate) fn step(a: i64, operator: Operator, b: i64, result: i64) -> Step {
    let sign = operator.sign();
    let again = format!("{a}{sign}{b}={result}");
    let other = match operator {
        Operator::Add => format!("{result}-{b}={a}"),
        Operator::Subtract => format!("{result}+{b}={a}"),
        Operator::Multiply => format!("{b}*{a}={result}"),
    };
    let (high, low) = (a.max(b), a.min(b).max(0));
    let aside = match operator {
        Operator::Subtract => format!("{high}+{low}={}", high + low),
        Operator::Add | Operator::Multiply => format!("{high}-{low}={}", high - low),
    };
    Step { checks: vec![again, other], asides: vec![aside], ..Step::new(format!("{a}{sign}{b}="), result) }
}

struct Worker<'a> {
    settings: &'a ArithmeticSettings,
    steps: Vec<Step>,
}

impl Worker<'_> {
    /// Adds the steps of `a operator b`; `None` when the result is not allowed.
    fn operate(&mut self, a: i64, operator: Operator, b: i64) -> Option<i64> {
        let result = operator.apply(a, b).filter(|result| self.settings.negative || *result >= 0)?;
        if self.settings.columns {
            match operator {
                Operator::Multiply => self.multiply_columns(a, b),
                // -37+58 is 58-37, and -37-58 is -(37+58).
                Operator::Add if a < 0 => self.subtract_columns(b.max(-a), b.min(-a)),
                Operator::Subtract if a < 0 => self.add_columns(-a, b),
                Operator::Add => self.add_columns(a, b),
                Operator::Subtract => self.subtract_columns(a.max(b), a.min(b)),
            }
        }
        self.steps.push(step(a, operator, b, result));
        Some(result)
    }

    /// The digit sums of `a+b` from the right, carries included. Both have one digit: nothing to do.
    fn add_columns(&mut self, a: i64, b: i64) {
        let (mut a, mut b, mut carry) = (a, b, 0);
        if a < 10 && b < 10 {
            return;
        }
        while (a > 0 && b > 0) || carry > 0 {
            let sum = a % 10 + b % 10 + carry;
            let carried = if carry > 0 { "+1" } else { "" };
            self.steps.push(Step::new(format!("{}+{}{carried}=", a % 10, b % 10), sum));
            (a, b, carry) = (a / 10, b / 10, sum / 10);
        }
    }

    /// The digit differences of `a-b` from the right, `a` at least `b`, borrowed tens included.
    fn subtract_columns(&mut self, a: i64, b: i64) {
        let (mut a, mut b, mut borrow) = (a, b, 0);
        if a < 10 {
            return;
        }
        while b > 0 || borrow > 0 {
            let (high, low) = (a % 10, b % 10);
            let lent = if high - low - borrow < 0 { 10 } else { 0 };
            let borrowed = if borrow > 0 { "-1" } else { "" };
            self.steps.push(Step::new(format!("{}-{low}{borrowed}=", high + lent), high + lent - low - borrow));
            (a, b, borrow) = (a / 10, b / 10, lent / 10);
        }
    }

    /// The product by digits: each pair of digits with its zeros, added up.
    fn multiply_columns(&mut self, a: i64, b: i64) {
        let (sign, a) = (a.signum(), a.abs());
        if sign == 0 || b == 0 || (a < 10 && b < 10) {
            return;
        }
        let parts = |mut number: i64| {
            let mut place = 1;
            std::iter::from_fn(move || {
                (number > 0).then(|| {
                    let part = number % 10 * place;
                    (number, place) = (number / 10, place * 10);
                    part
                })
            })
            .filter(|part| *part > 0)
        };
        let mut total: Option<i64> = None;
        for low in parts(b) {
            for high in parts(a) {
                let product = high * low;
                self.steps.push(Step::new(format!("{high}*{low}="), product));
                if let Some(sum) = total {
                    self.steps.push(Step::new(format!("{sum}+{product}="), sum + product));
                }
                total = Some(total.unwrap_or(0) + product);
            }
        }
    }
}
