//! Whether two answers are the same answer: the rules for each kind and between kinds.

mod scalars;
mod sequences;

use std::collections::BTreeSet;

use num_traits::{Signed, ToPrimitive};

use super::{
    expr::{Bracket, Expr, Join},
    identity::{Same, is_constant},
    limits::{Budget, STEPS},
    matrix::folded,
    numerals::number_word,
    relations::{assigned, chains, is_name},
    sets,
    settings::MathSettings,
    units::Question,
};

/// Compares answers under some settings.
pub struct Comparer<'s> {
    /// The rules.
    pub settings: &'s MathSettings,
    /// The steps that are left.
    pub budget: Budget,
    /// What is asked.
    question: Question<'s>,
    depth: u32,
}

const DIFFERENT: Same = Same::Different("the answers are of different kinds");

impl<'s> Comparer<'s> {
    /// A comparer with a fresh budget.
    pub fn new(settings: &'s MathSettings, question: Question<'s>) -> Self {
        Self { settings, budget: Budget::default(), question, depth: 0 }
    }

    /// A comparer for a second reading, with a smaller budget.
    pub fn brief(settings: &'s MathSettings, question: Question<'s>) -> Self {
        Self { settings, budget: Budget::new(STEPS / 8), question, depth: 0 }
    }

    /// Compares two answers as parsed.
    pub fn answers(&mut self, a: &Expr, b: &Expr) -> Same {
        if a == b {
            return Same::Equal("identical");
        }
        if self.depth > 12 || self.budget.take(50).is_err() {
            return Same::Unknown("the budget of steps is used up");
        }
        self.depth += 1;
        // In a fixed order: what the budget still allows must not depend on which of the two is the reference answer.
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let same = self.dispatch(a, b);
        self.depth -= 1;
        same
    }

    fn dispatch(&mut self, a: &Expr, b: &Expr) -> Same {
        if let (Expr::Chain(a_sides, a_relations), Expr::Chain(b_sides, b_relations)) = (a, b) {
            return self.relations(a, (a_sides, a_relations), b, (b_sides, b_relations));
        }
        let (a_name, a_value) = assigned(a);
        let (b_name, b_value) = assigned(b);
        if a_name.is_some() && matches!(a_value, Expr::Chain(..))
            || b_name.is_some() && matches!(b_value, Expr::Chain(..))
        {
            return Same::Unknown("a relation inside a relation");
        }
        self.values(&a_value, &b_value)
    }

    fn relations(
        &mut self,
        a: &Expr,
        a_parts: (&[Expr], &[super::expr::Relation]),
        b: &Expr,
        b_parts: (&[Expr], &[super::expr::Relation]),
    ) -> Same {
        let ((a_name, a_value), (b_name, b_value)) = (assigned(a), assigned(b));
        let still_chain = |value: &Expr| matches!(value, Expr::Chain(..));
        match (a_name, b_name) {
            (Some(a_name), Some(b_name)) => {
                let (same_name, renamed) = same_function(a_name, &a_value, b_name, &b_value);
                let b_value = renamed.unwrap_or(b_value);
                let same = self.answers(&a_value, &b_value);
                if same_name || (same.is_different() && is_constant(&a_value) && is_constant(&b_value)) {
                    return same;
                }
                if a_value.is_scalar() && b_value.is_scalar() {
                    let equation = chains(a_parts, b_parts, &mut self.budget);
                    if !matches!(equation, Same::Unknown(_)) {
                        return equation;
                    }
                }
                return if same.is_equal() { Same::Unknown("equal values of different names") } else { same };
            }
            (None, None) if !still_chain(&a_value) && !still_chain(&b_value) => {
                let same = self.answers(&a_value, &b_value);
                // Calculations of as many steps, some of them different, are hardly the same answer.
                let steps = a_parts.0.len() > 2 && a_parts.0.len() == b_parts.0.len();
                if same.is_equal() && steps && !self.ordered(a_parts.0, b_parts.0).is_equal() {
                    return Same::Unknown("equal results of different calculations");
                }
                return same;
            }
            (None, None) => {}
            // A calculation on one side, an assignment on the other.
            (None, Some(_)) if !still_chain(&a_value) => return self.answers(&a_value, &b_value),
            (Some(_), None) if !still_chain(&b_value) => return self.answers(&a_value, &b_value),
            _ => {}
        }
        if let Some(same) = sets::equal(a, b, &mut self.budget) {
            return same;
        }
        chains(a_parts, b_parts, &mut self.budget)
    }

    /// Compares two answers that are no assignments any more.
    fn values(&mut self, a: &Expr, b: &Expr) -> Same {
        let (a, b) = (folded(a), folded(b));
        if a == b {
            return Same::Equal("identical");
        }
        if a.is_scalar() && b.is_scalar() {
            return self.scalars(&a, &b);
        }
        if let (Expr::Matrix(a_rows, a_bars), Expr::Matrix(b_rows, b_bars)) = (&a, &b) {
            if a_bars != b_bars {
                return DIFFERENT;
            }
            return self.matrices(a_rows, b_rows);
        }
        if let Some(same) = self.special(&a, &b).or_else(|| self.with_matrix(&a, &b)) {
            return same;
        }
        let is_set = |expr: &Expr| {
            matches!(expr, Expr::SetOp(..) | Expr::Builder(..) | Expr::NumberSet(_) | Expr::EmptySet | Expr::Chain(..))
                || matches!(expr, Expr::List(items, _) if items.iter().any(is_inequality))
        };
        if is_set(&a) || is_set(&b) {
            return self.sets(&a, &b);
        }
        match (Self::elements(&a), Self::elements(&b)) {
            (Some(a), Some(b)) => self.sequences(a, b),
            (Some(many), None) => self.one_and_many(&b, many),
            (None, Some(many)) => self.one_and_many(&a, many),
            (None, None) if a.is_scalar() || b.is_scalar() => match (&a, &b) {
                (Expr::Matrix(..), _) | (_, Expr::Matrix(..)) => DIFFERENT,
                _ => Same::Unknown("an answer of a kind that is not understood"),
            },
            (None, None) => Same::Unknown("answers of kinds that are not understood"),
        }
    }

    /// Kinds with rules of their own: words, ratios, numbers to a base.
    fn special(&mut self, a: &Expr, b: &Expr) -> Option<Same> {
        match (a, b) {
            (Expr::Text(a), Expr::Text(b)) => Some(texts(a, b)),
            (Expr::Text(text), other) | (other, Expr::Text(text)) => match number_word(text) {
                Some(value) => Some(self.answers(&Expr::Num(value, 0), other)),
                None if all_reals(text) => Some(self.answers(&Expr::NumberSet("R".into()), other)),
                None if text.contains(|c: char| c.is_ascii_digit() || !c.is_ascii()) => {
                    Some(Same::Unknown("words that may name a value"))
                }
                None => Some(match other {
                    // Letters side by side may have been a word.
                    Expr::Var(_) | Expr::Mul(_) => Same::Different("words and an expression"),
                    _ => DIFFERENT,
                }),
            },
            (Expr::Ratio(a), Expr::Ratio(b)) => Some(self.ratios(a, b)),
            (Expr::Ratio(parts), other) | (other, Expr::Ratio(parts)) => match parts.as_slice() {
                [n, d] if other.is_scalar() => {
                    let quotient = Expr::Div(Box::new(n.clone()), Box::new(d.clone()));
                    let same = self.scalars(&quotient, other);
                    Some(if same.is_equal() && clock(parts) { Same::Unknown("a time of day or a ratio") } else { same })
                }
                _ => Some(DIFFERENT),
            },
            // `\mathbf{R}`
            (Expr::NumberSet(name), Expr::Var(letter)) | (Expr::Var(letter), Expr::NumberSet(name))
                if name == letter =>
            {
                Some(Same::Equal("sets of numbers"))
            }
            (point, Expr::Seq(Bracket::Round, items, Bracket::Round))
            | (Expr::Seq(Bracket::Round, items, Bracket::Round), point) => {
                let coordinates = labelled(point)?;
                Some(self.ordered(&coordinates, items))
            }
            _ => None,
        }
    }

    fn ratios(&mut self, a: &[Expr], b: &[Expr]) -> Same {
        if a.len() != b.len() {
            return Same::Different("ratios of different lengths");
        }
        if let Some(same) = times_of_day(a, b) {
            return same;
        }
        let same = self.ordered(a, b);
        if same.is_equal() {
            return same;
        }
        let zero = |part: &Expr| matches!(part, Expr::Num(value, _) if value.numer().bits() == 0);
        if a.iter().chain(b).any(zero) {
            return same;
        }
        // a : b = c : d means a·d = b·c.
        for at in 1..a.len() {
            let left = Expr::Mul(vec![a[0].clone(), b[at].clone()]);
            let right = Expr::Mul(vec![a[at].clone(), b[0].clone()]);
            if !left.is_scalar() || !right.is_scalar() {
                return same;
            }
            let product = self.scalars(&left, &right);
            if !product.is_equal() {
                return product;
            }
        }
        if clock(a) || clock(b) { Same::Unknown("times of day or ratios") } else { Same::Equal("proportional") }
    }

    /// A matrix against one value or against lists of rows.
    fn with_matrix(&mut self, a: &Expr, b: &Expr) -> Option<Same> {
        let ((Expr::Matrix(rows, false), other) | (other, Expr::Matrix(rows, false))) = (a, b) else { return None };
        if let ([cell], true) = (rows.concat().as_slice(), other.is_scalar()) {
            return Some(self.answers(cell, other));
        }
        let Expr::Seq(Bracket::Square, items, Bracket::Square) = other else { return None };
        let row = |item: &Expr| match item {
            Expr::Seq(Bracket::Square, cells, Bracket::Square) => Some(cells.clone()),
            _ => None,
        };
        let other = items.iter().map(row).collect::<Option<Vec<_>>>()?;
        Some(self.matrices(rows, &other))
    }

    fn matrices(&mut self, a: &[Vec<Expr>], b: &[Vec<Expr>]) -> Same {
        if a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.len() != b.len()) {
            return Same::Different("matrices of different sizes");
        }
        let (a, b): (Vec<_>, Vec<_>) = (a.concat(), b.concat());
        self.ordered(&a, &b)
    }

    fn sets(&mut self, a: &Expr, b: &Expr) -> Same {
        if let Some(same) = sets::equal(a, b, &mut self.budget) {
            return same;
        }
        match (a, b) {
            (Expr::SetOp(a_op, ..), Expr::SetOp(b_op, ..)) if a_op == b_op => {
                let (a, b) = (operands(a), operands(b));
                if a.iter().chain(&b).any(Expr::is_scalar) {
                    return Same::Unknown("a union with a number");
                }
                let same =
                    if *a_op == super::expr::SetOp::Difference { self.ordered(&a, &b) } else { self.unordered(&a, &b) };
                if same.is_different() { Same::Unknown("sets that are not understood") } else { same }
            }
            (Expr::Builder(a_what, a_when), Expr::Builder(b_what, b_when)) => {
                let same =
                    self.ordered(&[(**a_what).clone(), (**a_when).clone()], &[(**b_what).clone(), (**b_when).clone()]);
                if same.is_different() { Same::Unknown("sets that are not understood") } else { same }
            }
            (Expr::NumberSet(a), Expr::NumberSet(b)) => said(a == b, "sets of numbers"),
            (Expr::EmptySet | Expr::SetOp(..) | Expr::NumberSet(_), other)
            | (other, Expr::EmptySet | Expr::SetOp(..) | Expr::NumberSet(_))
                if other.is_scalar() =>
            {
                DIFFERENT
            }
            (Expr::EmptySet, Expr::Text(text)) | (Expr::Text(text), Expr::EmptySet) => {
                let none =
                    ["no solution", "no solutions", "none", "empty set", "no real solutions", "no real solution"];
                if none.contains(&text.to_lowercase().as_str()) {
                    Same::Unknown("no solution in words")
                } else {
                    DIFFERENT
                }
            }
            (Expr::List(_, a_join), Expr::List(_, b_join)) if (*a_join == Join::Or) != (*b_join == Join::Or) => {
                Same::Unknown("conditions that hold together or one by one")
            }
            (Expr::List(a, _), Expr::List(b, _)) => {
                let same = self.unordered(a, b);
                let known = same.is_equal() || same.is_different() && a.len() == b.len();
                if known { same } else { Same::Unknown("conditions that are not understood") }
            }
            // An equation and a value: `a + 3z = 0` is not `0`.
            (Expr::Chain(sides, relations), other) | (other, Expr::Chain(sides, relations)) if other.is_scalar() => {
                if relations.as_slice() == [super::expr::Relation::Other("equiv")]
                    && sides.last().is_some_and(|last| !self.answers(last, other).is_different())
                {
                    return Same::Unknown("a congruence and a number");
                }
                let equation = relations.iter().all(|relation| *relation == super::expr::Relation::Equal);
                let sum = matches!(sides.first(), Some(Expr::Add(_))) || sides.first().is_some_and(is_constant);
                match sides.last() {
                    Some(last) if equation && !sum && self.answers(last, other).is_equal() => {
                        Same::Unknown("the value of an expression and an equation")
                    }
                    _ => Same::Different("a relation and a value"),
                }
            }
            (Expr::Chain(sides, relations), other) | (other, Expr::Chain(sides, relations)) => {
                let single = matches!(relations.as_slice(), [super::expr::Relation::Equal | super::expr::Relation::In]);
                match sides.get(1) {
                    Some(value) if single && is_name(&sides[0]) => self.answers(value, other),
                    _ => Same::Unknown("a relation and a set that are not understood"),
                }
            }
            _ => Same::Unknown("sets that are not understood"),
        }
    }
}

/// The coordinates of `A(1, 2)`.
fn labelled(point: &Expr) -> Option<Vec<Expr>> {
    let letter = |name: &str| name.len() == 1 && name.chars().all(|c| c.is_ascii_uppercase());
    match point {
        Expr::Mul(items) => match items.as_slice() {
            [Expr::Var(name), Expr::Seq(Bracket::Round, items, Bracket::Round)] if letter(name) => Some(items.clone()),
            _ => None,
        },
        Expr::Apply(name, items) if letter(name) && items.len() > 1 => Some(items.clone()),
        _ => None,
    }
}

fn said(equal: bool, what: &'static str) -> Same {
    if equal { Same::Equal(what) } else { Same::Different(what) }
}

/// Whether two assignments name the same thing, and the second value in the first one's variable: `y` is `f(x)`, and
/// `f(t) = t^2` is `f(x) = x^2`, but `f(2)` is not `f(3)` and `f` is not `g`.
fn same_function(a_name: &Expr, a: &Expr, b_name: &Expr, b: &Expr) -> (bool, Option<Expr>) {
    let plain = |name: &str, arguments: &[Expr]| !name.contains('\'') && matches!(arguments, [Expr::Var(_)]);
    match (a_name, b_name) {
        _ if a_name == b_name => (true, None),
        (Expr::Var(y), Expr::Apply(name, arguments)) | (Expr::Apply(name, arguments), Expr::Var(y)) => {
            (y == "y" && plain(name, arguments), None)
        }
        (Expr::Apply(f, a_arguments), Expr::Apply(g, b_arguments)) if f == g => {
            match (a_arguments.as_slice(), b_arguments.as_slice()) {
                // `P(A)` and `P(B)` are the chances of two events.
                ([Expr::Var(x)], [Expr::Var(t)])
                    if [x, t].iter().all(|name| name.starts_with(char::is_lowercase))
                        && a.variables().contains(x) == b.variables().contains(t) =>
                {
                    (true, Some(b.with(t, &a_arguments[0])))
                }
                _ => (false, None),
            }
        }
        _ => (false, None),
    }
}

fn is_inequality(expr: &Expr) -> bool {
    matches!(expr, Expr::Chain(_, relations) if relations.iter().any(|relation| !matches!(relation, super::expr::Relation::Equal | super::expr::Relation::Approx | super::expr::Relation::In)))
}

/// All operands of a union or intersection, or both of a difference.
fn operands(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::SetOp(op, a, b) => {
            let inner = |side: &Expr| match side {
                Expr::SetOp(other, ..) if other == op && *op != super::expr::SetOp::Difference => operands(side),
                _ => vec![side.clone()],
            };
            [inner(a), inner(b)].concat()
        }
        other => vec![other.clone()],
    }
}

/// Whether two numbers side by side may be a time of day.
fn clock(parts: &[Expr]) -> bool {
    let number = |part: &Expr| match part {
        Expr::Num(value, 0) if value.is_integer() && !value.is_negative() => value.to_integer().to_u32(),
        Expr::Quantity(inner, _) => match &**inner {
            Expr::Num(value, 0) => value.to_integer().to_u32(),
            _ => None,
        },
        _ => None,
    };
    match parts {
        [hours, minutes] => {
            number(hours).is_some_and(|h| h <= 24) && number(minutes).is_some_and(|m| m < 60 && (m == 0 || m >= 10))
        }
        _ => false,
    }
}

/// Compares two times of day of which one has its half: `4:30 pm` is `16:30`, and `4:30`.
fn times_of_day(a: &[Expr], b: &[Expr]) -> Option<Same> {
    let half = |parts: &[Expr]| match parts {
        [_, Expr::Quantity(_, unit)] => match unit.to_lowercase().replace(['.', ' '], "").as_str() {
            "am" => Some(0),
            "pm" => Some(12),
            _ => None,
        },
        _ => None,
    };
    let read = |parts: &[Expr]| {
        let number = |part: &Expr| match part {
            Expr::Num(value, 0) => value.to_integer().to_u32(),
            Expr::Quantity(inner, _) => match &**inner {
                Expr::Num(value, 0) => value.to_integer().to_u32(),
                _ => None,
            },
            _ => None,
        };
        clock(parts).then_some(())?;
        Some((number(&parts[0])?, number(&parts[1])?, half(parts)))
    };
    let ((a_hour, a_minute, a_half), (b_hour, b_minute, b_half)) = (read(a)?, read(b)?);
    a_half.or(b_half)?;
    let hour = |hour: u32, half: Option<u32>| half.map_or(hour, |half| hour % 12 + half);
    let same = a_minute == b_minute
        && (hour(a_hour, a_half) == hour(b_hour, b_half) || a_hour == b_hour && a_half.is_none() != b_half.is_none());
    Some(said(same, "times of day"))
}

fn all_reals(text: &str) -> bool {
    matches!(
        text.to_lowercase().trim(),
        "all real numbers"
            | "all reals"
            | "real numbers"
            | "all real"
            | "the real numbers"
            | "all real x"
            | "all real values"
            | "all real numbers x"
    )
}

/// Words as people compare them.
fn texts(a: &str, b: &str) -> Same {
    let (a, b) = (crate::text::normalized(a), crate::text::normalized(b));
    if a == b {
        return Same::Equal("words");
    }
    if let (Some(a), Some(b)) = (number_word(&a), number_word(&b)) {
        return said(a == b, "number words");
    }
    let joined = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    if joined(&a) == joined(&b) && !a.contains(|c: char| c.is_ascii_digit()) {
        return Same::Equal("words");
    }
    let (a_words, b_words): (BTreeSet<&str>, BTreeSet<&str>) = (a.split(' ').collect(), b.split(' ').collect());
    let synonyms = [["yes", "true"], ["no", "false"]];
    if synonyms.iter().any(|pair| pair.contains(&a.as_str()) && pair.contains(&b.as_str())) {
        return Same::Unknown("words that may mean the same");
    }
    let (shorter, longer) = if a_words.len() <= b_words.len() { (&a_words, &b_words) } else { (&b_words, &a_words) };
    if longer.len() > 1 && shorter.is_subset(longer) {
        return Same::Unknown("one text contains the other's words");
    }
    if a_words.len() > 3 && b_words.len() > 3 {
        return Same::Unknown("sentences that differ");
    }
    Same::Different("the words differ")
}
