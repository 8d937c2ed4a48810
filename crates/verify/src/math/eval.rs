//! The value of an expression at a point.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::{
    expr::{Const, Expr, Fold, Func},
    limits::{Budget, MAX_FACTORIAL, MAX_TERMS},
    value::{Arithmetic, Number, Stop},
};

/// Which numbers the variables stand for. The value of a variable depends on its name and the point alone, so that two
/// expressions agree on it however they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Positive and negative fractions up to some hundreds.
    Fractions,
    /// Fractions between 0 and 1.
    Unit,
    /// Fractions between 1 and 9.
    Positive,
    /// Integers from 1 to 9.
    Integers,
    /// Integers above one, up to some twenty more.
    Above(i64),
}

/// A point: the values of all variables and of all unknown functions.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Which numbers.
    pub family: Family,
    /// Which of the family's points, from 0.
    pub index: u64,
}

/// FNV-1a followed by the finaliser of SplitMix64: the same on every machine.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl Point {
    fn value(self, key: &[&[u8]]) -> BigRational {
        let mut parts = key.to_vec();
        let index = self.index.to_le_bytes();
        parts.push(&index);
        let bits = hash(&parts);
        let (high, low) = ((bits >> 32) as i64, (bits & 0xffff) as i64);
        let ratio = |numer: i64, denom: i64| BigRational::new(numer.into(), denom.into());
        match self.family {
            Family::Fractions => {
                let magnitude = ratio(1 + high % 30_011, 101 + low % 97);
                // Signs alternate over the points so that every variable is negative at some.
                if (bits >> 20 ^ self.index) & 1 == 1 { -magnitude } else { magnitude }
            }
            Family::Unit => ratio(1 + high % 10_006, 10_007),
            Family::Positive => ratio(1009 + high % 8072, 1009),
            Family::Integers => ratio(1 + high % 9, 1),
            Family::Above(low) => ratio(low + 1 + high % 23, 1),
        }
    }
}

/// An evaluation of expressions at one point.
#[derive(Debug)]
pub struct Eval<'b> {
    /// Precision, budget and domain.
    pub arithmetic: Arithmetic<'b>,
    /// The point.
    pub point: Point,
    /// Read `log` without a base as the natural logarithm.
    pub natural_log: bool,
    /// Indices of the sums around, innermost last.
    indices: Vec<(String, BigInt)>,
}

type Outcome = Result<Number, Stop>;

impl<'b> Eval<'b> {
    /// An evaluation with balls of `precision` bits. `real` makes roots and logarithms of negative numbers undefined.
    pub fn new(point: Point, precision: u32, real: bool, budget: &'b mut Budget) -> Self {
        let arithmetic = Arithmetic { precision, budget, real, extent: 0 };
        Self { arithmetic, point, natural_log: false, indices: Vec::new() }
    }

    /// The value of `expr`.
    pub fn value(&mut self, expr: &Expr) -> Outcome {
        self.arithmetic.budget.take(10)?;
        match expr {
            Expr::Num(value, _) => Ok(Number::exact(value.clone())),
            Expr::Const(Const::Pi) => Ok(self.arithmetic.pi()),
            Expr::Const(Const::E) => Ok(self.arithmetic.e()),
            Expr::Const(Const::I) => Ok(Number::Exact(BigRational::zero(), BigRational::one())),
            Expr::Const(Const::Infinity) => Ok(Number::Infinite(false)),
            Expr::Var(name) => Ok(match self.indices.iter().rev().find(|(index, _)| index == name) {
                Some((_, value)) => Number::int(value.clone()),
                None => Number::exact(self.point.value(&[b"variable", name.as_bytes()])),
            }),
            Expr::Neg(a) => {
                let a = self.value(a)?;
                Ok(Arithmetic::neg(&a))
            }
            Expr::Add(items) => self.fold(items, super::value::Arithmetic::add),
            Expr::Mul(items) => self.fold(items, super::value::Arithmetic::mul),
            Expr::Div(a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                self.arithmetic.div(&a, &b)
            }
            Expr::Pow(base, exponent) => {
                if **base == Expr::Const(Const::E) {
                    let exponent = self.value(exponent)?;
                    return self.arithmetic.exp(&exponent);
                }
                let (base, exponent) = (self.value(base)?, self.value(exponent)?);
                self.arithmetic.pow(&base, &exponent)
            }
            Expr::Root(degree, radicand) => {
                let (degree, radicand) = (self.value(degree)?, self.value(radicand)?);
                if let Some(degree) = degree.as_integer().and_then(ToPrimitive::to_u32)
                    && (1..=256).contains(&degree)
                {
                    return self.arithmetic.root(&radicand, degree);
                }
                let exponent = self.arithmetic.div(&Number::int(1), &degree)?;
                self.arithmetic.pow(&radicand, &exponent)
            }
            Expr::Call(func, arguments) => {
                let values = arguments.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
                self.call(*func, &values)
            }
            Expr::Apply(name, arguments) => self.apply(name, arguments),
            Expr::Fold(fold, index, from, to, body) => self.sum(*fold, index, from, to, body),
            Expr::Percent(a) => {
                let a = self.value(a)?;
                self.arithmetic.div(&a, &Number::int(100))
            }
            Expr::Degree(a) | Expr::Quantity(a, _) => self.value(a),
            Expr::Base(digits, base) => {
                let value = BigInt::parse_bytes(digits.as_bytes(), *base).ok_or(Stop::Unsupported)?;
                Ok(Number::int(value))
            }
            _ => Err(Stop::Unsupported),
        }
    }

    fn fold(&mut self, items: &[Expr], join: impl Fn(&mut Arithmetic<'b>, &Number, &Number) -> Outcome) -> Outcome {
        let (first, rest) = items.split_first().ok_or(Stop::Unsupported)?;
        let mut total = self.value(first)?;
        for item in rest {
            let value = self.value(item)?;
            total = join(&mut self.arithmetic, &total, &value)?;
        }
        Ok(total)
    }

    /// An unknown function is some function: its value depends on its name and its arguments' values.
    fn apply(&mut self, name: &str, arguments: &[Expr]) -> Outcome {
        let mut key = Vec::new();
        for argument in arguments {
            match self.value(argument)? {
                Number::Exact(re, im) => key.push(format!("{re} {im}")),
                _ => return Err(Stop::Unsupported),
            }
        }
        let mut parts: Vec<&[u8]> = vec![b"function", name.as_bytes()];
        parts.extend(key.iter().map(std::string::String::as_bytes));
        // Fractions even at integer points: a sequence of small integers would repeat itself.
        Ok(Number::exact(Point { family: Family::Fractions, ..self.point }.value(&parts)))
    }

    fn sum(&mut self, fold: Fold, index: &str, from: &Expr, to: &Expr, body: &Expr) -> Outcome {
        let (from, to) = (self.value(from)?, self.value(to)?);
        if let Number::Infinite(_) = to {
            return Err(Stop::Unsupported);
        }
        let (Some(from), Some(to)) = (from.as_integer().cloned(), to.as_integer().cloned()) else {
            return Err(Stop::Undefined);
        };
        let count = (&to - &from + 1i32).to_i64().ok_or(Stop::TooLarge)?;
        if count > MAX_TERMS {
            return Err(Stop::TooLarge);
        }
        if count < 0 {
            return Err(Stop::Undefined);
        }
        let mut total = Number::int(i32::from(fold == Fold::Product));
        for step in 0..count {
            self.indices.push((index.to_owned(), &from + step));
            let term = self.value(body);
            self.indices.pop();
            let term = term?;
            total = match fold {
                Fold::Sum => self.arithmetic.add(&total, &term)?,
                Fold::Product => self.arithmetic.mul(&total, &term)?,
            };
        }
        Ok(total)
    }

    fn call(&mut self, func: Func, values: &[Number]) -> Outcome {
        let arithmetic = &mut self.arithmetic;
        match (func, values) {
            (Func::Sin, [a]) => Ok(arithmetic.sin_cos(a)?.0),
            (Func::Cos, [a]) => Ok(arithmetic.sin_cos(a)?.1),
            (Func::Tan | Func::Cot | Func::Sec | Func::Csc, [a]) => {
                let (sin, cos) = arithmetic.sin_cos(a)?;
                match func {
                    Func::Tan => arithmetic.div(&sin, &cos),
                    Func::Cot => arithmetic.div(&cos, &sin),
                    Func::Sec => arithmetic.div(&Number::int(1), &cos),
                    _ => arithmetic.div(&Number::int(1), &sin),
                }
            }
            (Func::Asin, [a]) => arithmetic.asin(a),
            (Func::Acos, [a]) => {
                let asin = arithmetic.asin(a)?;
                complement(arithmetic, &asin)
            }
            (Func::Atan, [Number::Infinite(negative)]) => {
                let half = arithmetic.div(&arithmetic.pi(), &Number::int(if *negative { -2 } else { 2 }))?;
                Ok(half)
            }
            (Func::Atan, [a]) => arithmetic.atan(a),
            (Func::Acot, [a]) => {
                let atan = arithmetic.atan(a)?;
                complement(arithmetic, &atan)
            }
            (Func::Sinh | Func::Cosh | Func::Tanh | Func::Coth, [a]) => {
                let (up, down) = (arithmetic.exp(a)?, arithmetic.exp(&Arithmetic::neg(a))?);
                let (sum, difference) = (arithmetic.add(&up, &down)?, arithmetic.add(&up, &Arithmetic::neg(&down))?);
                match func {
                    Func::Sinh => arithmetic.div(&difference, &Number::int(2)),
                    Func::Cosh => arithmetic.div(&sum, &Number::int(2)),
                    Func::Tanh => arithmetic.div(&difference, &sum),
                    _ => arithmetic.div(&sum, &difference),
                }
            }
            (Func::Asinh | Func::Acosh, [a]) => {
                // ln (a + √(a² ± 1))
                let square = arithmetic.mul(a, a)?;
                let inner = arithmetic.add(&square, &Number::int(if func == Func::Asinh { 1 } else { -1 }))?;
                if func == Func::Acosh && arithmetic.compare(a, &Number::int(1))? == Ordering::Less {
                    return Err(Stop::Undefined);
                }
                let root = arithmetic.root(&inner, 2)?;
                let sum = arithmetic.add(a, &root)?;
                arithmetic.ln(&sum)
            }
            (Func::Atanh, [a]) => {
                let one = Number::int(1);
                let (above, below) = (arithmetic.add(&one, a)?, arithmetic.add(&one, &Arithmetic::neg(a))?);
                let ratio = arithmetic.div(&above, &below)?;
                if Arithmetic::sign(&ratio)? != Ordering::Greater {
                    return Err(Stop::Undefined);
                }
                let ln = arithmetic.ln(&ratio)?;
                arithmetic.div(&ln, &Number::int(2))
            }
            (Func::Ln, [a]) => arithmetic.ln(a),
            (Func::Log, [a]) if self.natural_log => arithmetic.ln(a),
            (Func::Log, [a]) => log(arithmetic, &Number::int(10), a),
            (Func::LogBase, [base, a]) => log(arithmetic, base, a),
            (Func::Exp, [a]) => arithmetic.exp(a),
            (Func::Abs, [a]) => arithmetic.abs(a),
            (Func::Floor, [a]) => arithmetic.floor(a),
            (Func::Ceil, [a]) => {
                let floor = arithmetic.floor(&Arithmetic::neg(a))?;
                Ok(Arithmetic::neg(&floor))
            }
            (Func::Gcd | Func::Lcm, [first, rest @ ..]) => {
                let mut total = arithmetic.abs(first)?;
                for value in rest {
                    total = common(arithmetic, func == Func::Lcm, &total, value)?;
                }
                Ok(total)
            }
            (Func::Max | Func::Min, [first, rest @ ..]) => {
                let wanted = if func == Func::Max { Ordering::Greater } else { Ordering::Less };
                let mut best = first.clone();
                for value in rest {
                    if arithmetic.compare(value, &best)? == wanted {
                        best = value.clone();
                    }
                }
                Ok(best)
            }
            (Func::Mod | Func::Residue, [a, b]) => {
                let quotient = arithmetic.div(a, b)?;
                let floor = arithmetic.floor(&quotient)?;
                let whole = arithmetic.mul(b, &floor)?;
                arithmetic.add(a, &Arithmetic::neg(&whole))
            }
            (Func::Binom, [n, k]) => binomial(arithmetic, n, k),
            (Func::Factorial, [a]) => factorial(arithmetic, a),
            _ => Err(Stop::Unsupported),
        }
    }
}

/// `π/2 - a`.
fn complement(arithmetic: &mut Arithmetic<'_>, a: &Number) -> Outcome {
    let half = arithmetic.div(&arithmetic.pi(), &Number::int(2))?;
    arithmetic.add(&half, &Arithmetic::neg(a))
}

/// The logarithm, exact where the argument is a small power of the base.
fn log(arithmetic: &mut Arithmetic<'_>, base: &Number, a: &Number) -> Outcome {
    if let (Some(base), Some(value)) = (base.as_exact(), a.as_exact())
        && base.is_positive()
        && !base.is_one()
        && value.is_positive()
        && value.numer().bits() + value.denom().bits() < 2048
    {
        let below = (value < &BigRational::one()) != (base < &BigRational::one());
        let target = if below { value.recip() } else { value.clone() };
        let exponent = (binary_log(&target) / binary_log(base)).round();
        // A power of the base is in lowest terms, so it is as long as the argument or another number.
        let bits = base.numer().bits().max(base.denom().bits()) as f64 * exponent;
        if (0.0..2048.0).contains(&exponent) && bits < 8192.0 {
            arithmetic.budget.arithmetic(bits as u64)?;
            if base.pow(exponent as i32) == target {
                return Ok(Number::int(exponent as i32 * if below { -1 } else { 1 }));
            }
        }
    }
    let (a, base) = (arithmetic.ln(a)?, arithmetic.ln(base)?);
    arithmetic.div(&a, &base)
}

/// The logarithm to base 2 of a positive number, to some fifteen digits.
fn binary_log(value: &BigRational) -> f64 {
    let of_integer = |integer: &BigInt| {
        let shift = integer.bits().saturating_sub(64);
        (integer >> shift).to_f64().unwrap_or(1.0).log2() + shift as f64
    };
    of_integer(value.numer()) - of_integer(value.denom())
}

/// Greatest common divisor or least common multiple of rational numbers; numbers that are not rational share only 1.
fn common(arithmetic: &mut Arithmetic<'_>, multiple: bool, a: &Number, b: &Number) -> Outcome {
    let (Some(x), Some(y)) = (a.as_exact(), b.as_exact()) else {
        return if multiple {
            let product = arithmetic.mul(a, b)?;
            arithmetic.abs(&product)
        } else {
            Ok(Number::int(1))
        };
    };
    arithmetic.budget.arithmetic(4 * (x.numer().bits() + x.denom().bits() + y.numer().bits() + y.denom().bits()))?;
    let gcd = BigRational::new((x.numer() * y.denom()).gcd(&(y.numer() * x.denom())), x.denom() * y.denom());
    if !multiple {
        return Ok(Number::exact(gcd));
    }
    Ok(Number::exact(if gcd.is_zero() { gcd } else { (x * y).abs() / gcd }))
}

fn factorial(arithmetic: &mut Arithmetic<'_>, a: &Number) -> Outcome {
    let n = a.as_integer().ok_or(Stop::Undefined)?;
    if n.is_negative() {
        return Err(Stop::Undefined);
    }
    let n = n.to_u32().filter(|n| *n <= MAX_FACTORIAL).ok_or(Stop::TooLarge)?;
    arithmetic.budget.take(u64::from(n) * 20 + 1)?;
    Ok(Number::int((2..=n).fold(BigInt::one(), |product, factor| product * factor)))
}

fn binomial(arithmetic: &mut Arithmetic<'_>, n: &Number, k: &Number) -> Outcome {
    let (Some(n), Some(k)) = (n.as_integer(), k.as_integer()) else { return Err(Stop::Undefined) };
    if n.is_negative() {
        return Err(Stop::Undefined);
    }
    if k.is_negative() || k > n {
        return Ok(Number::int(0));
    }
    let k = k.clone().min(n - k).to_u32().filter(|k| *k <= MAX_FACTORIAL).ok_or(Stop::TooLarge)?;
    let mut product = BigInt::one();
    for step in 0..k {
        arithmetic.budget.arithmetic(product.bits())?;
        product = product * (n - step) / (step + 1);
        if product.bits() > super::limits::MAX_BITS {
            return Err(Stop::TooLarge);
        }
    }
    Ok(Number::int(product))
}
