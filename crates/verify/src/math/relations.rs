//! Equations, inequalities and assignments.

use std::cmp::Ordering;

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::{
    eval::{Eval, Family, Point},
    expr::{Expr, Func, Relation},
    identity::{Same, identical, is_constant},
    limits::Budget,
    value::{Arithmetic, Number},
};

/// Both values of every `±`: `None` when there are too many. The signs of `±` and `∓` in one expression go together;
/// several `±` do not.
pub fn plus_minus(expr: &Expr) -> Option<Vec<Expr>> {
    let mut count = 0;
    let mut minus_first = false;
    count_signs(expr, &mut count, &mut minus_first);
    if count == 0 {
        return Some(vec![expr.clone()]);
    }
    if minus_first {
        return Some(vec![signed(expr, &mut 0, &|_| false), signed(expr, &mut 0, &|_| true)]);
    }
    if count > 4 {
        return None;
    }
    Some((0..1u32 << count).map(|choice| signed(expr, &mut 0, &|at| choice >> at & 1 == 1)).collect())
}

fn count_signs(expr: &Expr, count: &mut u32, minus_first: &mut bool) {
    if let Expr::PlusMinus(_, _, minus) = expr {
        *count += 1;
        *minus_first |= minus;
    }
    for child in expr.children() {
        count_signs(child, count, minus_first);
    }
}

/// The expression with each `±` resolved: `negative` says which sign the one at a position takes.
fn signed(expr: &Expr, at: &mut u32, negative: &dyn Fn(u32) -> bool) -> Expr {
    if let Expr::PlusMinus(a, b, minus) = expr {
        let own = *at;
        *at += 1;
        let (a, b) = (signed(a, at, negative), signed(b, at, negative));
        let b = if negative(own) == *minus { b } else { b.negative() };
        return match a {
            Expr::Num(value, _) if value.is_zero() => b,
            a => Expr::Add(vec![a, b]),
        };
    }
    let cell = std::cell::Cell::new(*at);
    let result = expr.map(&|child| {
        let mut inner = cell.get();
        let child = signed(child, &mut inner, negative);
        cell.set(inner);
        child
    });
    *at = cell.get();
    result
}

/// Whether an expression is what people name a value with: `x`, `f(x)`, `a_n`, `S_{ABC}`, `AB`, `(x, y)`, `\frac{AB}{CD}`.
pub fn is_name(expr: &Expr) -> bool {
    let capital = |item: &Expr| matches!(item, Expr::Var(name) if name.chars().next().is_some_and(char::is_uppercase));
    match expr {
        Expr::Var(_) | Expr::Text(_) => true,
        Expr::Const(constant) => matches!(constant, super::expr::Const::I | super::expr::Const::E),
        Expr::Apply(_, arguments) => arguments.iter().all(super::expr::Expr::is_scalar),
        Expr::Opaque(written) => written.starts_with("derivative "),
        Expr::Mul(items) => items.iter().all(capital),
        Expr::Div(a, b) => is_name(a) && is_name(b),
        Expr::Ratio(items) => items.iter().all(is_name),
        Expr::Seq(_, items, _) => items.len() > 1 && items.iter().all(is_name),
        Expr::Call(super::expr::Func::Abs | super::expr::Func::Max | super::expr::Func::Min, items) => {
            items.iter().all(is_name)
        }
        Expr::Degree(inner) | Expr::Quantity(inner, _) => is_name(inner),
        _ => false,
    }
}

/// What an assignment assigns, with the name it assigns to: `x = 5`, `5 = x`, `x = 2 + 3 = 5`, `x ≈ 5`, `\frac13 ≈ 0.33`.
/// Anything else comes back as it is.
pub fn assigned(expr: &Expr) -> (Option<&Expr>, Expr) {
    let Expr::Chain(sides, relations) = expr else { return (None, expr.clone()) };
    if relations.first() == Some(&Relation::In) && relations.len() == 1 && is_name(&sides[0]) {
        return (Some(&sides[0]), sides[1].clone());
    }
    if !relations.iter().all(|relation| matches!(relation, Relation::Equal | Relation::Approx)) {
        return (None, expr.clone());
    }
    // Approximations after an exact value only illustrate it.
    let mut end = sides.len();
    while end >= 2 && relations[end - 2] == Relation::Approx && !(end == 2 && is_name(&sides[0])) {
        end -= 1;
    }
    let sides = &sides[..end];
    match sides {
        [only] => (None, only.clone()),
        [first, .., last] if is_name(first) && !(sides.len() == 2 && is_value_name(last) && !is_value_name(first)) => {
            (Some(first), last.clone())
        }
        [value, name] if is_value_name(name) => (Some(name), value.clone()),
        // A calculation: its result is its last side.
        [_, _, .., last] if sides.len() > 2 => (None, last.clone()),
        [a, b] if is_constant(a) && is_constant(b) => (None, b.clone()),
        _ => (None, expr.clone()),
    }
}

fn is_value_name(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(_) | Expr::Apply(..))
}

fn difference(sides: &[Expr]) -> Expr {
    Expr::Add(vec![sides[0].clone(), Expr::Neg(Box::new(sides[1].clone()))])
}

/// A constant factor `c` with `f = c·g`, and its sign.
fn factor(f: &Expr, g: &Expr, budget: &mut Budget) -> Result<Option<Ordering>, &'static str> {
    for index in 0..4 {
        let point = Point { family: Family::Fractions, index };
        let mut eval = Eval::new(point, 128, true, budget);
        let (Ok(at_f), Ok(at_g)) = (eval.value(f), eval.value(g)) else { continue };
        if at_f.is_zero() || at_g.is_zero() {
            if at_f.is_zero() != at_g.is_zero() {
                return Ok(None);
            }
            continue;
        }
        if matches!(at_f, Number::Infinite(_)) || matches!(at_g, Number::Infinite(_)) {
            return Err("a side is infinite");
        }
        let ratio = eval.arithmetic.div(&at_f, &at_g).map_err(|_| "the ratio has no value")?;
        let sign = Arithmetic::sign(&ratio).map_err(|_| "the ratio has no sign")?;
        // f(x)·g(p) = g(x)·f(p) for all x.
        let (fixed_f, fixed_g) = (at_point(f, point), at_point(g, point));
        let left = Expr::Mul(vec![f.clone(), fixed_g]);
        let right = Expr::Mul(vec![g.clone(), fixed_f]);
        return match identical(&left, &right, false, budget) {
            Same::Equal(_) => Ok(Some(sign)),
            Same::Different(_) => Ok(None),
            Same::Unknown(reason) => Err(reason),
        };
    }
    Err("no point has a value on both sides")
}

/// The expression with the point's numbers for its variables and unknown functions.
fn at_point(expr: &Expr, point: Point) -> Expr {
    let value = |expr: &Expr| {
        let mut budget = Budget::new(1000);
        match Eval::new(point, 64, true, &mut budget).value(expr) {
            Ok(Number::Exact(value, _)) => Expr::Num(value, 0),
            _ => expr.clone(),
        }
    };
    match expr {
        Expr::Var(_) | Expr::Apply(..) => value(expr),
        Expr::Fold(..) => {
            expr.variables().iter().fold(expr.clone(), |expr, name| expr.with(name, &value(&Expr::Var(name.clone()))))
        }
        other => other.map(&|child| at_point(child, point)),
    }
}

/// The value of `expr` with `name` set to `x` and all other variables at `point`.
fn exact_at(expr: &Expr, name: &str, x: &BigRational, point: Point, budget: &mut Budget) -> Option<BigRational> {
    let placed = expr.with(name, &Expr::Num(x.clone(), 0));
    let value = Eval::new(point, 64, true, budget).value(&placed).ok()?;
    value.as_exact().cloned()
}

/// The root of `f` in a variable in which it is linear, at a point of all others.
fn linear_root(f: &Expr, name: &str, point: Point, budget: &mut Budget) -> Option<BigRational> {
    let mut at = |x: i64| exact_at(f, name, &BigRational::from_integer(x.into()), point, budget);
    let (zero, one, two, seven, minus) = (at(0)?, at(1)?, at(2)?, at(7)?, at(-9)?);
    let slope = &one - &zero;
    let line = |x: i64| &slope * BigRational::from_integer(x.into()) + &zero;
    let linear = two == line(2) && seven == line(7) && minus == line(-9);
    (linear && !slope.is_zero()).then(|| -zero / slope)
}

/// Compares two equations `f = 0` and `g = 0` that are not assignments of the same name.
fn equations(f: &Expr, g: &Expr, budget: &mut Budget) -> Same {
    match factor(f, g, budget) {
        Ok(Some(_)) => return Same::Equal("proportional equations"),
        Ok(None) => {}
        Err(reason) => return Same::Unknown(reason),
    }
    // A point of one that is no point of the other proves them different.
    for (one, other) in [(f, g), (g, f)] {
        for name in one.variables() {
            for index in 0..2 {
                let point = Point { family: Family::Fractions, index };
                let Some(root) = linear_root(one, &name, point, budget) else { break };
                if let Some(value) = exact_at(other, &name, &root, point, budget)
                    && !value.is_zero()
                {
                    return Same::Different("a point satisfies only one of the equations");
                }
            }
        }
    }
    if zero_of_one(f, g, budget) || zero_of_one(g, f, budget) {
        return Same::Different("a point satisfies only one of the equations");
    }
    Same::Unknown("the equations are not proportional")
}

/// Whether a zero of `f`, found between two points of opposite sign, is far from being one of `g`.
fn zero_of_one(f: &Expr, g: &Expr, budget: &mut Budget) -> bool {
    let names = f.variables();
    for (round, name) in names.iter().cycle().take(3).enumerate() {
        let family = if round == 1 { Family::Positive } else { Family::Unit };
        let point = Point { family, index: round as u64 };
        let mut at = |expr: &Expr, x: &BigRational| {
            let placed = expr.with(name, &Expr::Num(x.clone(), 0));
            let mut eval = Eval::new(point, 80, true, budget);
            let value = eval.value(&placed).ok()?;
            let (re, im) = eval.arithmetic.balls(&value).ok()?;
            im.is_zero().then(|| re.to_f64())
        };
        let half = |a: &BigRational, b: &BigRational| (a + b) / BigRational::from_integer(2.into());
        let steps: Vec<BigRational> =
            (-12..=12).map(|step: i64| BigRational::new((step * step * step).into(), 16.into())).collect();
        for pair in steps.windows(2) {
            let (mut low, mut high) = (pair[0].clone(), pair[1].clone());
            let (Some(at_low), Some(at_high)) = (at(f, &low), at(f, &high)) else { continue };
            if at_low * at_high >= 0.0 {
                continue;
            }
            for _ in 0..48 {
                let middle = half(&low, &high);
                match at(f, &middle) {
                    Some(value) if (value > 0.0) == (at_low > 0.0) => low = middle,
                    Some(_) => high = middle,
                    None => break,
                }
            }
            // A pole changes sign too: a zero is small on both sides.
            let (Some(left), Some(right), Some(other)) = (at(f, &low), at(f, &high), at(g, &low)) else { continue };
            let scale = 1.0 + at_low.abs().max(at_high.abs());
            if left.abs().max(right.abs()) < 1e-9 * scale && other.abs() > 1e-3 {
                return true;
            }
        }
    }
    false
}

/// Residues and moduli of two congruences `x ≡ 3 (mod 7)`; none when neither is one.
fn congruences(a: (&[Expr], &[Relation]), b: (&[Expr], &[Relation]), budget: &mut Budget) -> Option<Same> {
    let residue = |sides: &[Expr], relations: &[Relation]| match (sides, relations) {
        ([name, Expr::Call(Func::Residue | Func::Mod, parts)], [Relation::Other("equiv") | Relation::Equal]) => {
            Some((name.clone(), Expr::Call(Func::Residue, parts.clone())))
        }
        _ => None,
    };
    let plain = |relations: &[Relation]| relations != [Relation::Other("equiv")];
    if plain(a.1) && plain(b.1) {
        return None;
    }
    Some(match (residue(a.0, a.1), residue(b.0, b.1)) {
        (Some((a_name, a)), Some((b_name, b))) => {
            let same = residues(&a, &b, budget).unwrap_or(Same::Unknown("congruences"));
            if identical(&a_name, &b_name, false, budget).is_equal() || !same.is_equal() {
                same
            } else {
                Same::Unknown("congruences of different names")
            }
        }
        (None, None) => return None,
        _ => Same::Unknown("a congruence and another relation"),
    })
}

/// Compares `3 (mod 7)` with another residue, or with a number that may stand for it; none when neither is a residue.
pub fn residues(a: &Expr, b: &Expr, budget: &mut Budget) -> Option<Same> {
    let parts = |expr: &Expr| match expr {
        Expr::Call(Func::Residue, parts) => Some((parts.first()?.clone(), parts.get(1)?.clone())),
        _ => None,
    };
    let reduced = |value: &Expr, modulus: &Expr| Expr::Call(Func::Mod, vec![value.clone(), modulus.clone()]);
    Some(match (parts(a), parts(b)) {
        (None, None) => return None,
        (Some((a, a_modulus)), Some((b, b_modulus))) => match identical(&a_modulus, &b_modulus, false, budget) {
            Same::Equal(_) => identical(&reduced(&a, &a_modulus), &reduced(&b, &a_modulus), false, budget),
            Same::Different(_) => Same::Different("the moduli differ"),
            unknown @ Same::Unknown(_) => unknown,
        },
        (Some((value, modulus)), None) => residue_and_number(&value, &modulus, b, budget),
        (None, Some((value, modulus))) => residue_and_number(&value, &modulus, a, budget),
    })
}

/// `3 (mod 7)` is 3; whether 10, which is congruent to it, was meant, nobody can tell.
fn residue_and_number(value: &Expr, modulus: &Expr, number: &Expr, budget: &mut Budget) -> Same {
    let same = identical(value, number, false, budget);
    if !same.is_different() {
        return same;
    }
    let reduced = |value: &Expr| Expr::Call(Func::Mod, vec![value.clone(), modulus.clone()]);
    match identical(&reduced(value), &reduced(number), false, budget) {
        Same::Equal(_) => Same::Unknown("another number of the same residue"),
        _ => same,
    }
}

/// Compares two chains of relations.
pub fn chains(a: (&[Expr], &[Relation]), b: (&[Expr], &[Relation]), budget: &mut Budget) -> Same {
    if let Some(same) = congruences(a, b, budget) {
        return same;
    }
    let sides_equal = |a: &[Expr], b: &[Expr], budget: &mut Budget| {
        let mut worst = Same::Equal("same relation of equal sides");
        for (a, b) in a.iter().zip(b) {
            match identical(a, b, false, budget) {
                Same::Equal(_) => {}
                different @ Same::Different(_) => return different,
                unknown @ Same::Unknown(_) => worst = unknown,
            }
        }
        worst
    };
    let reversed: (Vec<Expr>, Vec<Relation>) =
        (b.0.iter().rev().cloned().collect(), b.1.iter().rev().map(|relation| relation.flipped()).collect());
    if a.1 == b.1 {
        let same = sides_equal(a.0, b.0, budget);
        if same.is_equal() {
            return same;
        }
    }
    if a.1 == reversed.1
        && a.1.iter().all(|relation| !matches!(relation, Relation::Other(_) | Relation::In | Relation::NotIn))
    {
        let same = sides_equal(a.0, &reversed.0, budget);
        if same.is_equal() {
            return same;
        }
    }
    let ([a_relation], [b_relation]) = (a.1, b.1) else {
        return if a.1.iter().chain(b.1).all(|relation| relation.orders()) && a.1.len() == b.1.len() && a.1.len() > 1 {
            Same::Different("the chains of inequalities differ")
        } else {
            Same::Unknown("the relations are of different forms")
        };
    };
    let (f, g) = (difference(a.0), difference(b.0));
    if !f.is_scalar() || !g.is_scalar() {
        return Same::Unknown("the relations are of different forms");
    }
    match (a_relation, b_relation) {
        (Relation::Equal, Relation::Equal) => equations(&f, &g, budget),
        (Relation::NotEqual, Relation::NotEqual) => match factor(&f, &g, budget) {
            Ok(Some(_)) => Same::Equal("proportional sides"),
            Ok(None) => Same::Unknown("the sides are not proportional"),
            Err(reason) => Same::Unknown(reason),
        },
        (a, b) if a.orders() && b.orders() => {
            let upward = |relation: Relation| matches!(relation, Relation::Greater | Relation::GreaterEqual);
            let strict = |relation: Relation| matches!(relation, Relation::Greater | Relation::Less);
            match factor(&f, &g, budget) {
                Ok(Some(sign)) => {
                    let same_way = (upward(*a) == upward(*b)) == (sign == Ordering::Greater);
                    if same_way && strict(*a) == strict(*b) {
                        Same::Equal("proportional inequalities")
                    } else {
                        Same::Different("the inequalities point different ways or differ at their bound")
                    }
                }
                Ok(None) => truths(&f, upward(*a), &g, upward(*b), budget),
                Err(reason) => Same::Unknown(reason),
            }
        }
        (a, b) if a.orders() || b.orders() => {
            let plain = |relation: &Relation| matches!(relation, Relation::Equal | Relation::NotEqual);
            if plain(a) || plain(b) {
                Same::Different("an inequality and another relation")
            } else {
                Same::Unknown("different relations")
            }
        }
        (Relation::Equal, Relation::NotEqual) | (Relation::NotEqual, Relation::Equal) => {
            Same::Different("an equation and its opposite")
        }
        _ => Same::Unknown("different relations"),
    }
}

/// Looks for a point at which only one of the inequalities holds.
fn truths(f: &Expr, f_up: bool, g: &Expr, g_up: bool, budget: &mut Budget) -> Same {
    for family in [Family::Fractions, Family::Positive, Family::Unit] {
        for index in 0..8 {
            let mut eval = Eval::new(Point { family, index }, 128, true, budget);
            let (Ok(at_f), Ok(at_g)) = (eval.value(f), eval.value(g)) else { continue };
            let (Ok(at_f), Ok(at_g)) = (Arithmetic::sign(&at_f), Arithmetic::sign(&at_g)) else { continue };
            if at_f == Ordering::Equal || at_g == Ordering::Equal {
                continue;
            }
            if ((at_f == Ordering::Greater) == f_up) != ((at_g == Ordering::Greater) == g_up) {
                return Same::Different("a point satisfies only one of the inequalities");
            }
        }
    }
    Same::Unknown("the inequalities are not proportional")
}

/// A chain as conditions on one unknown: each relation with its bounds (several after a `±`). The unknown is a variable,
/// an unknown function of something, or, in a linear inequality, the only variable.
pub fn isolated(sides: &[Expr], relations: &[Relation], budget: &mut Budget) -> Option<Vec<(Relation, Vec<Expr>)>> {
    let unknown = |side: &Expr| matches!(side, Expr::Var(_) | Expr::Apply(..));
    let found: Vec<usize> = (0..sides.len()).filter(|at| unknown(&sides[*at])).collect();
    if let [at] = found.as_slice()
        && relations
            .iter()
            .all(|relation| relation.orders() || matches!(relation, Relation::NotEqual | Relation::Equal))
        && sides.len() <= 3
        && (0..sides.len()).all(|side| side == *at || side + 1 == *at || side == *at + 1)
    {
        let mut conditions = Vec::new();
        for (side, bound) in sides.iter().enumerate() {
            if side != *at {
                let relation = if side < *at { relations[side].flipped() } else { relations[*at] };
                conditions.push((relation, plus_minus(bound)?));
            }
        }
        return Some(conditions);
    }
    let ([_, _], [relation]) = (sides, relations) else { return None };
    if !relation.orders() {
        return None;
    }
    if let ([Expr::Call(Func::Abs, inner), bound], Relation::Less | Relation::LessEqual) = (sides, relation)
        && let [inner] = inner.as_slice()
        && is_constant(bound)
    {
        // `|x - 2| < 3`
        let (low, high) = (bound.clone().negative(), bound.clone());
        let above = isolated(&[low, inner.clone()], &[*relation], budget)?;
        let below = isolated(&[inner.clone(), high], &[*relation], budget)?;
        return Some([above, below].concat());
    }
    let f = difference(sides);
    if !f.is_scalar() {
        return None;
    }
    let variables = f.variables();
    let name = variables.iter().next().filter(|_| variables.len() == 1)?;
    let point = Point { family: Family::Fractions, index: 0 };
    let root = linear_root(&f, name, point, budget)?;
    let above = exact_at(&f, name, &(&root + BigRational::one()), point, budget)?;
    let relation = if above.is_positive() { *relation } else { relation.flipped() };
    Some(vec![(relation, vec![Expr::Num(root, 0)])])
}
