//! Numbers of an evaluation: exact as long as they can be, balls afterwards.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::{
    ball::{Ball, Unclear},
    limits::{Budget, Exhausted, MAX_BITS},
};

/// A value.
#[derive(Debug, Clone)]
pub enum Number {
    /// Real and imaginary part, exactly.
    Exact(BigRational, BigRational),
    /// Real and imaginary part, up to their errors.
    Approx(Ball, Ball),
    /// Infinity, negative when the flag is set.
    Infinite(bool),
}

/// Why an expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// There is none, as for `1/0` or the square root of a negative number among real numbers.
    Undefined,
    /// The precision is too low to say.
    Unclear,
    /// Nothing here can evaluate it.
    Unsupported,
    /// It is larger than the limits.
    TooLarge,
    /// The budget of steps is used up.
    Exhausted,
}

impl From<Unclear> for Stop {
    fn from(_: Unclear) -> Self {
        Self::Unclear
    }
}

impl From<Exhausted> for Stop {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

/// Precision of an evaluation and what it may cost.
#[derive(Debug)]
pub struct Arithmetic<'b> {
    /// Bits of every ball.
    pub precision: u32,
    /// The steps that are left.
    pub budget: &'b mut Budget,
    /// Whether a negative number has no square root and no logarithm.
    pub real: bool,
    /// The largest distance of any value's leading bit from the point: sums of numbers so far apart lose so many bits.
    pub extent: i64,
}

fn bits(value: &BigRational) -> u64 {
    value.numer().bits() + value.denom().bits()
}

impl Number {
    /// An exact real number.
    pub fn exact(value: BigRational) -> Self {
        Self::Exact(value, BigRational::zero())
    }

    /// An integer.
    pub fn int(value: impl Into<BigInt>) -> Self {
        Self::exact(BigRational::from_integer(value.into()))
    }

    fn real(value: Ball) -> Self {
        Self::Approx(value, Ball::zero())
    }

    /// The exact real value, if it is one.
    pub fn as_exact(&self) -> Option<&BigRational> {
        match self {
            Self::Exact(re, im) if im.is_zero() => Some(re),
            _ => None,
        }
    }

    /// The exact integer, if it is one.
    pub fn as_integer(&self) -> Option<&BigInt> {
        self.as_exact().filter(|value| value.is_integer()).map(BigRational::numer)
    }

    /// Whether it certainly is a real number.
    pub fn is_real(&self) -> bool {
        match self {
            Self::Exact(_, im) => im.is_zero(),
            Self::Approx(_, im) => im.is_zero(),
            Self::Infinite(_) => true,
        }
    }

    /// Whether it certainly is zero.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Exact(re, im) => re.is_zero() && im.is_zero(),
            Self::Approx(re, im) => re.is_zero() && im.is_zero(),
            Self::Infinite(_) => false,
        }
    }
}

type Outcome = Result<Number, Stop>;

impl Arithmetic<'_> {
    /// Both parts as balls.
    pub fn balls(&self, value: &Number) -> Result<(Ball, Ball), Stop> {
        match value {
            Number::Exact(re, im) => Ok((Ball::ratio(re, self.precision), Ball::ratio(im, self.precision))),
            Number::Approx(re, im) => Ok((re.clone(), im.clone())),
            Number::Infinite(_) => Err(Stop::Undefined),
        }
    }

    fn real_ball(&self, value: &Number) -> Result<Ball, Stop> {
        let (re, im) = self.balls(value)?;
        if im.is_zero() { Ok(re) } else { Err(Stop::Undefined) }
    }

    fn functions(&mut self, count: u64) -> Result<(), Stop> {
        let limbs = u64::from(self.precision) / 64 + 2;
        Ok(self.budget.take(count * (100 + limbs * limbs * 40))?)
    }

    /// Pays for a value and refuses one above the limits.
    fn check(&mut self, value: Number) -> Outcome {
        match &value {
            Number::Exact(re, im) => {
                let size = bits(re) + bits(im);
                self.budget.arithmetic(size)?;
                if size > 2 * MAX_BITS {
                    return Err(Stop::TooLarge);
                }
                self.extent = self.extent.max(size as i64);
            }
            Number::Approx(re, im) => {
                self.budget.arithmetic(u64::from(self.precision))?;
                for part in [re, im] {
                    if !part.is_zero() {
                        let magnitude = part.magnitude().abs();
                        if magnitude > 1 << 50 {
                            return Err(Stop::TooLarge);
                        }
                        // Zero up to an error has no leading bit.
                        if !part.has_zero() {
                            self.extent = self.extent.max(magnitude);
                        }
                    }
                }
            }
            Number::Infinite(_) => {}
        }
        Ok(value)
    }

    /// The sum.
    pub fn add(&mut self, a: &Number, b: &Number) -> Outcome {
        match (a, b) {
            (Number::Exact(ar, ai), Number::Exact(br, bi)) => {
                self.budget.arithmetic(bits(ar) + bits(br))?;
                let im = if ai.is_zero() && bi.is_zero() { BigRational::zero() } else { ai + bi };
                self.check(Number::Exact(ar + br, im))
            }
            (Number::Infinite(a), Number::Infinite(b)) if a == b => Ok(Number::Infinite(*a)),
            (Number::Infinite(_), Number::Infinite(_)) => Err(Stop::Undefined),
            (Number::Infinite(sign), _) | (_, Number::Infinite(sign)) => Ok(Number::Infinite(*sign)),
            _ => {
                let ((ar, ai), (br, bi)) = (self.balls(a)?, self.balls(b)?);
                let p = self.precision;
                self.check(Number::Approx(ar.add(&br, p), ai.add(&bi, p)))
            }
        }
    }

    /// The negative.
    pub fn neg(a: &Number) -> Number {
        match a {
            Number::Exact(re, im) => Number::Exact(-re, -im),
            Number::Approx(re, im) => Number::Approx(re.neg(), im.neg()),
            Number::Infinite(sign) => Number::Infinite(!sign),
        }
    }

    /// The product.
    pub fn mul(&mut self, a: &Number, b: &Number) -> Outcome {
        match (a, b) {
            (Number::Exact(ar, ai), Number::Exact(br, bi)) => {
                self.budget.arithmetic(bits(ar) + bits(br) + bits(ai) + bits(bi))?;
                if bits(ar) + bits(br) > 2 * MAX_BITS {
                    return Err(Stop::TooLarge);
                }
                let product = if ai.is_zero() && bi.is_zero() {
                    Number::exact(ar * br)
                } else {
                    Number::Exact(ar * br - ai * bi, ar * bi + ai * br)
                };
                self.check(product)
            }
            (Number::Infinite(sign), other) | (other, Number::Infinite(sign)) => match Self::sign(other)? {
                Ordering::Equal => Err(Stop::Undefined),
                order => Ok(Number::Infinite(*sign != (order == Ordering::Less))),
            },
            _ => {
                let ((ar, ai), (br, bi)) = (self.balls(a)?, self.balls(b)?);
                let p = self.precision;
                if ai.is_zero() && bi.is_zero() {
                    return self.check(Number::real(ar.mul(&br, p)));
                }
                let re = ar.mul(&br, p).sub(&ai.mul(&bi, p), p);
                let im = ar.mul(&bi, p).add(&ai.mul(&br, p), p);
                self.check(Number::Approx(re, im))
            }
        }
    }

    /// The quotient.
    pub fn div(&mut self, a: &Number, b: &Number) -> Outcome {
        match (a, b) {
            (_, Number::Exact(br, bi)) if br.is_zero() && bi.is_zero() => Err(Stop::Undefined),
            (Number::Exact(ar, ai), Number::Exact(br, bi)) if ai.is_zero() && bi.is_zero() => {
                self.budget.arithmetic(bits(ar) + bits(br))?;
                self.check(Number::exact(ar / br))
            }
            (Number::Exact(..), Number::Exact(br, bi)) => {
                let norm = br * br + bi * bi;
                let inverse = Number::Exact(br / &norm, -bi / &norm);
                self.mul(a, &inverse)
            }
            (Number::Infinite(_), Number::Infinite(_)) => Err(Stop::Undefined),
            (Number::Infinite(sign), other) => Ok(Number::Infinite(*sign != (Self::sign(other)? == Ordering::Less))),
            (_, Number::Infinite(_)) => Ok(Number::int(0)),
            _ => {
                let ((ar, ai), (br, bi)) = (self.balls(a)?, self.balls(b)?);
                let p = self.precision;
                if ai.is_zero() && bi.is_zero() {
                    return self.check(Number::real(ar.div(&br, p)?));
                }
                let norm = br.mul(&br, p).add(&bi.mul(&bi, p), p);
                let re = ar.mul(&br, p).add(&ai.mul(&bi, p), p).div(&norm, p)?;
                let im = ai.mul(&br, p).sub(&ar.mul(&bi, p), p).div(&norm, p)?;
                self.check(Number::Approx(re, im))
            }
        }
    }

    /// The sign of a real number.
    pub fn sign(a: &Number) -> Result<Ordering, Stop> {
        match a {
            Number::Exact(re, im) if im.is_zero() => Ok(re.cmp(&BigRational::zero())),
            Number::Approx(re, im) if im.is_zero() => Ok(re.sign()?),
            Number::Infinite(true) => Ok(Ordering::Less),
            Number::Infinite(false) => Ok(Ordering::Greater),
            _ => Err(Stop::Undefined),
        }
    }

    /// The order of two real numbers.
    pub fn compare(&mut self, a: &Number, b: &Number) -> Result<Ordering, Stop> {
        if let (Number::Infinite(a), Number::Infinite(b)) = (a, b)
            && a == b
        {
            return Ok(Ordering::Equal);
        }
        let difference = self.add(a, &Self::neg(b))?;
        Self::sign(&difference)
    }

    /// The absolute value.
    pub fn abs(&mut self, a: &Number) -> Outcome {
        match a {
            Number::Exact(re, im) if im.is_zero() => Ok(Number::exact(re.abs())),
            Number::Approx(re, im) if im.is_zero() => Ok(Number::real(re.abs())),
            Number::Infinite(_) => Ok(Number::Infinite(false)),
            Number::Exact(re, im) => {
                let square = Number::exact(re * re + im * im);
                self.root(&square, 2)
            }
            Number::Approx(re, im) => {
                let p = self.precision;
                let square = re.mul(re, p).add(&im.mul(im, p), p);
                self.functions(1)?;
                self.check(Number::real(square.sqrt(p)?))
            }
        }
    }

    /// The `n`-th root: the real one of a real number where there is one, else the principal one.
    pub fn root(&mut self, a: &Number, n: u32) -> Outcome {
        if n == 0 {
            return Err(Stop::Undefined);
        }
        if n == 1 || a.is_zero() {
            return Ok(a.clone());
        }
        if let Number::Infinite(negative) = a {
            return if *negative { Err(Stop::Undefined) } else { Ok(Number::Infinite(false)) };
        }
        self.functions(1)?;
        if let Some(value) = a.as_exact() {
            if value.is_negative() {
                if n % 2 == 1 {
                    let root = self.root(&Self::neg(a), n)?;
                    return Ok(Self::neg(&root));
                }
                if self.real {
                    return Err(Stop::Undefined);
                }
                if n == 2 {
                    let root = self.root(&Self::neg(a), 2)?;
                    return self.mul(&root, &Number::Exact(BigRational::zero(), BigRational::one()));
                }
            } else if bits(value) < MAX_BITS {
                self.budget.arithmetic(bits(value))?;
                let (numer, denom) = (value.numer().nth_root(n), value.denom().nth_root(n));
                if bits(value) < 4096 || n < 8 {
                    let exact = |root: &BigInt, whole: &BigInt| num_traits::pow(root.clone(), n as usize) == *whole;
                    if exact(&numer, value.numer()) && exact(&denom, value.denom()) {
                        return Ok(Number::exact(BigRational::new(numer, denom)));
                    }
                }
            }
        }
        let (re, im) = self.balls(a)?;
        let p = self.precision;
        if im.is_zero() && re.sign()? == Ordering::Less {
            if n % 2 == 1 {
                let root = self.root(&Number::real(re.neg()), n)?;
                return Ok(Self::neg(&root));
            }
            if self.real {
                return Err(Stop::Undefined);
            }
        }
        if im.is_zero() && re.sign()? == Ordering::Greater && n == 2 {
            return self.check(Number::real(re.sqrt(p)?));
        }
        let ln = self.ln(&Number::Approx(re, im))?;
        let part = self.div(&ln, &Number::int(n))?;
        self.exp(&part)
    }

    /// `e^a`.
    pub fn exp(&mut self, a: &Number) -> Outcome {
        if let Number::Infinite(negative) = a {
            return Ok(if *negative { Number::int(0) } else { Number::Infinite(false) });
        }
        if a.is_zero() {
            return Ok(Number::int(1));
        }
        let (re, im) = self.balls(a)?;
        if re.magnitude() > 40 {
            return Err(Stop::TooLarge);
        }
        self.functions(2)?;
        let p = self.precision;
        let size = re.exp(p)?;
        if im.is_zero() {
            return self.check(Number::real(size));
        }
        let (sin, cos) = im.sin_cos(p)?;
        self.check(Number::Approx(size.mul(&cos, p), size.mul(&sin, p)))
    }

    /// The principal natural logarithm.
    pub fn ln(&mut self, a: &Number) -> Outcome {
        if let Number::Infinite(false) = a {
            return Ok(Number::Infinite(false));
        }
        if a.is_zero() {
            return Err(Stop::Undefined);
        }
        if a.as_exact().is_some_and(One::is_one) {
            return Ok(Number::int(0));
        }
        self.functions(2)?;
        let (re, im) = self.balls(a)?;
        let p = self.precision;
        if im.is_zero() {
            return match re.sign()? {
                Ordering::Greater => self.check(Number::real(re.ln(p)?)),
                Ordering::Less if !self.real => self.check(Number::Approx(re.neg().ln(p)?, Ball::pi(p))),
                _ => Err(Stop::Undefined),
            };
        }
        let square = re.mul(&re, p).add(&im.mul(&im, p), p);
        let size = square.ln(p)?.scaled(-1);
        let angle = self.angle(&re, &im)?;
        self.check(Number::Approx(size, angle))
    }

    /// The argument of a complex number that is not real, in (-π, π).
    fn angle(&mut self, re: &Ball, im: &Ball) -> Result<Ball, Stop> {
        self.functions(1)?;
        let p = self.precision;
        let upper = im.sign()? == Ordering::Greater;
        // Through the half angle's cotangent where it is safe, else through the reciprocal.
        if re.has_zero() || re.magnitude() < im.magnitude() {
            let quarter = Ball::pi(p).scaled(-1);
            let quarter = if upper { quarter } else { quarter.neg() };
            return Ok(quarter.sub(&re.div(im, p)?.atan(p)?, p));
        }
        let base = im.div(re, p)?.atan(p)?;
        Ok(match (re.sign()?, upper) {
            (Ordering::Greater, _) => base,
            (_, true) => base.add(&Ball::pi(p), p),
            (_, false) => base.sub(&Ball::pi(p), p),
        })
    }

    /// Sine and cosine.
    pub fn sin_cos(&mut self, a: &Number) -> Result<(Number, Number), Stop> {
        if a.is_zero() {
            return Ok((Number::int(0), Number::int(1)));
        }
        self.functions(3)?;
        let (re, im) = self.balls(a)?;
        if re.magnitude() > 200 {
            return Err(Stop::TooLarge);
        }
        let p = self.precision;
        let (sin, cos) = re.sin_cos(p)?;
        if im.is_zero() {
            return Ok((Number::real(sin), Number::real(cos)));
        }
        if im.magnitude() > 40 {
            return Err(Stop::TooLarge);
        }
        let (up, down) = (im.exp(p)?, im.neg().exp(p)?);
        let (cosh, sinh) = (up.add(&down, p).scaled(-1), up.sub(&down, p).scaled(-1));
        let sine = Number::Approx(sin.mul(&cosh, p), cos.mul(&sinh, p));
        let cosine = Number::Approx(cos.mul(&cosh, p), sin.mul(&sinh, p).neg());
        Ok((sine, cosine))
    }

    /// The arc tangent of a real number.
    pub fn atan(&mut self, a: &Number) -> Outcome {
        if a.is_zero() {
            return Ok(Number::int(0));
        }
        self.functions(2)?;
        let value = self.real_ball(a)?;
        self.check(Number::real(value.atan(self.precision)?))
    }

    /// The arc sine of a real number from -1 to 1.
    pub fn asin(&mut self, a: &Number) -> Outcome {
        let one = Number::int(1);
        if a.as_exact().is_some_and(|value| value.abs().is_one()) {
            let half = Number::real(Ball::pi(self.precision).scaled(-1));
            return Ok(if Self::sign(a)? == Ordering::Less { Self::neg(&half) } else { half });
        }
        let square = self.mul(a, a)?;
        let rest = self.add(&one, &Self::neg(&square))?;
        if Self::sign(&rest)? == Ordering::Less {
            return Err(Stop::Undefined);
        }
        let root = self.root(&rest, 2)?;
        let tangent = self.div(a, &root)?;
        self.atan(&tangent)
    }

    /// π.
    pub fn pi(&self) -> Number {
        Number::real(Ball::pi(self.precision))
    }

    /// e.
    pub fn e(&self) -> Number {
        Number::real(Ball::e(self.precision))
    }

    /// The power: exact where it is small, the real root for rational exponents with odd denominators, else
    /// principal.
    pub fn pow(&mut self, base: &Number, exponent: &Number) -> Outcome {
        if exponent.is_zero() {
            return Ok(Number::int(1));
        }
        if let Some(n) = exponent.as_integer() {
            return self.integer_power(base, n);
        }
        if base.is_zero() {
            return match Self::sign(exponent)? {
                Ordering::Greater => Ok(Number::int(0)),
                _ => Err(Stop::Undefined),
            };
        }
        if let (Some(power), true) = (exponent.as_exact(), base.is_real())
            && let Some(degree) = power.denom().to_u32()
            && degree <= 64
        {
            let negative = Self::sign(base)? == Ordering::Less;
            if !negative || degree % 2 == 1 {
                let root = self.root(base, degree)?;
                return self.integer_power(&root, power.numer());
            }
        }
        if self.real && Self::sign(base)? == Ordering::Less {
            return Err(Stop::Undefined);
        }
        let ln = self.ln(base)?;
        let product = self.mul(&ln, exponent)?;
        self.exp(&product)
    }

    fn integer_power(&mut self, base: &Number, n: &BigInt) -> Outcome {
        if let Number::Infinite(negative) = base {
            let odd = n.bit(0);
            return Ok(if n.is_negative() { Number::int(0) } else { Number::Infinite(*negative && odd) });
        }
        if base.is_zero() {
            return if n.is_negative() { Err(Stop::Undefined) } else { Ok(Number::int(0)) };
        }
        if let Some(value) = base.as_exact()
            && value.is_integer()
            && value.numer().magnitude().is_one()
        {
            let negative = value.is_negative() && n.bit(0);
            return Ok(Number::int(if negative { -1 } else { 1 }));
        }
        let Some(count) = n.magnitude().to_u32() else { return Err(Stop::TooLarge) };
        let power = match base {
            Number::Exact(re, im) => {
                let size = (bits(re) + bits(im)).saturating_mul(u64::from(count));
                if size <= MAX_BITS {
                    self.budget.arithmetic(size)?;
                    if im.is_zero() {
                        let raise = |part: &BigInt| num_traits::pow(part.clone(), count as usize);
                        Number::exact(BigRational::new_raw(raise(re.numer()), raise(re.denom())))
                    } else {
                        self.squarings(base, count)?
                    }
                } else {
                    let (re, im) = self.balls(base)?;
                    self.squarings(&Number::Approx(re, im), count)?
                }
            }
            _ => self.squarings(base, count)?,
        };
        if n.is_negative() { self.div(&Number::int(1), &power) } else { self.check(power) }
    }

    fn squarings(&mut self, base: &Number, mut count: u32) -> Outcome {
        let (mut power, mut square) = (Number::int(1), base.clone());
        loop {
            if count & 1 == 1 {
                power = self.mul(&power, &square)?;
            }
            count >>= 1;
            if count == 0 {
                return Ok(power);
            }
            square = self.mul(&square, &square.clone())?;
        }
    }

    /// The largest integer not above a real number.
    pub fn floor(&mut self, a: &Number) -> Outcome {
        match a {
            Number::Exact(re, im) if im.is_zero() => Ok(Number::exact(re.floor())),
            Number::Infinite(_) => Err(Stop::Undefined),
            _ => Ok(Number::int(self.real_ball(a)?.floor()?)),
        }
    }
}
