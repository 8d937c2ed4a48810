//! Values with one number at every point: units, percent and degree signs, bases, roundings.

use std::collections::BTreeSet;

use num_rational::BigRational;

use super::{
    super::{
        eval::{Eval, Family, Point},
        expr::{Const, Expr},
        identity::{Same, has_bare_log, identical, is_constant},
        relations::residues,
        settings::{Percent, UnitPolicy},
        units::{self, Phrase, Question, Units},
        value::Number,
    },
    Comparer, said,
};

impl Comparer<'_> {
    /// Compares two values; a letter that may be a unit (`5 m`) is one when the other side has a unit.
    pub(super) fn scalars(&mut self, a: &Expr, b: &Expr) -> Same {
        let measured = |expr: &Expr| matches!(expr, Expr::Quantity(..));
        if !measured(a)
            && !measured(b)
            && let Some(same) = residues(a, b, &mut self.budget)
        {
            return same;
        }
        let same = self.measured(a, b);
        if !same.is_different() {
            return same;
        }
        let (a_read, b_read) = (letter_unit(a), letter_unit(b));
        if a_read.is_none() && b_read.is_none() {
            return same;
        }
        let (a, b) = (a_read.as_ref().unwrap_or(a), b_read.as_ref().unwrap_or(b));
        let both = matches!(a, Expr::Quantity(..)) && matches!(b, Expr::Quantity(..));
        match self.measured(a, b) {
            equal @ Same::Equal(_) if both && (a_read.is_none() || b_read.is_none()) => equal,
            Same::Equal(_) => Same::Unknown("a letter may be a unit or a variable"),
            _ => same,
        }
    }

    /// Compares two values with their units, percent and degree signs.
    fn measured(&mut self, a: &Expr, b: &Expr) -> Same {
        let (a, b) = (Value::read(a, self.question), Value::read(b, self.question));
        if let (Expr::Base(a_digits, a_base), Expr::Base(b_digits, b_base)) = (&a.expr, &b.expr) {
            if a_base == b_base {
                return said(
                    a_digits.trim_start_matches('0') == b_digits.trim_start_matches('0'),
                    "digits to the same base",
                );
            }
        } else if let (Expr::Base(digits, base), other) | (other, Expr::Base(digits, base)) = (&a.expr, &b.expr)
            && *base != 10
        {
            // Either the value or the digits without their base: one of them was not asked for.
            let written =
                matches!(other, Expr::Num(value, 0) if value.is_integer() && value.to_integer().to_string() == *digits);
            let same = identical(&a.expr, &b.expr, false, &mut self.budget);
            return if written || same.is_equal() {
                Same::Unknown("a number with a base and one without")
            } else {
                same
            };
        }
        if let Some(same) = self.angles(&a, &b) {
            return same;
        }
        if a.bare.is_some() != b.bare.is_some() {
            return self.magnitudes(&a, &b);
        }
        let bases_differ = matches!((&a.expr, &b.expr), (Expr::Base(..), Expr::Base(..)));
        let same = self.marked(&a, &b);
        if bases_differ && same.is_equal() {
            return Same::Unknown("equal values to different bases");
        }
        self.with_units(&a, &b, same)
    }

    /// Degrees against radians that say so, and percentages against measures.
    fn angles(&mut self, a: &Value, b: &Value) -> Option<Same> {
        for (one, other) in [(a, b), (b, a)] {
            let Some(phrase) = other.phrase.as_ref().filter(|_| one.phrase.is_none()) else { continue };
            let radians = Phrase::read("rad", self.question);
            if one.mark == Mark::Degree && phrase.compare(&radians) == Units::Agree {
                return Some(self.plain(&one.scaled(), &other.expr));
            }
            if one.mark == Mark::Percent && other.mark == Mark::None && phrase.is_forgiven() && phrase.is_measure() {
                return Some(Same::Different("a percentage and a measure"));
            }
        }
        None
    }

    /// `5 million` against a number: 5,000,000, unless only 5 was asked for.
    fn magnitudes(&mut self, a: &Value, b: &Value) -> Same {
        let same = self.marked(a, b);
        let same = self.with_units(a, b, same);
        let (bare, other) = match (&a.bare, &b.bare) {
            (Some(bare), _) => (bare, &b.expr),
            (None, Some(bare)) => (bare, &a.expr),
            (None, None) => return same,
        };
        if same.is_different() && self.plain(bare, other).is_equal() {
            return Same::Unknown("a number of thousands or millions, or that many");
        }
        same
    }

    fn with_units(&mut self, a: &Value, b: &Value, same: Same) -> Same {
        match (&a.phrase, &b.phrase) {
            (None, None) => same,
            (Some(phrase), None) | (None, Some(phrase)) => match self.settings.units {
                _ if !phrase.is_forgiven() => Same::Unknown("the words beside a number may change it"),
                UnitPolicy::Strict if same.is_equal() => Same::Different("a unit is missing"),
                _ => same,
            },
            (Some(a_phrase), Some(b_phrase)) => match a_phrase.compare(b_phrase) {
                Units::Agree => same,
                Units::Unclear => Same::Unknown("the words beside the numbers may differ"),
                _ if self.settings.units == UnitPolicy::Ignore => same,
                Units::Differ | Units::Inexact if same.is_equal() => {
                    Same::Different("the units are of different kinds")
                }
                Units::Inexact => Same::Unknown("the units do not convert by a factor"),
                Units::Differ => same,
                Units::Factor(factor) => {
                    let scaled = Expr::Mul(vec![a.expr.clone(), Expr::Num(factor, 0)]);
                    self.plain(&scaled, &b.expr)
                }
            },
        }
    }

    /// Compares two values with their percent and degree signs.
    fn marked(&mut self, a: &Value, b: &Value) -> Same {
        let same = self.plain(&a.expr, &b.expr);
        if a.mark == b.mark {
            return same;
        }
        // `28%` is 28 without its sign, or 0.28; `90°` is 90 without its sign, or π/2.
        let percent = a.mark == Mark::Percent || b.mark == Mark::Percent;
        if same.is_equal() && !(percent && self.settings.percent == Percent::Strict) {
            return same;
        }
        let value = self.plain(&a.scaled(), &b.scaled());
        if value.is_equal() || percent && self.settings.percent == Percent::Strict { value } else { same }
    }

    /// Compares two expressions.
    pub(super) fn plain(&mut self, a: &Expr, b: &Expr) -> Same {
        let same = identical(a, b, false, &mut self.budget);
        if same.is_equal() {
            return same;
        }
        if same.is_different() {
            if self.rounded(a, b) || self.rounded(b, a) {
                return Same::Equal("rounded");
            }
            if (has_bare_log(a) || has_bare_log(b)) && identical(a, b, true, &mut self.budget).is_equal() {
                return Same::Unknown("`log` may be the natural or the decimal logarithm");
            }
            if let Some((from, to)) = integration(a, b)
                && identical(&a.with(&from, &Expr::Var(to)), b, false, &mut self.budget).is_equal()
            {
                return Same::Equal("the constant of integration in another case");
            }
            if let Some((from, to)) = renaming(a, b)
                && identical(&a.with(&from, &Expr::Var(to)), b, false, &mut self.budget).is_equal()
            {
                return Same::Unknown("equal but for the name of the variable");
            }
        }
        same
    }

    /// Whether the decimal number `a` is `b`, correctly rounded to its last place, with enough places to be taken for it.
    fn rounded(&mut self, a: &Expr, b: &Expr) -> bool {
        let (Some(needed), Some((value, places))) = (self.settings.decimal_places, decimal_literal(a)) else {
            return false;
        };
        let significant = value.numer().magnitude().to_string().len() as u32;
        if places < needed || significant + 1 < needed || !is_constant(b) {
            return false;
        }
        let mut eval = Eval::new(Point { family: Family::Fractions, index: 0 }, 256, false, &mut self.budget);
        let Ok(other) = eval.value(b) else { return false };
        let arithmetic = &mut eval.arithmetic;
        let Ok(difference) = arithmetic.add(&other, &Number::exact(-value)) else { return false };
        let Ok(distance) = arithmetic.abs(&difference) else { return false };
        let half = BigRational::new(1.into(), num_traits::pow(num_bigint::BigInt::from(10), places as usize) * 2);
        arithmetic.compare(&distance, &Number::exact(half)).is_ok_and(std::cmp::Ordering::is_le)
    }
}

/// A value without its unit and sign.
struct Value {
    expr: Expr,
    /// The words beside it, as written.
    unit: String,
    /// What they mean, if there are any but those that multiply.
    phrase: Option<Phrase>,
    mark: Mark,
    /// The number before a word such as `million`, which `expr` has multiplied.
    bare: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Percent,
    Degree,
}

impl Value {
    /// The value that the percent or degree sign stands for.
    fn scaled(&self) -> Expr {
        let expr = self.expr.clone();
        match self.mark {
            Mark::None => expr,
            Mark::Percent => Expr::Div(Box::new(expr), Box::new(Expr::int(100))),
            Mark::Degree => {
                Expr::Mul(vec![expr, Expr::Div(Box::new(Expr::Const(Const::Pi)), Box::new(Expr::int(180)))])
            }
        }
    }

    /// Takes an answer apart, and what its words multiply it by.
    fn read(expr: &Expr, question: Question<'_>) -> Self {
        let mut value = Self::of(expr);
        if value.unit.is_empty() {
            return value;
        }
        let phrase = Phrase::read(&value.unit, question);
        if let Some(size) = &phrase.multiplier {
            let bare = value.expr.clone();
            value.expr = Expr::Mul(vec![bare.clone(), Expr::Num(size.clone(), 0)]);
            value.bare = Some(bare);
        }
        value.phrase = (!phrase.is_empty()).then_some(phrase);
        value
    }

    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Quantity(inner, unit) => {
                let inner = Self::of(inner);
                if ordinal(unit) {
                    return inner;
                }
                Self { unit: format!("{} {unit}", inner.unit).trim().to_owned(), ..inner }
            }
            Expr::Percent(inner) => Self { mark: Mark::Percent, ..Self::of(inner) },
            Expr::Degree(inner) => Self { mark: Mark::Degree, ..Self::of(inner) },
            Expr::Neg(inner) => {
                let inner = Self::of(inner);
                Self { expr: inner.expr.negative(), ..inner }
            }
            other => Self { expr: other.clone(), unit: String::new(), phrase: None, mark: Mark::None, bare: None },
        }
    }
}

/// `5 m`, `5 m^2`, `5 N m`, `5 m/s` and `5 m per second` read as quantities, when the letters are ones that units have.
fn letter_unit(expr: &Expr) -> Option<Expr> {
    let (value, unit) = letters_apart(expr)?;
    Some(Expr::Quantity(Box::new(value), unit))
}

fn letters_apart(expr: &Expr) -> Option<(Expr, String)> {
    match expr {
        Expr::Mul(items) => {
            let letters = items.iter().rev().map_while(unit_letter).count();
            let (rest, last) = items.split_at(items.len() - letters);
            let units: Vec<_> = last.iter().filter_map(unit_letter).collect();
            let value = if rest.len() == 1 { rest[0].clone() } else { Expr::Mul(rest.to_vec()) };
            (!rest.is_empty() && letters > 0 && is_constant(&value)).then(|| (value, units.join(" ")))
        }
        Expr::Div(left, right) => {
            let (value, unit) = letters_apart(left)?;
            Some((value, format!("{unit}/{}", unit_letter(right)?)))
        }
        Expr::Quantity(inner, words) => {
            let (value, unit) = letters_apart(inner)?;
            Some((value, format!("{unit} {words}")))
        }
        _ => None,
    }
}

/// `m` or `m^2`.
fn unit_letter(expr: &Expr) -> Option<String> {
    let letter = |expr: &Expr| match expr {
        Expr::Var(name)
            if matches!(name.as_str(), "m" | "g" | "s" | "h" | "l" | "L" | "t" | "N" | "J" | "W" | "V" | "A") =>
        {
            Some(name.clone())
        }
        Expr::Var(name) if name.len() > 1 && units::is_known(name) => Some(name.clone()),
        _ => None,
    };
    match expr {
        Expr::Pow(base, power) => match power.as_ref() {
            Expr::Num(value, 0) => Some(format!("{} ^{value}", letter(base)?)),
            _ => None,
        },
        other => letter(other),
    }
}

fn ordinal(unit: &str) -> bool {
    matches!(unit, "st" | "nd" | "rd" | "th")
}

/// The value and the places of a decimal number.
fn decimal_literal(expr: &Expr) -> Option<(BigRational, u32)> {
    match expr {
        Expr::Num(value, places) if *places > 0 => Some((value.clone(), *places)),
        Expr::Neg(inner) => decimal_literal(inner).map(|(value, places)| (-value, places)),
        _ => None,
    }
}

/// The names of a constant that is `C` on one side and `c` on the other, as a term of a sum.
fn integration(a: &Expr, b: &Expr) -> Option<(String, String)> {
    let term = |expr: &Expr| match expr {
        Expr::Add(terms) => terms.iter().find_map(|term| match term {
            Expr::Var(name) if matches!(name.as_str(), "C" | "c") => Some(name.clone()),
            _ => None,
        }),
        _ => None,
    };
    let (a, b) = (term(a)?, term(b)?);
    (a != b).then_some((a, b))
}

/// The variables' names, if the expressions have one each and they differ. A variable alone is an answer by its name.
fn renaming(a: &Expr, b: &Expr) -> Option<(String, String)> {
    if matches!(a, Expr::Var(_)) || matches!(b, Expr::Var(_)) {
        return None;
    }
    let (a, b) = (a.variables(), b.variables());
    let only = |names: BTreeSet<String>| if names.len() == 1 { names.into_iter().next() } else { None };
    let (a, b) = (only(a)?, only(b)?);
    (a != b).then_some((a, b))
}
