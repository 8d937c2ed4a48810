//! Real numbers known up to a proven error: a ball `mid·2^exp ± rad·2^exp`. Two balls that do not meet are certainly
//! different numbers, which makes every numeric "different" of this crate a proof.

use std::{cmp::Ordering, sync::OnceLock};

use num_bigint::{BigInt, BigUint, Sign};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::limits::MAX_PRECISION;

/// Bits that intermediate results carry beyond the asked precision.
const GUARD: u32 = 40;
/// Error of a series, in units of the last guarded bit; generous against the few hundred roundings inside.
const SERIES_ERROR: u64 = 1 << 16;

/// A real number with its error.
#[derive(Debug, Clone)]
pub struct Ball {
    mid: BigInt,
    rad: u64,
    exp: i64,
}

/// The ball is too wide to say, as the sign of `0 ± 1` is: more precision may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclear;

fn shift(value: &BigInt, by: i64) -> BigInt {
    if by >= 0 { value << by as u64 } else { value >> by.unsigned_abs() }
}

impl Ball {
    /// Cuts `mid` to `precision` bits and `rad` to a word.
    fn new(mid: BigInt, rad: BigUint, exp: i64, precision: u32) -> Self {
        let cut = (mid.bits().saturating_sub(u64::from(precision))).max(rad.bits().saturating_sub(40));
        if cut == 0 {
            return Self { mid, rad: rad.to_u64().unwrap_or(u64::MAX), exp };
        }
        let rad: BigUint = (rad >> cut) + 2u32;
        Self { mid: mid >> cut, rad: rad.to_u64().unwrap_or(u64::MAX), exp: exp + cut as i64 }
    }

    /// Exactly an integer.
    pub fn integer(value: BigInt) -> Self {
        Self { mid: value, rad: 0, exp: 0 }
    }

    /// Exactly zero.
    pub fn zero() -> Self {
        Self::integer(BigInt::zero())
    }

    /// A rational number, rounded.
    pub fn ratio(value: &BigRational, precision: u32) -> Self {
        if value.denom().is_one() {
            return Self::new(value.numer().clone(), BigUint::zero(), 0, precision);
        }
        let up = i64::from(precision) + value.denom().bits() as i64 - value.numer().bits() as i64;
        let mid = shift(value.numer(), up.max(0)) / value.denom();
        Self::new(mid, BigUint::one(), -up.max(0), precision)
    }

    /// Whether it is exactly zero.
    pub fn is_zero(&self) -> bool {
        self.mid.is_zero() && self.rad == 0
    }

    /// Whether zero lies in the ball.
    pub fn has_zero(&self) -> bool {
        self.mid.magnitude() <= &BigUint::from(self.rad)
    }

    /// The sign, when it is certain.
    pub fn sign(&self) -> Result<Ordering, Unclear> {
        if self.is_zero() {
            Ok(Ordering::Equal)
        } else if self.has_zero() {
            Err(Unclear)
        } else if self.mid.is_positive() {
            Ok(Ordering::Greater)
        } else {
            Ok(Ordering::Less)
        }
    }

    /// The position of the leading bit of the largest absolute value in the ball: it is below `2^magnitude`.
    pub fn magnitude(&self) -> i64 {
        (self.mid.magnitude() + self.rad).bits() as i64 + self.exp
    }

    /// The error is below `2^error_magnitude`.
    pub fn error_magnitude(&self) -> i64 {
        if self.rad == 0 { i64::MIN / 2 } else { 64 - i64::from(self.rad.leading_zeros()) + self.exp }
    }

    /// The nearest `f64`.
    pub fn to_f64(&self) -> f64 {
        let cut = self.mid.bits().saturating_sub(64);
        let top = (&self.mid >> cut).to_f64().unwrap_or(f64::NAN);
        let exp = self.exp + cut as i64;
        top * 2f64.powi(exp.clamp(-2000, 2000) as i32)
    }

    /// The sum.
    pub fn add(&self, other: &Self, precision: u32) -> Self {
        let (low, high) = if self.exp <= other.exp { (self, other) } else { (other, self) };
        // Far smaller numbers are rounded to the last bit that the sum keeps.
        let top = self.magnitude().max(other.magnitude());
        let floor = (top - i64::from(precision) - 8).min(high.exp);
        let exp = low.exp.max(floor);
        let lowered = exp - low.exp;
        let raised = (high.exp - exp) as u64;
        let mid = (&low.mid >> lowered as u64) + (&high.mid << raised);
        let low_rad = BigUint::from(low.rad >> lowered.min(63)) + u32::from(lowered > 0) * 2;
        let rad = low_rad + (BigUint::from(high.rad) << raised);
        Self::new(mid, rad, exp, precision)
    }

    /// The negative.
    #[must_use]
    pub fn neg(&self) -> Self {
        Self { mid: -&self.mid, ..*self }
    }

    /// The absolute value.
    #[must_use]
    pub fn abs(&self) -> Self {
        Self { mid: self.mid.abs(), ..*self }
    }

    /// The difference.
    pub fn sub(&self, other: &Self, precision: u32) -> Self {
        self.add(&other.neg(), precision)
    }

    /// The product.
    pub fn mul(&self, other: &Self, precision: u32) -> Self {
        let rad = self.mid.magnitude() * other.rad
            + other.mid.magnitude() * self.rad
            + BigUint::from(self.rad) * BigUint::from(other.rad);
        Self::new(&self.mid * &other.mid, rad, self.exp + other.exp, precision)
    }

    /// The product with a power of two, exactly.
    #[must_use]
    pub fn scaled(&self, exponent: i64) -> Self {
        Self { exp: self.exp + exponent, ..self.clone() }
    }

    /// The quotient; unclear when the divisor may be zero.
    pub fn div(&self, other: &Self, precision: u32) -> Result<Self, Unclear> {
        if other.has_zero() {
            return Err(Unclear);
        }
        let up = (i64::from(precision) + 8 + other.mid.bits() as i64 - self.mid.bits() as i64).max(0) as u64;
        let mid = (&self.mid << up) / &other.mid;
        let smallest = other.mid.magnitude() - other.rad;
        let rad = ((BigUint::from(self.rad) << up) + (mid.magnitude() + 1u32) * other.rad) / smallest + 2u32;
        Ok(Self::new(mid, rad, self.exp - other.exp - up as i64, precision))
    }

    /// The square root of a number that is not negative.
    pub fn sqrt(&self, precision: u32) -> Result<Self, Unclear> {
        match self.sign()? {
            Ordering::Less => return Err(Unclear),
            Ordering::Equal => return Ok(Self::zero()),
            Ordering::Greater => {}
        }
        let mut up = (2 * i64::from(precision) + 8 - self.mid.bits() as i64).max(0);
        up += (self.exp - up) & 1;
        let root = (self.mid.magnitude() << up as u64).sqrt();
        let smallest = ((self.mid.magnitude() - self.rad) << up as u64).sqrt();
        let rad = (BigUint::from(self.rad) << up as u64) / (smallest + 1u32) + 2u32;
        Ok(Self::new(BigInt::from_biguint(Sign::Plus, root), rad, (self.exp - up) / 2, precision))
    }

    /// As a fixed-point number with `bits` bits after the point, and its error in the last place.
    fn fixed(&self, bits: i64) -> (BigInt, BigUint) {
        let by = self.exp + bits;
        let rad = if by >= 0 {
            BigUint::from(self.rad) << by as u64
        } else {
            BigUint::from(self.rad >> by.unsigned_abs().min(63)) + 1u32
        };
        (shift(&self.mid, by), rad + 1u32)
    }

    /// `e^x`; unclear when the error or the result is too large.
    pub fn exp(&self, precision: u32) -> Result<Self, Unclear> {
        let size = self.magnitude().max(0);
        if size > 40 || self.error_magnitude() > -2 {
            return Err(Unclear);
        }
        let bits = i64::from(precision + GUARD) + size;
        let (value, error) = self.fixed(bits);
        let ln2 = constant(&LN2, bits, ln2);
        let times: BigInt = (&value * 2 + &ln2) >> 1u32;
        let times = num_integer::Integer::div_floor(&times, &ln2);
        let mut rest = value - &times * &ln2;
        const HALVINGS: u32 = 8;
        rest >>= HALVINGS;
        let one = BigInt::one() << bits as u64;
        let (mut sum, mut term, mut n) = (one.clone(), one, 1u32);
        while !term.is_zero() && n < 10_000 {
            term = (&term * &rest) >> bits as u64;
            term /= n;
            sum += &term;
            n += 1;
            if term.magnitude().is_one() {
                break;
            }
        }
        for _ in 0..HALVINGS {
            sum = (&sum * &sum) >> bits as u64;
        }
        let times = times.to_i64().ok_or(Unclear)?;
        // e^(x+d) - e^x is below 2·d·e^x, and e^rest is below 4.
        let rad = error * 8u32 + (BigUint::from(times.unsigned_abs()) + SERIES_ERROR) * 4u32;
        Ok(Self::new(sum, rad, times - bits, precision))
    }

    /// The natural logarithm of a positive number.
    pub fn ln(&self, precision: u32) -> Result<Self, Unclear> {
        if self.sign()? != Ordering::Greater {
            return Err(Unclear);
        }
        let bits = i64::from(precision + GUARD);
        // x = m·2^k with m in [1, 2).
        let length = self.mid.bits() as i64;
        let mantissa = shift(&self.mid, bits - length + 1);
        let power = self.exp + length - 1;
        let one = BigInt::one() << bits as u64;
        let ratio = ((&mantissa - &one) << bits as u64) / (&mantissa + &one);
        let value = atanh_series(&ratio, bits) * 2 + constant(&LN2, bits, ln2) * power;
        // ln(x+d) - ln(x) is at most d / (x-d).
        let smallest = self.mid.magnitude() - self.rad;
        let relative = (BigUint::from(self.rad) << bits as u64) / smallest + 1u32;
        let rad = relative + SERIES_ERROR + power.unsigned_abs();
        Ok(Self::new(value, rad, -bits, precision))
    }

    /// The sine and the cosine.
    pub fn sin_cos(&self, precision: u32) -> Result<(Self, Self), Unclear> {
        let size = self.magnitude().max(0);
        if size > 200 || self.error_magnitude() > 0 {
            return Err(Unclear);
        }
        let bits = i64::from(precision + GUARD) + size;
        let (value, error) = self.fixed(bits);
        let half_pi: BigInt = constant(&PI, bits, pi) >> 1u32;
        let turns = num_integer::Integer::div_floor(&(&value + (&half_pi >> 1u32)), &half_pi);
        let rest = value - &turns * &half_pi;
        let one = BigInt::one() << bits as u64;
        let square = (&rest * &rest) >> bits as u64;
        let series = |first: BigInt, start: u32| {
            let (mut sum, mut term, mut n) = (first.clone(), first, start);
            while !term.is_zero() && n < 10_000 {
                term = -((&term * &square) >> bits as u64) / (n * (n + 1));
                sum += &term;
                n += 2;
            }
            sum
        };
        let (sin, cos) = (series(rest, 2), series(one, 1));
        let rad = error + turns.magnitude() + SERIES_ERROR;
        let ball = |mid: BigInt| Self::new(mid, rad.clone(), -bits, precision);
        let quarter = num_integer::Integer::mod_floor(&turns, &BigInt::from(4)).to_u32().unwrap_or(0);
        Ok(match quarter {
            0 => (ball(sin), ball(cos)),
            1 => (ball(cos), ball(-sin)),
            2 => (ball(-sin), ball(-cos)),
            _ => (ball(-cos), ball(sin)),
        })
    }

    /// The arc tangent, in (-π/2, π/2).
    pub fn atan(&self, precision: u32) -> Result<Self, Unclear> {
        let work = precision + GUARD;
        let one = Self::integer(BigInt::one());
        if self.magnitude() > 1 {
            if self.has_zero() {
                return Err(Unclear);
            }
            let inverse = one.div(self, work)?.atan(precision)?;
            let half_pi = Self::pi(work).scaled(-1);
            let half_pi = if self.mid.is_negative() { half_pi.neg() } else { half_pi };
            return Ok(half_pi.sub(&inverse, precision));
        }
        // atan x = 2 atan (x / (1 + √(1 + x²))), three times.
        let mut value = self.clone();
        for _ in 0..3 {
            let root = one.add(&value.mul(&value, work), work).sqrt(work)?;
            value = value.div(&one.add(&root, work), work)?;
        }
        let bits = i64::from(work);
        let (x, error) = value.fixed(bits);
        let square = -((&x * &x) >> bits as u64);
        let sum = odd_series(&x, &square, bits);
        let rad = error * 2u32 + SERIES_ERROR;
        Ok(Self::new(sum, rad, 3 - bits, precision))
    }

    /// π.
    pub fn pi(precision: u32) -> Self {
        let bits = i64::from(precision + 8);
        Self::new(constant(&PI, bits, pi), BigUint::from(2u32), -bits, precision)
    }

    /// e.
    pub fn e(precision: u32) -> Self {
        Self::integer(BigInt::one()).exp(precision).unwrap_or_else(|_| Self::zero())
    }

    /// The largest integer not above the number, when it is certain.
    pub fn floor(&self) -> Result<BigInt, Unclear> {
        if self.magnitude() > i64::from(MAX_PRECISION) {
            return Err(Unclear);
        }
        let low = shift(&(&self.mid - self.rad), self.exp);
        let high = shift(&(&self.mid + self.rad), self.exp);
        if low == high { Ok(low) } else { Err(Unclear) }
    }
}

/// `x + x·s/3 + x·s²/5 + …` in fixed point, for `|s| < 1`.
fn odd_series(x: &BigInt, s: &BigInt, bits: i64) -> BigInt {
    let (mut sum, mut power, mut n) = (x.clone(), x.clone(), 3u32);
    while !power.is_zero() && n < 20_000 {
        power = (&power * s) >> bits as u64;
        if power == -BigInt::one() {
            break;
        }
        sum += &power / n;
        n += 2;
    }
    sum
}

fn atanh_series(x: &BigInt, bits: i64) -> BigInt {
    odd_series(x, &((x * x) >> bits as u64), bits)
}

/// Bits to which the constants are kept.
const CONSTANT_BITS: i64 = MAX_PRECISION as i64 * 2 + 512;
static PI: OnceLock<BigInt> = OnceLock::new();
static LN2: OnceLock<BigInt> = OnceLock::new();

fn constant(cell: &OnceLock<BigInt>, bits: i64, compute: fn(i64) -> BigInt) -> BigInt {
    if bits > CONSTANT_BITS {
        return compute(bits);
    }
    cell.get_or_init(|| compute(CONSTANT_BITS)) >> (CONSTANT_BITS - bits) as u64
}

/// `1/n ∓ 1/(3n³) + …` in fixed point with 32 bits to spare.
fn inverse_series(n: u32, bits: i64, alternating: bool) -> BigInt {
    let one = BigInt::one() << (bits + 32) as u64;
    let square = BigInt::from(n) * n;
    let (mut power, mut sum, mut k, mut negative) = (one / n, BigInt::zero(), 1u32, false);
    while !power.is_zero() {
        let term = &power / k;
        if negative {
            sum -= term;
        } else {
            sum += term;
        }
        power /= &square;
        k += 2;
        negative = alternating && !negative;
    }
    sum
}

/// Machin: π = 16 atan(1/5) - 4 atan(1/239).
fn pi(bits: i64) -> BigInt {
    (inverse_series(5, bits, true) * 16 - inverse_series(239, bits, true) * 4) >> 32u32
}

/// ln 2 = 18 atanh(1/26) - 2 atanh(1/4801) + 8 atanh(1/8749).
fn ln2(bits: i64) -> BigInt {
    let atanh = |n| inverse_series(n, bits, false);
    (atanh(26) * 18 - atanh(4801) * 2 + atanh(8749) * 8) >> 32u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ball(numerator: i64, denominator: i64) -> Ball {
        Ball::ratio(&BigRational::new(numerator.into(), denominator.into()), 200)
    }

    fn close(value: &Ball, expected: f64) {
        assert!((value.to_f64() - expected).abs() <= expected.abs() * 1e-14 + 1e-300, "{} {expected}", value.to_f64());
        assert!(value.error_magnitude() < value.magnitude() - 150, "{value:?}");
    }

    #[test]
    fn functions_agree_with_the_processor() {
        for (n, d) in [(1, 4), (-7, 2), (25, 8), (1, 1024), (12345, 16), (-1, 1)] {
            let (x, f) = (ball(n, d), n as f64 / d as f64);
            let (sin, cos) = x.sin_cos(200).unwrap();
            close(&sin, f.sin());
            close(&cos, f.cos());
            close(&x.atan(200).unwrap(), f.atan());
            if f.abs() < 100.0 {
                close(&x.exp(200).unwrap(), f.exp());
            }
            if n > 0 {
                close(&x.ln(200).unwrap(), f.ln());
                close(&x.sqrt(200).unwrap(), f.sqrt());
            }
            close(&ball(1, 1).div(&x, 200).unwrap(), 1.0 / f);
        }
        close(&Ball::pi(200), std::f64::consts::PI);
        close(&Ball::e(200), std::f64::consts::E);
    }

    #[test]
    fn identities_hold_to_the_last_bits() {
        for precision in [64, 200, 700, 2000] {
            let x = Ball::ratio(&BigRational::new(355.into(), 113.into()), precision);
            let back = x.ln(precision).unwrap().exp(precision).unwrap().sub(&x, precision);
            assert!(back.has_zero() && back.magnitude() < 20 - i64::from(precision), "{back:?}");
            let (sin, cos) = x.sin_cos(precision).unwrap();
            let one = sin.mul(&sin, precision).add(&cos.mul(&cos, precision), precision);
            let rest = one.sub(&Ball::integer(1.into()), precision);
            assert!(rest.has_zero() && rest.magnitude() < 20 - i64::from(precision), "{rest:?}");
            // π by Machin against 4 atan 1.
            let four_atan = Ball::integer(1.into()).atan(precision).unwrap().scaled(2);
            let rest = four_atan.sub(&Ball::pi(precision), precision);
            assert!(rest.has_zero() && rest.magnitude() < 20 - i64::from(precision), "{rest:?}");
        }
    }

    #[test]
    fn known_digits() {
        // e^π - π = 19.99909997918947576726644298466904449606893684322510617247…
        let p = 180;
        let value = Ball::pi(p).exp(p).unwrap().sub(&Ball::pi(p), p);
        let digits = "1999909997918947576726644298466904449606893684322510";
        let expected = BigRational::new(digits.parse().unwrap(), BigInt::from(10).pow(50));
        let rest = value.sub(&Ball::ratio(&expected, p), p);
        assert!(rest.magnitude() < -160 && value.sub(&Ball::integer(20.into()), p).sign() == Ok(Ordering::Less));
    }

    #[test]
    fn unclear_is_said() {
        let wide = Ball::new(BigInt::one(), BigUint::from(3u32), 0, 64);
        assert!(wide.sign().is_err() && ball(1, 1).div(&wide, 64).is_err() && wide.ln(64).is_err());
        assert!(Ball::zero().sqrt(64).unwrap().is_zero());
        assert_eq!(ball(7, 2).floor(), Ok(BigInt::from(3)));
        assert_eq!(ball(-7, 2).floor(), Ok(BigInt::from(-4)));
    }
}
