//! Numbers written in another base: into decimal by Horner's rule, out of decimal by repeated division.

use crate::chain::{Step, Worked};
use crate::random::Random;
use crate::settings::BaseConversionSettings;

/// A problem, or `None` when the drawn bases are the same or the number looks the same in both.
pub(crate) fn draw(settings: &BaseConversionSettings, random: &mut Random) -> Option<Worked> {
    let number = random.between(2, settings.max_value.into());
    let (from, to) = (*random.pick(&settings.from)?, *random.pick(&settings.to)?);
    convert(number, from.into(), to.into())
}

/// Asks for `number`, given in base `from`, in base `to`.
pub(crate) fn convert(number: i64, from: i64, to: i64) -> Option<Worked> {
    let (given, answer) = (digits(number, from), digits(number, to));
    if from == to || given == answer {
        return None;
    }
    let mut steps = Vec::new();
    if from != 10 {
        let mut value = 0;
        for (index, digit) in given.iter().enumerate() {
            let next = value * from + digit;
            if index > 0 {
                let mut step = Step::new(format!("{value}*{from}+{digit}="), next);
                step.checks = vec![format!("{next}-{digit}={value}*{from}")];
                step.asides = vec![format!("{value}+{digit}={}", value + digit)];
                steps.push(step);
            }
            value = next;
        }
    }
    if to != 10 {
        let mut value = number;
        while value >= to {
            let (quotient, remainder) = (value / to, value % to);
            let mut step = Step::new(format!("{value}={quotient}*{to}+"), remainder);
            step.checks = vec![format!("{quotient}*{to}+{remainder}={value}")];
            step.asides = vec![format!("{value}-{to}={}", value - to)];
            steps.push(step);
            value = quotient;
        }
    }
    if steps.is_empty() {
        // A single digit such as `f` or a number below the new base.
        steps.push(Step::statement(format!("{} is {}", spelt(&given), spelt(&answer))));
    }
    let (given, answer) = (spelt(&given), spelt(&answer));
    Some(Worked {
        key: format!("base_conversion {number} {from} {to}"),
        compact: format!("{given} b{from}>b{to}="),
        words: format!("Write {given} (base {from}) in base {to}."),
        answer,
        domain: "math",
        steps,
    })
}

/// The digits of a positive number, most significant first.
fn digits(number: i64, base: i64) -> Vec<i64> {
    let mut digits = Vec::new();
    let mut rest = number;
    while rest > 0 {
        digits.push(rest % base);
        rest /= base;
    }
    digits.reverse();
    digits
}

fn spelt(digits: &[i64]) -> String {
    digits.iter().filter_map(|&digit| char::from_digit(digit as u32, 36)).collect()
}
