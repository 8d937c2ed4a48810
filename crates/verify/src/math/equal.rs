//! Whether two answers are the same answer: the rules for each kind and between kinds.

use std::collections::BTreeSet;

use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive};

use super::{
    eval::{Eval, Family, Point},
    expr::{Bracket, Const, Expr},
    identity::{Same, has_bare_log, identical, is_constant},
    limits::{Budget, MAX_ITEMS},
    matrix::folded,
    relations::{assigned, chains, is_name, plus_minus},
    sets,
    settings::{ListOrder, MathSettings, Percent, UnitPolicy},
    units::{self, Units},
    value::Number,
    words::number_word,
};

/// Compares answers under some settings.
pub struct Comparer<'s> {
    /// The rules.
    pub settings: &'s MathSettings,
    /// The steps that are left.
    pub budget: Budget,
    depth: u32,
}

/// The elements of an answer of several, and what holds them.
struct Elements {
    items: Vec<Expr>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No brackets: `1, 2`.
    Bare,
    /// LaTeX braces that do not show: `{1, 2}`.
    Group,
    Set,
    Tuple(Bracket, Bracket),
}

const DIFFERENT: Same = Same::Different("the answers are of different kinds");

impl<'s> Comparer<'s> {
    /// A comparer with a fresh budget.
    pub fn new(settings: &'s MathSettings) -> Self {
        Self { settings, budget: Budget::default(), depth: 0 }
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
                let same = self.answers(&a_value, &b_value);
                let same_name = a_name == b_name || (function_like(a_name) && function_like(b_name));
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
                return self.answers(&a_value, &b_value);
            }
            (None, None) => {}
            // A calculation on one side, an assignment on the other.
            (None, Some(_)) if !still_chain(&a_value) => return self.answers(&a_value, &b_value),
            (Some(_), None) if !still_chain(&b_value) => return self.answers(&a_value, &b_value),
            _ => {}
        }
        if let Some(equal) = sets::equal(a, b, &mut self.budget) {
            return said(equal, "sets of numbers");
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
        if let Some(same) = self.special(&a, &b) {
            return same;
        }
        let is_set = |expr: &Expr| {
            matches!(expr, Expr::SetOp(..) | Expr::Builder(..) | Expr::NumberSet(_) | Expr::EmptySet | Expr::Chain(..))
                || matches!(expr, Expr::List(items, _) if items.iter().any(|item| is_inequality(item)))
        };
        if is_set(&a) || is_set(&b) {
            return self.sets(&a, &b);
        }
        match (self.elements(&a), self.elements(&b)) {
            (Some(a), Some(b)) => self.sequences(a, b),
            (Some(many), None) => self.one_and_many(&b, many),
            (None, Some(many)) => self.one_and_many(&a, many),
            (None, None) => DIFFERENT,
        }
    }

    /// Kinds with rules of their own: words, ratios, numbers to a base.
    fn special(&mut self, a: &Expr, b: &Expr) -> Option<Same> {
        match (a, b) {
            (Expr::Text(a), Expr::Text(b)) => Some(texts(a, b)),
            (Expr::Text(text), other) | (other, Expr::Text(text)) => match number_word(text) {
                Some(value) => Some(self.answers(&Expr::int(value), other)),
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
            _ => None,
        }
    }

    fn ratios(&mut self, a: &[Expr], b: &[Expr]) -> Same {
        if a.len() != b.len() {
            return Same::Different("ratios of different lengths");
        }
        let same = self.ordered(a, b);
        if same.is_equal() {
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

    fn matrices(&mut self, a: &[Vec<Expr>], b: &[Vec<Expr>]) -> Same {
        if a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.len() != b.len()) {
            return Same::Different("matrices of different sizes");
        }
        let (a, b): (Vec<_>, Vec<_>) = (a.concat(), b.concat());
        self.ordered(&a, &b)
    }

    fn sets(&mut self, a: &Expr, b: &Expr) -> Same {
        if let Some(equal) = sets::equal(a, b, &mut self.budget) {
            return said(equal, "sets of numbers");
        }
        match (a, b) {
            (Expr::SetOp(a_op, ..), Expr::SetOp(b_op, ..)) if a_op == b_op => {
                let (a, b) = (operands(a), operands(b));
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
            (Expr::EmptySet, other) | (other, Expr::EmptySet) if other.is_scalar() => DIFFERENT,
            (Expr::EmptySet, Expr::Text(text)) | (Expr::Text(text), Expr::EmptySet) => {
                let none =
                    ["no solution", "no solutions", "none", "empty set", "no real solutions", "no real solution"];
                if none.contains(&text.to_lowercase().as_str()) {
                    Same::Unknown("no solution in words")
                } else {
                    DIFFERENT
                }
            }
            (Expr::List(a, _), Expr::List(b, _)) => {
                let same = self.unordered(a, b);
                if same.is_different() && a.len() == b.len() {
                    same
                } else if same.is_equal() {
                    same
                } else {
                    Same::Unknown("conditions that are not understood")
                }
            }
            // An equation and a value: `a + 3z = 0` is not `0`.
            (Expr::Chain(sides, relations), other) | (other, Expr::Chain(sides, relations)) if other.is_scalar() => {
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

    /// The elements of a list, set or tuple, with each `±` as two elements.
    fn elements(&self, expr: &Expr) -> Option<Elements> {
        let (items, kind) = match expr {
            Expr::List(items, _) => (items.clone(), Kind::Bare),
            Expr::Seq(Bracket::Group, items, _) => (items.clone(), Kind::Group),
            Expr::Seq(Bracket::Curly, items, _) => (items.clone(), Kind::Set),
            Expr::Seq(open, items, close) => {
                return Some(Elements { items: items.clone(), kind: Kind::Tuple(*open, *close) });
            }
            other => match plus_minus(other) {
                Some(values) if values.len() > 1 => return Some(Elements { items: values, kind: Kind::Bare }),
                _ => return None,
            },
        };
        let mut flat = Vec::new();
        for item in items {
            let (name, value) = assigned(&item);
            let expanded =
                if is_inequality(&item) { None } else { plus_minus(&value).filter(|values| values.len() > 1) };
            match (expanded, name) {
                (Some(values), _) => flat.extend(values),
                (None, _) => flat.push(item),
            }
        }
        (flat.len() <= MAX_ITEMS).then_some(Elements { items: flat, kind })
    }

    fn sequences(&mut self, a: Elements, b: Elements) -> Same {
        use Kind::{Bare, Group, Set, Tuple};
        let mismatch = |same: Same, reason| if same.is_equal() { Same::Unknown(reason) } else { same };
        match (a.kind, b.kind) {
            (Tuple(a_open, a_close), Tuple(b_open, b_close)) => {
                let same = self.ordered(&a.items, &b.items);
                let vector = |open| open == Bracket::Angle || open == Bracket::Round;
                if (a_open, a_close) == (b_open, b_close) {
                    same
                } else if a_open != b_open && vector(a_open) && vector(b_open) && a_close == a_open && b_close == b_open
                {
                    // ⟨1, 2⟩ and (1, 2) are one vector.
                    same
                } else if a.items.len() == 2 {
                    Same::Different("the brackets differ")
                } else {
                    mismatch(same, "the brackets differ")
                }
            }
            // Without brackets the order may be meant, and against a tuple it is.
            (Bare | Group, Tuple(open, close)) | (Tuple(open, close), Bare | Group) => {
                let same = self.ordered(&a.items, &b.items);
                if open == Bracket::Round && close == Bracket::Round {
                    same
                } else {
                    mismatch(same, "brackets on one side only")
                }
            }
            (Set, Tuple(..)) | (Tuple(..), Set) => Same::Different("a set and a tuple or interval"),
            (Set, Set) => {
                let (a, b) = (self.distinct(a.items), self.distinct(b.items));
                self.unordered(&a, &b)
            }
            (Bare | Group, Bare | Group) => self.lists(&a.items, &b.items),
            (Bare | Group | Set, Bare | Group | Set) => self.unordered(&a.items, &b.items),
        }
    }

    /// Lists without brackets: names first, if all elements have them.
    fn lists(&mut self, a: &[Expr], b: &[Expr]) -> Same {
        if self.settings.list_order == ListOrder::Fixed {
            return self.ordered(a, b);
        }
        let (a_names, b_names) = (names(a), names(b));
        match (&a_names, &b_names) {
            (Some(_), Some(_)) => self.unordered(a, b),
            // `x = 1, y = 2` against `1, 2`: the names give the order.
            (Some(names), None) | (None, Some(names)) if names.len() == a.len() && names.len() > 1 => {
                let same = self.ordered(a, b);
                if same.is_equal() || !self.unordered(a, b).is_equal() {
                    same
                } else {
                    Same::Different("the values stand in another order")
                }
            }
            _ => self.unordered(a, b),
        }
    }

    /// One answer against several.
    fn one_and_many(&mut self, one: &Expr, many: Elements) -> Same {
        if let (Expr::Matrix(rows, false), Kind::Tuple(..)) = (one, many.kind) {
            let vector = rows.len() == 1 || rows.iter().all(|row| row.len() == 1);
            return if vector { self.ordered(&rows.concat(), &many.items) } else { DIFFERENT };
        }
        match many.items.as_slice() {
            [only] => self.answers(one, only),
            // `x = 1, 2` names the first element only.
            _ => Same::Different("a different number of elements"),
        }
    }

    /// Elements in order.
    fn ordered(&mut self, a: &[Expr], b: &[Expr]) -> Same {
        if a.len() != b.len() {
            return Same::Different("a different number of elements");
        }
        let mut worst = Same::Equal("element by element");
        for (a, b) in a.iter().zip(b) {
            match self.answers(a, b) {
                Same::Equal(_) => {}
                Same::Different(_) => return Same::Different("an element differs"),
                unknown @ Same::Unknown(_) => worst = unknown,
            }
        }
        worst
    }

    /// Elements in any order: a greedy matching is enough, since equality is transitive but for roundings.
    fn unordered(&mut self, a: &[Expr], b: &[Expr]) -> Same {
        if a.len() != b.len() {
            return Same::Different("a different number of elements");
        }
        let mut left: Vec<&Expr> = b.iter().collect();
        let mut doubt = None;
        let mut unmatched = Vec::new();
        for item in a {
            let mut found = None;
            for (at, other) in left.iter().enumerate() {
                match self.answers(item, other) {
                    Same::Equal(_) => {
                        found = Some(at);
                        break;
                    }
                    Same::Different(_) => {}
                    unknown @ Same::Unknown(_) => doubt = Some(unknown),
                }
            }
            match found {
                Some(at) => {
                    left.remove(at);
                }
                None => unmatched.push(item),
            }
        }
        match (unmatched.is_empty(), doubt) {
            (true, _) => Same::Equal("elements in any order"),
            (false, Some(unknown)) => unknown,
            (false, None) => Same::Different("an element differs"),
        }
    }

    /// The elements without repetitions.
    fn distinct(&mut self, items: Vec<Expr>) -> Vec<Expr> {
        let mut kept: Vec<Expr> = Vec::new();
        for item in items {
            if !kept.iter().any(|other| self.answers(&item, other).is_equal()) {
                kept.push(item);
            }
        }
        kept
    }

    /// Compares two values with their units, percent and degree signs.
    fn scalars(&mut self, a: &Expr, b: &Expr) -> Same {
        let (a, b) = (Value::of(a), Value::of(b));
        if let (Expr::Base(a_digits, a_base), Expr::Base(b_digits, b_base)) = (&a.expr, &b.expr) {
            if a_base == b_base {
                return said(
                    a_digits.trim_start_matches('0') == b_digits.trim_start_matches('0'),
                    "digits to the same base",
                );
            }
        } else if let (Expr::Base(digits, _), other) | (other, Expr::Base(digits, _)) = (&a.expr, &b.expr) {
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
        let bases_differ = matches!((&a.expr, &b.expr), (Expr::Base(..), Expr::Base(..)));
        let same = self.marked(&a, &b);
        if bases_differ && same.is_equal() {
            return Same::Unknown("equal values to different bases");
        }
        self.with_units(&a, &b, same)
    }

    fn with_units(&mut self, a: &Value, b: &Value, same: Same) -> Same {
        match (&a.unit, &b.unit) {
            (None, None) => same,
            (Some(_), None) | (None, Some(_)) => match self.settings.units {
                UnitPolicy::Strict if same.is_equal() => Same::Different("a unit is missing"),
                _ => same,
            },
            (Some(_), Some(_)) if self.settings.units == UnitPolicy::Ignore => same,
            (Some(a_unit), Some(b_unit)) => match units::compare(a_unit, b_unit) {
                Units::Agree => same,
                Units::Differ if same.is_equal() => Same::Different("the units are of different kinds"),
                Units::Factor(factor) => {
                    let scaled = Expr::Mul(vec![a.expr.clone(), Expr::Num(factor, 0)]);
                    self.plain(&scaled, &b.expr)
                }
                Units::Unclear if same.is_equal() => Same::Unknown("the units may differ"),
                Units::Differ | Units::Unclear => same,
            },
        }
    }

    /// Compares two values with their percent and degree signs.
    fn marked(&mut self, a: &Value, b: &Value) -> Same {
        let same = self.plain(&a.expr, &b.expr);
        if a.mark == b.mark {
            return same;
        }
        let scaled = |value: &Value| match value.mark {
            Mark::None => value.expr.clone(),
            Mark::Percent => Expr::Div(Box::new(value.expr.clone()), Box::new(Expr::int(100))),
            Mark::Degree => Expr::Mul(vec![
                value.expr.clone(),
                Expr::Div(Box::new(Expr::Const(Const::Pi)), Box::new(Expr::int(180))),
            ]),
        };
        // `28%` is 28 without its sign, or 0.28; `90°` is 90 without its sign, or π/2.
        let percent = a.mark == Mark::Percent || b.mark == Mark::Percent;
        if same.is_equal() && !(percent && self.settings.percent == Percent::Strict) {
            return same;
        }
        let value = self.plain(&scaled(a), &scaled(b));
        if value.is_equal() {
            value
        } else if percent && self.settings.percent == Percent::Strict {
            value
        } else {
            same
        }
    }

    /// Compares two expressions.
    fn plain(&mut self, a: &Expr, b: &Expr) -> Same {
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
        arithmetic.compare(&distance, &Number::exact(half)).is_ok_and(|order| order.is_le())
    }
}

/// A value without its unit and sign.
struct Value {
    expr: Expr,
    unit: Option<String>,
    mark: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Percent,
    Degree,
}

impl Value {
    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Quantity(inner, unit) => {
                let inner = Self::of(inner);
                let unit = if ordinal(unit) {
                    inner.unit
                } else {
                    Some(inner.unit.map_or(unit.clone(), |first| format!("{first} {unit}")))
                };
                Self { unit, ..inner }
            }
            Expr::Percent(inner) => Self { mark: Mark::Percent, ..Self::of(inner) },
            Expr::Degree(inner) => Self { mark: Mark::Degree, ..Self::of(inner) },
            Expr::Neg(inner) => {
                let inner = Self::of(inner);
                Self { expr: inner.expr.negative(), ..inner }
            }
            other => Self { expr: other.clone(), unit: None, mark: Mark::None },
        }
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

fn said(equal: bool, what: &'static str) -> Same {
    if equal { Same::Equal(what) } else { Same::Different(what) }
}

/// `y` and `f(x)` name the same thing: a function's value.
fn function_like(name: &Expr) -> bool {
    matches!(name, Expr::Apply(..)) || matches!(name, Expr::Var(name) if name == "y")
}

fn is_inequality(expr: &Expr) -> bool {
    matches!(expr, Expr::Chain(_, relations) if relations.iter().any(|relation| !matches!(relation, super::expr::Relation::Equal | super::expr::Relation::Approx | super::expr::Relation::In)))
}

/// The names of a list of assignments, if all elements are assignments of different names.
fn names(items: &[Expr]) -> Option<Vec<Expr>> {
    let mut names = Vec::new();
    for item in items {
        let name = assigned(item).0?.clone();
        if names.contains(&name) {
            return None;
        }
        names.push(name);
    }
    Some(names)
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

/// The variables' names, if the expressions have one each and they differ.
fn renaming(a: &Expr, b: &Expr) -> Option<(String, String)> {
    let (a, b) = (a.variables(), b.variables());
    let only = |names: BTreeSet<String>| if names.len() == 1 { names.into_iter().next() } else { None };
    let (a, b) = (only(a)?, only(b)?);
    (a != b).then_some((a, b))
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
    if joined(&a) == joined(&b) {
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
