//! Sums, products, powers and what else stands between and behind factors.

use num_traits::{Signed, ToPrimitive};

use super::{
    super::{
        expr::{Bracket, Expr, Func},
        lexer::Tok,
        limits::MAX_ITEMS,
    },
    Parser, Result,
};

impl Parser {
    pub(super) fn sum(&mut self) -> Result<Expr> {
        self.enter()?;
        let mut terms = Vec::new();
        let mut expr = match self.peek() {
            Some(Tok::PlusMinus(minus_first)) => {
                let minus_first = *minus_first;
                self.at += 1;
                let right = self.product()?;
                Expr::PlusMinus(Box::new(Expr::int(0)), Box::new(right), minus_first)
            }
            _ => self.product()?,
        };
        loop {
            match self.peek() {
                Some(Tok::Plus) => {
                    self.at += 1;
                    terms.push(std::mem::replace(&mut expr, self.product()?));
                }
                Some(Tok::Minus) => {
                    self.at += 1;
                    let right = self.product()?;
                    terms.push(std::mem::replace(&mut expr, right.negative()));
                }
                Some(Tok::PlusMinus(minus_first)) => {
                    let minus_first = *minus_first;
                    self.at += 1;
                    self.chain()?;
                    let right = self.product()?;
                    terms.push(expr);
                    let left = added(std::mem::take(&mut terms));
                    expr = Expr::PlusMinus(Box::new(left), Box::new(right), minus_first);
                }
                _ => break,
            }
            if terms.len() > MAX_ITEMS {
                return Err("unsupported: too many terms");
            }
        }
        terms.push(expr);
        Ok(self.leave(added(terms)))
    }

    pub(super) fn product(&mut self) -> Result<Expr> {
        self.enter()?;
        let mut left = self.signed()?;
        let mut after_slash = false;
        let mut count = 0;
        loop {
            count += 1;
            if count > MAX_ITEMS {
                return Err("unsupported: too many factors");
            }
            match self.peek() {
                Some(Tok::Times) => {
                    self.at += 1;
                    after_slash = false;
                    let right = self.signed()?;
                    left = times(left, right);
                }
                Some(Tok::Cross) => {
                    self.at += 1;
                    self.chain()?;
                    let right = self.signed()?;
                    // Its order counts: it is only compared by its writing.
                    left = Expr::Opaque(format!("{left:?} × {right:?}"));
                }
                Some(Tok::Slash) if is_differential(&left) && self.differential_ahead() => {
                    // `dy/dx`
                    let start = self.at - if matches!(left, Expr::Mul(_)) { 2 } else { 1 };
                    self.at += 3;
                    left = self.derivative(&left, start)?;
                }
                Some(Tok::Slash) => {
                    self.at += 1;
                    self.chain()?;
                    let mut right = self.signed()?;
                    if self.tight {
                        while self.starts_factor() {
                            let factor = self.factor()?;
                            right = times(right, factor);
                        }
                    }
                    after_slash = true;
                    left = Expr::Div(Box::new(left), Box::new(right));
                }
                Some(Tok::Mod(congruence)) => {
                    let func = if *congruence { Func::Residue } else { Func::Mod };
                    self.at += 1;
                    self.chain()?;
                    let right = self.signed()?;
                    left = Expr::Call(func, vec![left, right]);
                }
                Some(_) if self.starts_factor() => {
                    self.tight_slash |= after_slash;
                    let right = self.factor()?;
                    left = times(left, right);
                }
                _ => break,
            }
        }
        Ok(self.leave(in_order(left)))
    }

    /// `/ dx`
    fn differential_ahead(&self) -> bool {
        matches!((self.peek_at(1), self.peek_at(2)), (Some(Tok::Var(d)), Some(Tok::Var(_))) if d == "d")
    }

    /// A derivative, which is only compared by its writing: its tokens from `start`, with what `d/dx` is applied to.
    pub(super) fn derivative(&mut self, numerator: &Expr, start: usize) -> Result<Expr> {
        let applied = matches!(numerator, Expr::Var(_) | Expr::Pow(..));
        if applied && self.starts_factor() {
            self.factor()?;
        }
        Ok(Expr::Opaque(format!("derivative {}", self.written(start, self.at))))
    }

    /// A factor with its signs.
    pub(super) fn signed(&mut self) -> Result<Expr> {
        let mut negative = false;
        loop {
            match self.peek() {
                Some(Tok::Minus) => negative = !negative,
                Some(Tok::Plus) => {}
                _ => break,
            }
            self.at += 1;
        }
        let factor = self.factor()?;
        Ok(if negative { factor.negative() } else { factor })
    }

    /// Whether what follows multiplies without a sign.
    pub(super) fn starts_factor(&self) -> bool {
        match self.peek() {
            // Two numbers side by side are no product.
            Some(Tok::Num(_)) => !matches!(self.tokens[self.at - 1].tok, Tok::Num(_)),
            Some(
                Tok::Var(_)
                | Tok::Func(_)
                | Tok::Open(_)
                | Tok::Frac
                | Tok::Binom
                | Tok::Sqrt
                | Tok::Begin(_)
                | Tok::Sum
                | Tok::Product
                | Tok::Operator(_)
                | Tok::Accent(_)
                | Tok::Infinity
                | Tok::Based(..),
            ) => true,
            Some(Tok::Bar) => self.bars == 0 && self.builder == 0,
            _ => false,
        }
    }

    /// An atom with its powers, factorials, percent and degree signs.
    pub(super) fn factor(&mut self) -> Result<Expr> {
        self.enter()?;
        let mut expr = self.atom()?;
        loop {
            match self.peek() {
                Some(Tok::Caret) => {
                    self.at += 1;
                    self.chain()?;
                    expr = self.powered(expr)?;
                }
                Some(Tok::Bang) => {
                    self.at += 1;
                    self.chain()?;
                    if self.peek() == Some(&Tok::Bang) {
                        return Err("unsupported: a double factorial");
                    }
                    expr = Expr::call(Func::Factorial, expr);
                }
                Some(Tok::Percent) => {
                    self.at += 1;
                    self.chain()?;
                    expr = Expr::Percent(Box::new(expr));
                }
                Some(Tok::Degree) => {
                    self.at += 1;
                    self.chain()?;
                    expr = self.degrees(expr);
                }
                Some(Tok::Under) => {
                    self.at += 1;
                    self.chain()?;
                    expr = self.based(expr)?;
                }
                _ => break,
            }
        }
        Ok(self.leave(expr))
    }

    pub(super) fn powered(&mut self, base: Expr) -> Result<Expr> {
        match self.peek() {
            Some(Tok::Degree) => {
                self.at += 1;
                return Ok(self.degrees(base));
            }
            Some(Tok::Prime) => {
                self.at += 1;
                return match base {
                    Expr::Var(name) => Ok(Expr::Var(format!("{name}'"))),
                    _ => Err("unsupported: a prime on something that has no name"),
                };
            }
            Some(Tok::Open(Bracket::Group)) => {
                // `^{\circ}`, `^{th}`, `^{\text{st}}`, `^{\prime}`
                let inside = self.peek_at(1).cloned();
                let closed = self.peek_at(2) == Some(&Tok::Close(Bracket::Group));
                match inside {
                    Some(Tok::Degree) if closed => {
                        self.at += 3;
                        return Ok(self.degrees(base));
                    }
                    Some(Tok::Word(word)) if closed && matches!(word.as_str(), "st" | "nd" | "rd" | "th") => {
                        self.at += 3;
                        return Ok(base);
                    }
                    // `f^{(2)}` is a derivative, `x^{(2)}` a name.
                    Some(Tok::Open(Bracket::Round))
                        if matches!(base, Expr::Var(_) | Expr::Apply(..))
                            && matches!(self.peek_at(2), Some(Tok::Num(_) | Tok::Var(_)))
                            && self.peek_at(3) == Some(&Tok::Close(Bracket::Round))
                            && self.peek_at(4) == Some(&Tok::Close(Bracket::Group)) =>
                    {
                        return Err("unsupported: a superscript in brackets");
                    }
                    Some(Tok::Prime) if closed => {
                        self.at += 3;
                        return match base {
                            Expr::Var(name) => Ok(Expr::Var(format!("{name}'"))),
                            _ => Err("unsupported: a prime on something that has no name"),
                        };
                    }
                    Some(Tok::Var(letter)) if letter.len() == 1 => {
                        let second = self.peek_at(2).cloned();
                        let ordinal = matches!((letter.as_str(), &second), ("s", Some(Tok::Var(b))) if b == "t")
                            || matches!((letter.as_str(), &second), ("n" | "r", Some(Tok::Var(b))) if b == "d")
                            || matches!((letter.as_str(), &second), ("t", Some(Tok::Var(b))) if b == "h");
                        if ordinal
                            && matches!(base, Expr::Num(..))
                            && self.peek_at(3) == Some(&Tok::Close(Bracket::Group))
                        {
                            self.at += 4;
                            return Ok(base);
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        let mut exponent = self.script()?;
        if self.take(&Tok::Caret) {
            // `2^3^2` is 2^(3^2).
            self.chain()?;
            exponent = self.powered(exponent)?;
        }
        if let Expr::NumberSet(name) = base {
            let decoration = match exponent {
                Expr::Num(value, 0) => value.to_string(),
                _ => return Err("unsupported: a set of numbers to a strange power"),
            };
            return Ok(Expr::NumberSet(format!("{name}{decoration}")));
        }
        Ok(Expr::Pow(Box::new(base), Box::new(exponent)))
    }

    /// Degrees of an angle, or of a temperature when its scale follows.
    fn degrees(&mut self, value: Expr) -> Expr {
        match self.peek() {
            Some(Tok::Var(scale)) if matches!(scale.as_str(), "C" | "F" | "K") => {
                let unit = format!("degree {scale}");
                self.at += 1;
                Expr::Quantity(Box::new(value), unit)
            }
            _ => Expr::Degree(Box::new(value)),
        }
    }

    /// What stands after `^` or `_`: a group, or one thing.
    pub(super) fn script(&mut self) -> Result<Expr> {
        self.enter()?;
        let expr = match self.peek() {
            Some(Tok::Open(Bracket::Group)) => self.atom()?,
            Some(Tok::Minus | Tok::Plus) => {
                let negative = self.next() == Some(Tok::Minus);
                let inner = self.script()?;
                if negative { inner.negative() } else { inner }
            }
            Some(_) => self.atom()?,
            None => return Err("a script without content"),
        };
        Ok(self.leave(expr))
    }

    /// `1011_2`: digits and a base; a subscript on anything else has no meaning here.
    pub(super) fn based(&mut self, expr: Expr) -> Result<Expr> {
        let base = self.script()?;
        let base = match base {
            Expr::Num(value, 0) => value.to_integer().to_u32(),
            Expr::Text(word) if word == "ten" => Some(10),
            _ => None,
        };
        let base = base.filter(|base| (2..=36).contains(base)).ok_or("unsupported: a strange subscript")?;
        let digits = match expr {
            Expr::Num(value, 0) if value.is_integer() => value.to_integer().to_string(),
            _ => return Err("unsupported: a subscript on something that is no number"),
        };
        let valid = digits.chars().all(|digit| digit.is_digit(base));
        if valid { Ok(Expr::Base(digits, base)) } else { Err("unsupported: digits that the base does not have") }
    }
}

/// Whether an expression is what a derivative has above its bar: `d`, `dy`, `d^2y`, `∂f`.
pub(super) fn is_differential(expr: &Expr) -> bool {
    let sign = |expr: &Expr| match expr {
        Expr::Var(name) => name == "d" || name == "\\partial" || name.starts_with("partial "),
        Expr::Pow(base, _) => matches!(&**base, Expr::Var(name) if name == "d" || name == "\\partial"),
        _ => false,
    };
    match expr {
        Expr::Mul(factors) => factors.first().is_some_and(sign),
        other => sign(other),
    }
}

/// Matrices do not commute: a product with a transposed one keeps its order.
fn in_order(expr: Expr) -> Expr {
    let transposed = |factor: &Expr| match factor {
        Expr::Pow(_, power) => {
            matches!(&**power, Expr::Var(name) if matches!(name.as_str(), "T" | "\\top" | "\\intercal"))
        }
        _ => false,
    };
    let capital = |factor: &Expr| matches!(factor, Expr::Var(name) if name.len() == 1 && name.chars().all(|c| c.is_ascii_uppercase()));
    let inverse = |factor: &Expr| match factor {
        Expr::Pow(base, power) => capital(base) && matches!(&**power, Expr::Num(value, 0) if value.is_negative()),
        _ => false,
    };
    match expr {
        Expr::Mul(factors)
            if factors.iter().any(inverse) && factors.iter().all(|factor| inverse(factor) || capital(factor)) =>
        {
            Expr::Opaque(format!("{factors:?}"))
        }
        Expr::Mul(factors) if factors.iter().any(transposed) => Expr::Apply("matrix product".into(), factors),
        other => other,
    }
}

fn added(mut terms: Vec<Expr>) -> Expr {
    match (terms.len(), terms.pop()) {
        (1, Some(term)) => term,
        (_, Some(last)) => {
            terms.push(last);
            Expr::Add(terms)
        }
        _ => Expr::int(0),
    }
}

/// The product; a set of one element beside a factor was a bracket.
pub(super) fn times(left: Expr, right: Expr) -> Expr {
    let plain = |expr: Expr| match expr {
        Expr::Seq(Bracket::Curly, mut items, Bracket::Curly) if items.len() == 1 => items.remove(0),
        other => other,
    };
    match plain(left) {
        Expr::Mul(mut factors) => {
            factors.push(plain(right));
            Expr::Mul(factors)
        }
        // `C(10, 3)`
        Expr::Var(name) if name == "C" && is_pair(&right) => match right {
            Expr::Seq(_, pair, _) => Expr::Call(Func::Binom, pair),
            right => Expr::Mul(vec![Expr::Var(name), right]),
        },
        left => Expr::Mul(vec![left, plain(right)]),
    }
}

/// Two values between round brackets.
fn is_pair(expr: &Expr) -> bool {
    matches!(expr, Expr::Seq(Bracket::Round, items, Bracket::Round) if items.len() == 2 && items.iter().all(Expr::is_scalar))
}
