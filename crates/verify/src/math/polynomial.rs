//! Polynomials in one variable with rational coefficients, and pieces of the line between their real roots.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::expr::Expr;

/// Largest degree whose roots are isolated.
const MAX_DEGREE: usize = 10;
/// Bits of all coefficients together.
const MAX_BITS: u64 = 1024;
/// Halvings of one interval: roots closer than this are not told apart.
const MAX_HALVINGS: u32 = 400;

/// A polynomial: its coefficients from the constant one up, the last one not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polynomial(Vec<BigRational>);

impl Polynomial {
    fn new(mut coefficients: Vec<BigRational>) -> Self {
        while coefficients.last().is_some_and(Zero::is_zero) {
            coefficients.pop();
        }
        Self(coefficients)
    }

    fn constant(value: BigRational) -> Self {
        Self::new(vec![value])
    }

    /// 1.
    pub fn one() -> Self {
        Self::constant(BigRational::one())
    }

    fn degree(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// Whether it is zero everywhere.
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&self, other: &Self) -> Self {
        let zero = BigRational::zero();
        let at = |polynomial: &Self, power: usize| polynomial.0.get(power).unwrap_or(&zero).clone();
        Self::new((0..self.0.len().max(other.0.len())).map(|power| at(self, power) + at(other, power)).collect())
    }

    fn negative(&self) -> Self {
        Self(self.0.iter().map(|coefficient| -coefficient).collect())
    }

    /// The product.
    pub fn mul(&self, other: &Self) -> Self {
        if self.is_zero() || other.is_zero() {
            return Self(Vec::new());
        }
        let mut product = vec![BigRational::zero(); self.0.len() + other.0.len() - 1];
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                product[i + j] += a * b;
            }
        }
        Self::new(product)
    }

    /// The value at `x`.
    pub fn value(&self, x: &BigRational) -> BigRational {
        self.0.iter().rev().fold(BigRational::zero(), |sum, coefficient| sum * x + coefficient)
    }

    fn derivative(&self) -> Self {
        let power = |power: usize| BigRational::from_integer(BigInt::from(power));
        Self::new(self.0.iter().enumerate().skip(1).map(|(n, coefficient)| coefficient * power(n)).collect())
    }

    /// Quotient and remainder; the divisor is not zero.
    fn divided(&self, divisor: &Self) -> (Self, Self) {
        let (mut rest, mut quotient) = (self.clone(), vec![BigRational::zero(); self.0.len()]);
        let Some(lead) = divisor.0.last() else { return (Self(Vec::new()), rest) };
        while rest.0.len() >= divisor.0.len() {
            let Some(top) = rest.0.last() else { break };
            let (factor, shift) = (top / lead, rest.0.len() - divisor.0.len());
            for (power, coefficient) in divisor.0.iter().enumerate() {
                rest.0[power + shift] -= coefficient * &factor;
            }
            quotient[shift] = factor;
            rest = Self::new(rest.0);
        }
        (Self::new(quotient), rest)
    }

    /// With leading coefficient one.
    fn monic(self) -> Self {
        match self.0.last().cloned() {
            Some(lead) => Self(self.0.iter().map(|coefficient| coefficient / &lead).collect()),
            None => self,
        }
    }

    /// The polynomial with the same roots, each once.
    fn squarefree(&self) -> Self {
        let (mut a, mut b) = (self.clone(), self.derivative());
        while !b.is_zero() {
            let rest = a.divided(&b).1.monic();
            (a, b) = (b, rest);
        }
        self.divided(&a).0.monic()
    }

    fn size(&self) -> u64 {
        self.0.iter().map(|coefficient| coefficient.numer().bits() + coefficient.denom().bits()).sum()
    }

    /// Two points on every piece into which the real roots cut the line, from left to right. `None` when the polynomial is
    /// too large, or zero everywhere.
    pub fn pieces(&self) -> Option<Vec<[BigRational; 2]>> {
        if self.is_zero() || !self.fits() {
            return None;
        }
        let polynomial = self.squarefree();
        let sturm = Sturm::of(&polynomial);
        let high = polynomial.bound();
        let low = -high.clone();
        let mut points = vec![low.clone()];
        sturm.split(&low, &high, MAX_HALVINGS, &mut points)?;
        if sturm.changes(&low) != sturm.changes(&high) {
            points.push(high);
        }
        points.into_iter().map(|point| Some([sturm.beside(&point)?, point])).collect()
    }

    /// A power of two above all absolute values of roots (Cauchy).
    fn bound(&self) -> BigRational {
        let largest = self.0.iter().map(Signed::abs).max().unwrap_or_else(BigRational::one);
        let bits = (largest + BigRational::one()).ceil().to_integer().bits();
        BigRational::from_integer(BigInt::one() << (bits + 1))
    }

    /// Numerator and denominator of an expression in `name`, when it is a quotient of polynomials with rational
    /// coefficients.
    pub fn quotient(expr: &Expr, name: &str) -> Option<(Self, Self)> {
        let whole = |polynomial: Self| Some((polynomial, Self::one()));
        match expr {
            Expr::Num(value, _) => whole(Self::constant(value.clone())),
            Expr::Var(found) if found == name => whole(Self(vec![BigRational::zero(), BigRational::one()])),
            Expr::Neg(inner) => {
                let (n, d) = Self::quotient(inner, name)?;
                Some((n.negative(), d))
            }
            Expr::Add(items) => items.iter().try_fold((Self(Vec::new()), Self::one()), |(n, d), item| {
                let (item_n, item_d) = Self::quotient(item, name)?;
                Some((n.mul(&item_d).add(&item_n.mul(&d)), d.mul(&item_d))).filter(|(n, d)| n.fits() && d.fits())
            }),
            Expr::Mul(items) => items.iter().try_fold((Self::one(), Self::one()), |(n, d), item| {
                let (item_n, item_d) = Self::quotient(item, name)?;
                Some((n.mul(&item_n), d.mul(&item_d))).filter(|(n, d)| n.fits() && d.fits())
            }),
            Expr::Div(a, b) => {
                let ((a_n, a_d), (b_n, b_d)) = (Self::quotient(a, name)?, Self::quotient(b, name)?);
                Some((a_n.mul(&b_d), a_d.mul(&b_n))).filter(|(n, d)| n.fits() && d.fits() && !d.is_zero())
            }
            Expr::Pow(base, power) => {
                let Expr::Num(power, _) = &**power else { return None };
                let power = power.is_integer().then(|| power.to_integer().to_i32()).flatten()?;
                let (n, d) = Self::quotient(base, name)?;
                let raised = |base: &Self| {
                    (0..power.unsigned_abs())
                        .try_fold(Self::one(), |product, _| Some(product.mul(base)).filter(Self::fits))
                };
                let (n, d) = (raised(&n)?, raised(&d)?);
                if power >= 0 { Some((n, d)) } else { Some((d, n)).filter(|(_, d)| !d.is_zero()) }
            }
            _ => None,
        }
    }

    /// Whether it is small enough for its roots to be isolated.
    pub fn fits(&self) -> bool {
        self.degree() <= MAX_DEGREE && self.size() <= MAX_BITS
    }
}

/// A Sturm chain: the changes of sign along it at two points differ by the number of roots between them.
struct Sturm(Vec<Polynomial>);

impl Sturm {
    fn of(polynomial: &Polynomial) -> Self {
        let mut chain = vec![polynomial.clone(), polynomial.derivative()];
        while let [.., a, b] = chain.as_slice() {
            let rest = a.divided(b).1.negative();
            if rest.is_zero() {
                break;
            }
            // A positive factor changes no sign.
            let scale = rest.0.last().map_or_else(BigRational::one, Signed::abs);
            chain.push(Polynomial(rest.0.iter().map(|coefficient| coefficient / &scale).collect()));
        }
        Self(chain)
    }

    fn changes(&self, x: &BigRational) -> usize {
        let signs = self.0.iter().map(|polynomial| polynomial.value(x).cmp(&BigRational::zero()));
        let signs: Vec<_> = signs.filter(|sign| *sign != Ordering::Equal).collect();
        signs.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    /// Another point of the piece that `point` lies in.
    fn beside(&self, point: &BigRational) -> Option<BigRational> {
        let changes = self.changes(point);
        let size = point.abs().max(BigRational::one());
        let mut step = size * BigRational::new(37.into(), 1009.into());
        for _ in 0..MAX_HALVINGS {
            let other = point + &step;
            if self.changes(&other) == changes && !self.0[0].value(&other).is_zero() {
                return Some(other);
            }
            step /= BigRational::from_integer(7.into());
        }
        None
    }

    /// Adds points between the roots in `(low, high]`.
    fn split(&self, low: &BigRational, high: &BigRational, halvings: u32, points: &mut Vec<BigRational>) -> Option<()> {
        let roots = self.changes(low) - self.changes(high);
        if roots <= 1 {
            return Some(());
        }
        let halvings = halvings.checked_sub(1)?;
        let two = BigRational::from_integer(2.into());
        let mut middle = (low + high) / &two;
        while self.0[0].value(&middle).is_zero() {
            middle = (low + &middle) / &two;
        }
        self.split(low, &middle, halvings, points)?;
        if self.changes(low) != self.changes(&middle) && self.changes(&middle) != self.changes(high) {
            points.push(middle.clone());
        }
        self.split(&middle, high, halvings, points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::parse::parse;

    fn pieces(text: &str) -> Option<Vec<[BigRational; 2]>> {
        let expr = parse(text, false).unwrap().expr;
        Polynomial::quotient(&expr, "x")?.0.pieces()
    }

    #[test]
    fn pieces_lie_between_the_roots() {
        for (text, roots) in [
            ("x^2-1", vec![-1.0, 1.0]),
            ("(x-1)^2(x+3)", vec![-3.0, 1.0]),
            ("x^2+1", vec![]),
            ("x+10^{20}", vec![-1e20]),
            ("(x-1)(x-1.000000001)", vec![1.0, 1.000_000_001]),
            ("x^4-x^2", vec![-1.0, 0.0, 1.0]),
            ("5", vec![]),
        ] {
            let pieces = pieces(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(pieces.len(), roots.len() + 1, "{text}: {pieces:?}");
            for point in 0..2 {
                let points: Vec<f64> = pieces.iter().filter_map(|piece| piece[point].to_f64()).collect();
                for (at, root) in roots.iter().enumerate() {
                    assert!(points[at] < *root && *root < points[at + 1], "{text}: {points:?}");
                }
            }
        }
        assert_eq!(pieces("0x"), None);
        assert_eq!(pieces("x^{99}"), None);
    }
}
