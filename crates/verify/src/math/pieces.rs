//! Where a function may change its formula: at the zeros of what stands inside absolute values, roots, logarithms and the
//! like, at the poles inside arc tangents, at the steps of roundings. Between two such places it is analytic, so that
//! points which agree there prove all of the piece; a piece without a point proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::{
    expr::{Expr, Func},
    polynomial::Polynomial,
};

/// Points of one test.
const MAX_POINTS: usize = 400;
/// Steps of roundings in one period.
const MAX_STEPS: usize = 100;
/// Periods that are looked at: of both signs, small and large, of every remainder by small numbers.
const PERIODS: [i64; 8] = [0, 1, -1, 2, -5, 36, 1_000_003, -1_000_006];

/// The values of the variables at one point.
pub type Place = BTreeMap<String, BigRational>;

/// A node that may change its formula, without looking at its arguments.
fn is_kink(expr: &Expr) -> bool {
    let varies = |expr: &Expr| !expr.variables().is_empty();
    match expr {
        Expr::Call(
            Func::Abs
            | Func::Max
            | Func::Min
            | Func::Floor
            | Func::Ceil
            | Func::Gcd
            | Func::Lcm
            | Func::Mod
            | Func::Residue
            | Func::Ln
            | Func::Log
            | Func::LogBase
            | Func::Asin
            | Func::Acos
            | Func::Acosh
            | Func::Atanh,
            _,
        )
        | Expr::Root(..) => varies(expr),
        Expr::Call(Func::Atan | Func::Acot, arguments) => {
            let mut poles = Vec::new();
            for argument in arguments {
                collect_poles(argument, &mut poles);
            }
            poles.iter().any(varies)
        }
        Expr::Pow(base, power) => varies(base) && !is_integer(power),
        _ => false,
    }
}

fn is_integer(expr: &Expr) -> bool {
    ratio(expr).is_some_and(|value| value.is_integer())
}

/// Nodes that may change their formula of one expression: more are not looked at one by one.
const MAX_KINKS: usize = 40;

/// How many nodes of an expression may change its formula.
fn kinks(expr: &Expr) -> usize {
    usize::from(is_kink(expr)) + expr.children().into_iter().map(kinks).sum::<usize>()
}

/// Whether an expression has a node that may change its formula.
pub fn has_kinks(expr: &Expr) -> bool {
    expr.any(&is_kink)
}

/// Divisors and whatever else an expression has poles at.
fn collect_poles(expr: &Expr, poles: &mut Vec<Expr>) {
    match expr {
        Expr::Div(_, divisor) => poles.push((**divisor).clone()),
        Expr::Pow(base, power) if !matches!(&**power, Expr::Num(value, _) if !value.is_negative()) => {
            poles.push((**base).clone());
        }
        Expr::Call(Func::Tan | Func::Sec, arguments) => poles.push(Expr::Call(Func::Cos, arguments.clone())),
        Expr::Call(Func::Cot | Func::Csc, arguments) => poles.push(Expr::Call(Func::Sin, arguments.clone())),
        Expr::Call(Func::Coth, arguments) => poles.extend(arguments.iter().cloned()),
        _ => {}
    }
    expr.children().into_iter().for_each(|child| collect_poles(child, poles));
}

fn difference(a: &Expr, b: &Expr) -> Expr {
    Expr::Add(vec![a.clone(), Expr::Neg(Box::new(b.clone()))])
}

/// The expressions at whose zeros `expr` may change its formula, and what is rounded. `None` where nobody knows.
fn breaks(expr: &Expr, zeros: &mut Vec<Expr>, rounded: &mut Vec<Expr>) -> Option<()> {
    if is_kink(expr) {
        match expr {
            Expr::Call(Func::Abs | Func::Ln | Func::Log, arguments) => zeros.extend(arguments.iter().cloned()),
            Expr::Call(Func::LogBase, arguments) => {
                let (base, argument) = (arguments.first()?, arguments.get(1)?);
                zeros.extend([base.clone(), difference(base, &Expr::int(1)), argument.clone()]);
            }
            Expr::Call(Func::Max | Func::Min, items) => {
                for (at, item) in items.iter().enumerate() {
                    zeros.extend(items[..at].iter().map(|other| difference(item, other)));
                }
            }
            Expr::Call(Func::Asin | Func::Acos | Func::Acosh | Func::Atanh, arguments) => {
                for argument in arguments {
                    zeros.extend([difference(argument, &Expr::int(1)), difference(argument, &Expr::int(-1))]);
                }
            }
            Expr::Call(Func::Atan | Func::Acot, arguments) => {
                for argument in arguments {
                    collect_poles(argument, zeros);
                }
            }
            Expr::Root(_, base) | Expr::Pow(base, _) => zeros.push((**base).clone()),
            Expr::Call(Func::Floor | Func::Ceil, arguments) => rounded.extend(arguments.iter().cloned()),
            Expr::Call(Func::Mod, arguments) => {
                let (value, modulus) = (arguments.first()?, arguments.get(1)?);
                rounded.push(Expr::Div(Box::new(value.clone()), Box::new(modulus.clone())));
            }
            _ => return None,
        }
    }
    expr.children().into_iter().try_for_each(|child| breaks(child, zeros, rounded))
}

/// Polynomials, each in one variable, that have every zero of `expr`.
fn zeros(expr: &Expr, depth: u32, found: &mut Vec<(String, Polynomial)>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let names = expr.variables();
    let mut names = names.iter();
    let (Some(name), None) = (names.next(), names.next()) else {
        return if expr.variables().is_empty() || is_positive(expr) == Some(true) {
            Some(())
        } else {
            zeros_inside(expr, depth, found)
        };
    };
    if let Some((numerator, denominator)) = Polynomial::quotient(expr, name) {
        // What is zero everywhere changes nowhere.
        let changing = [numerator, denominator].into_iter().filter(|polynomial| !polynomial.is_zero());
        found.extend(changing.map(|polynomial| (name.clone(), polynomial)));
        return Some(());
    }
    if is_positive(expr) == Some(true) { Some(()) } else { zeros_inside(expr, depth, found) }
}

fn zeros_inside(expr: &Expr, depth: u32, found: &mut Vec<(String, Polynomial)>) -> Option<()> {
    let mut each = |items: &[&Expr]| items.iter().try_for_each(|item| zeros(item, depth, found));
    match expr {
        Expr::Neg(a) | Expr::Root(_, a) => each(&[a]),
        Expr::Pow(a, power) if power.variables().is_empty() => each(&[a]),
        Expr::Div(a, b) => each(&[a, b]),
        Expr::Mul(items) => each(&items.iter().collect::<Vec<_>>()),
        Expr::Call(Func::Exp | Func::Cosh, _) => Some(()),
        Expr::Pow(base, _) if base.variables().is_empty() && is_positive(base) == Some(true) => Some(()),
        Expr::Call(Func::Abs | Func::Sinh | Func::Tanh | Func::Asinh | Func::Asin | Func::Atan, arguments) => {
            each(&[arguments.first()?])
        }
        Expr::Call(Func::Ln | Func::Log, arguments) => {
            let argument = arguments.first()?;
            each(&[argument, &difference(argument, &Expr::int(1))])
        }
        Expr::Add(_) => {
            // `|f| + g` is `f + g` or `-f + g`, the larger of two is one of them, and `√f = g` only where `f = g²`.
            let inner = innermost(expr)?;
            let replaced = |by: &Expr| substituted(expr, &inner, by);
            match &inner {
                Expr::Call(Func::Abs, arguments) => {
                    let argument = arguments.first()?;
                    each(&[&replaced(argument), &replaced(&argument.clone().negative())])
                }
                Expr::Call(Func::Max | Func::Min, arguments) => {
                    let variants: Vec<_> = arguments.iter().map(replaced).collect();
                    each(&variants.iter().collect::<Vec<_>>())
                }
                Expr::Root(degree, radicand) if **degree == Expr::int(2) => {
                    // f = p + q·√r, linear in the root: p² = q²·r.
                    let (at_zero, at_one, at_two) =
                        (replaced(&Expr::int(0)), replaced(&Expr::int(1)), replaced(&Expr::int(2)));
                    let slope = difference(&at_one, &at_zero);
                    let linear = difference(&at_two, &Expr::Add(vec![at_one, slope.clone()]));
                    let names = expr.variables();
                    let name = names.iter().next()?;
                    let (rest, _) = Polynomial::quotient(&linear, name)?;
                    if rest.pieces().is_some() {
                        return None;
                    }
                    let squared = |expr: &Expr| Expr::Pow(Box::new(expr.clone()), Box::new(Expr::int(2)));
                    let product = Expr::Mul(vec![squared(&slope), (**radicand).clone()]);
                    each(&[&difference(&squared(&at_zero), &product)])
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A node that may change its formula and has none below it.
fn innermost(expr: &Expr) -> Option<Expr> {
    if let Some(found) = expr.children().into_iter().find_map(innermost) {
        return Some(found);
    }
    is_kink(expr).then(|| expr.clone())
}

fn substituted(expr: &Expr, what: &Expr, by: &Expr) -> Expr {
    if expr == what { by.clone() } else { expr.map(&|child| substituted(child, what, by)) }
}

/// Whether an expression is never negative, and if so whether it is never zero either, as far as its form tells.
fn is_positive(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Num(value, _) if value.is_positive() => Some(true),
        Expr::Const(super::expr::Const::Pi | super::expr::Const::E) | Expr::Call(Func::Exp | Func::Cosh, _) => {
            Some(true)
        }
        Expr::Call(Func::Abs, _) => Some(false),
        Expr::Root(degree, radicand) if **degree == Expr::int(2) => Some(is_positive(radicand) == Some(true)),
        Expr::Pow(base, power) => match (&**power, is_positive(base)) {
            (_, Some(true)) => Some(true),
            (Expr::Num(value, _), _) if value.is_integer() && !value.to_integer().bit(0) => Some(value.is_negative()),
            _ => None,
        },
        Expr::Add(items) => {
            let signs = items.iter().map(is_positive).collect::<Option<Vec<_>>>()?;
            Some(signs.contains(&true))
        }
        Expr::Mul(items) => {
            let signs = items.iter().map(is_positive).collect::<Option<Vec<_>>>()?;
            Some(signs.iter().all(|strict| *strict))
        }
        Expr::Div(a, b) => Some(is_positive(a)? && is_positive(b)?),
        _ => None,
    }
}

/// Points on every piece of both expressions, at least two on each; `None` where their pieces are not known.
pub fn places(a: &Expr, b: &Expr) -> Option<Vec<Place>> {
    let (mut at_zero, mut rounded) = (Vec::new(), Vec::new());
    if kinks(a) + kinks(b) > MAX_KINKS {
        return None;
    }
    for expr in [a, b] {
        breaks(expr, &mut at_zero, &mut rounded)?;
    }
    let names: BTreeSet<String> = a.variables().into_iter().chain(b.variables()).collect();
    if !rounded.is_empty() {
        let mut names = names.into_iter();
        let (Some(name), None, true) = (names.next(), names.next(), at_zero.is_empty()) else { return None };
        let points = steps(&name, &rounded)?;
        return Some(points.into_iter().map(|point| Place::from([(name.clone(), point)])).collect());
    }
    let mut found = Vec::new();
    at_zero.iter().try_for_each(|expr| zeros(expr, 12, &mut found))?;
    let mut places = vec![Place::new()];
    for (at, name) in names.into_iter().enumerate() {
        let mut own: Vec<&Polynomial> = Vec::new();
        for (_, polynomial) in found.iter().filter(|(found, _)| *found == name) {
            if !own.contains(&polynomial) {
                own.push(polynomial);
            }
        }
        let product = own.into_iter().try_fold(Polynomial::one(), |product, polynomial| {
            Some(product.mul(polynomial)).filter(Polynomial::fits)
        })?;
        let mut points = Vec::new();
        if product == Polynomial::one() {
            // Nothing changes in this variable.
            points.extend([BigRational::new(7.into(), 3.into()), BigRational::new((-5).into(), 2.into())]);
        } else {
            // A second variable's points must not be multiples of the first one's.
            let shift = BigRational::new((at as i64).into(), 1009.into());
            for [first, second] in product.pieces()? {
                let between = &second + (&first - &second) * &shift;
                points.extend([first, between]);
            }
        }
        if points.len() * places.len() > MAX_POINTS {
            return None;
        }
        let placed = |place: &Place| {
            let with = |point: &BigRational| {
                let mut place = place.clone();
                place.insert(name.clone(), point.clone());
                place
            };
            points.iter().map(with).collect::<Vec<_>>()
        };
        places = places.iter().flat_map(placed).collect();
    }
    Some(places)
}

/// Points at and between the steps of roundings of linear expressions, in several periods.
fn steps(name: &str, rounded: &[Expr]) -> Option<Vec<BigRational>> {
    let mut period = BigInt::one();
    let mut lines = Vec::new();
    for expr in rounded {
        let at = |x: i64| {
            let (n, d) = Polynomial::quotient(expr, name)?;
            let x = BigRational::from_integer(x.into());
            let value = (n.value(&x), d.value(&x));
            (!value.1.is_zero()).then(|| value.0 / value.1)
        };
        let (start, one, two, seven) = (at(0)?, at(1)?, at(2)?, at(7)?);
        let slope = &one - &start;
        let line = |x: i64| &start + &slope * BigRational::from_integer(x.into());
        if two != line(2) || seven != line(7) {
            return None;
        }
        if slope.is_zero() {
            continue;
        }
        // The steps of a·x + b repeat with any multiple of a's denominator.
        period = period.lcm(slope.denom());
        lines.push((slope, start));
    }
    let span = BigRational::from_integer(period);
    let mut places = BTreeSet::from([BigRational::zero()]);
    for (slope, start) in lines {
        let count = (slope.abs() * &span).to_integer().to_usize().filter(|count| *count <= MAX_STEPS)?;
        let first = (start.ceil() - &start) / &slope;
        for step in 0..count {
            let place = &first + BigRational::from_integer(step.into()) / slope.abs();
            places.insert(&place - (&place / &span).floor() * &span);
        }
    }
    if places.len() > MAX_STEPS {
        return None;
    }
    let places: Vec<_> = places.into_iter().chain([span.clone()]).collect();
    let mut points = Vec::new();
    for pair in places.windows(2) {
        let part = |n: i64| &pair[0] + (&pair[1] - &pair[0]) * BigRational::new(n.into(), 997.into());
        points.extend([pair[0].clone(), part(311), part(850)]);
    }
    let periods = PERIODS.iter().take((MAX_POINTS / points.len().max(1)).max(4));
    Some(
        periods
            .flat_map(|n| {
                points.iter().map(|point| point + &span * BigRational::from_integer((*n).into())).collect::<Vec<_>>()
            })
            .collect(),
    )
}

/// The rational number by which two expressions differ everywhere; `None` when they differ by more.
pub type Proportion<'f> = &'f mut dyn FnMut(&Expr, &Expr) -> Option<BigRational>;

/// Both expressions with every node that may change its formula replaced by a variable, the same one for nodes that are
/// equal, and a multiple of it for those that are proportional. `None` when there are none, or too many.
pub fn abstracted(a: &Expr, b: &Expr, proportion: Proportion<'_>) -> Option<(Expr, Expr)> {
    let summed = |expr: &Expr| expr.any(&|inner| matches!(inner, Expr::Fold(..)) && has_kinks(inner));
    if summed(a) || summed(b) || kinks(a) + kinks(b) > MAX_KINKS {
        // Each term has pieces of its own.
        return None;
    }
    let (mut a, mut b) = (with_roots(a), with_roots(b));
    let mut known: Vec<Expr> = Vec::new();
    let mut replaced = 0;
    while let Some(kink) = innermost(&a).or_else(|| innermost(&b)) {
        replaced += 1;
        if replaced > 24 {
            return None;
        }
        let found = known.iter().enumerate().find_map(|(at, other)| Some((at, multiple(&kink, other, proportion)?)));
        let (at, factor) = found.unwrap_or_else(|| {
            known.push(kink.clone());
            (known.len() - 1, Expr::int(1))
        });
        let by = Expr::Mul(vec![factor, Expr::Var(format!("piece {at}"))]);
        (a, b) = (substituted(&a, &kink, &by), substituted(&b, &kink, &by));
    }
    (replaced > 0).then_some((a, b))
}

/// `x^{p/q}` as a power of a root.
fn with_roots(expr: &Expr) -> Expr {
    if let Expr::Pow(base, power) = expr
        && let Some(power) = ratio(power).filter(|power| !power.is_integer())
    {
        let degree = Expr::Num(BigRational::from_integer(power.denom().clone()), 0);
        let root = Expr::Root(Box::new(degree), Box::new(with_roots(base)));
        return Expr::Pow(Box::new(root), Box::new(Expr::Num(BigRational::from_integer(power.numer().clone()), 0)));
    }
    expr.map(&with_roots)
}

/// The value of a number or of a quotient of two.
fn ratio(expr: &Expr) -> Option<BigRational> {
    match expr {
        Expr::Num(value, _) => Some(value.clone()),
        Expr::Neg(inner) => ratio(inner).map(|value| -value),
        Expr::Div(a, b) => Some(ratio(a)? / ratio(b).filter(|divisor| !divisor.is_zero())?),
        _ => None,
    }
}

/// What the second node is multiplied by to be the first, if both are of one kind.
fn multiple(a: &Expr, b: &Expr, proportion: Proportion<'_>) -> Option<Expr> {
    let number = |value: BigRational| Expr::Num(value, 0);
    let mut same = |a: &Expr, b: &Expr| proportion(a, b).is_some_and(|factor| factor.is_one());
    let one = |equal: bool| equal.then(|| Expr::int(1));
    match (a, b) {
        (Expr::Call(Func::Abs, x), Expr::Call(Func::Abs, y)) => {
            let factor = proportion(x.first()?, y.first()?)?;
            Some(number(factor.abs()))
        }
        (Expr::Call(f @ (Func::Max | Func::Min | Func::Gcd | Func::Lcm), x), Expr::Call(g, y)) if f == g => {
            let found =
                x.iter().all(|x| y.iter().any(|y| same(x, y))) && y.iter().all(|y| x.iter().any(|x| same(x, y)));
            one(x.len() == y.len() && found)
        }
        (Expr::Call(f, x), Expr::Call(g, y)) if f == g => {
            one(x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)))
        }
        (Expr::Root(n, x), Expr::Root(m, y)) if same(n, m) => {
            let factor = proportion(x, y).filter(Signed::is_positive)?;
            Some(if factor.is_one() { Expr::int(1) } else { Expr::Root(n.clone(), Box::new(number(factor))) })
        }
        (Expr::Pow(x, n), Expr::Pow(y, m)) => one(same(n, m) && same(x, y)),
        _ => None,
    }
}
