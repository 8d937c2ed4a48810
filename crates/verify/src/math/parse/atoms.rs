//! Numbers, variables and roots.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::{
    super::{
        expr::{Bracket, Const, Expr, Fold, Func},
        lexer::{Tok, Token},
    },
    Parser, Result, elements,
    products::is_differential,
};
use crate::rational::decimal;

impl Parser {
    pub(super) fn atom(&mut self) -> Result<Expr> {
        self.enter()?;
        let expr = match self.next().ok_or("an operator without its operand")? {
            Tok::Num(digits) => self.number(&digits)?,
            Tok::Recurring(digits, period) => recurring(&digits, &period).ok_or("a strange number")?,
            Tok::Var(name) => self.variable(name)?,
            Tok::Func(func) => self.function(func)?,
            Tok::Open(bracket) => self.bracketed(bracket)?,
            Tok::Bar => {
                self.bars += 1;
                let inner = self.sum();
                self.bars -= 1;
                let inner = inner?;
                if !self.take(&Tok::Bar) {
                    return Err("an absolute value that is never closed");
                }
                Expr::call(Func::Abs, inner)
            }
            Tok::DoubleBar => {
                let inner = self.sum()?;
                if !self.take(&Tok::DoubleBar) {
                    return Err("a norm that is never closed");
                }
                Expr::Apply("norm".into(), vec![inner])
            }
            Tok::Frac => {
                let start = self.at - 1;
                let numerator = self.argument()?;
                let denominator = self.argument()?;
                if is_differential(&numerator) && is_differential(&denominator) && numerator != denominator {
                    let derivative = self.derivative(&numerator, start)?;
                    return Ok(self.leave(derivative));
                }
                Expr::Div(Box::new(numerator), Box::new(denominator))
            }
            Tok::Binom => {
                let (n, k) = (self.argument()?, self.argument()?);
                Expr::Call(Func::Binom, vec![n, k])
            }
            Tok::Sqrt => self.root()?,
            Tok::Begin(environment) => self.environment(&environment)?,
            Tok::Sum => self.fold(Fold::Sum)?,
            Tok::Product => self.fold(Fold::Product)?,
            Tok::Operator(name) => self.opaque(name)?,
            Tok::Accent(name) => self.accent(&name)?,
            Tok::Infinity => Expr::Const(Const::Infinity),
            Tok::EmptySet => Expr::EmptySet,
            Tok::NumberSet(letter) => {
                let mut name = letter.to_string();
                if matches!(self.peek(), Some(Tok::Caret | Tok::Under))
                    && matches!(self.peek_at(1), Some(Tok::Plus | Tok::Minus))
                {
                    self.at += 1;
                    name.push(if self.next() == Some(Tok::Plus) { '+' } else { '-' });
                } else if self.peek() == Some(&Tok::Caret)
                    && self.peek_at(1) == Some(&Tok::Open(Bracket::Group))
                    && matches!(self.peek_at(2), Some(Tok::Plus | Tok::Minus))
                    && self.peek_at(3) == Some(&Tok::Close(Bracket::Group))
                {
                    name.push(if self.peek_at(2) == Some(&Tok::Plus) { '+' } else { '-' });
                    self.at += 4;
                }
                Expr::NumberSet(name)
            }
            Tok::Currency(unit) => {
                let negative = self.take(&Tok::Minus);
                let value = self.factor()?;
                let value = if negative { value.negative() } else { value };
                Expr::Quantity(Box::new(value), unit.to_owned())
            }
            Tok::Based(digits, base) => Expr::Base(digits, base),
            Tok::Word(word) => Expr::Var(word),
            _ => return Err("an operator without its operand"),
        };
        Ok(self.leave(expr))
    }

    /// A number, or a mixed number with the fraction after it.
    pub(super) fn number(&mut self, digits: &str) -> Result<Expr> {
        let value = decimal(digits).ok_or("a strange number")?;
        let places = digits.split(['e', 'E']).next().and_then(|mantissa| mantissa.split_once('.'));
        let places = places.map_or(0, |(_, fraction)| fraction.len() as u32);
        let written_as_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
        if written_as_integer && let Some((fraction, width)) = self.fraction_ahead() {
            let Expr::Div(numerator, denominator) = &fraction else { return Ok(fraction) };
            if let (Expr::Num(n, 0), Expr::Num(d, 0)) = (numerator.as_ref(), denominator.as_ref()) {
                if n >= d {
                    return Err("unsupported: a number before a fraction above one");
                }
                self.at += width;
                return Ok(Expr::Add(vec![Expr::Num(value, 0), fraction]));
            }
        }
        Ok(Expr::Num(value, places))
    }

    /// A fraction of two integers that stands here, and its width in tokens: `\frac{1}{2}`, `\frac12`, ` 1/2`.
    pub(super) fn fraction_ahead(&mut self) -> Option<(Expr, usize)> {
        let integer = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        match self.peek()? {
            Tok::Frac => {
                let (start, tokens) = (self.at, self.tokens.len());
                let saved = self.tokens[start..(start + 8).min(tokens)].to_vec();
                self.at += 1;
                let parts = self.argument().and_then(|n| Ok((n, self.argument()?)));
                // Reading the arguments may have split a number: what it split is put back.
                let width = self.at - start;
                let split = self.tokens.len() != tokens;
                self.at = start;
                match parts {
                    Ok((n @ Expr::Num(_, 0), d @ Expr::Num(_, 0))) => {
                        Some((Expr::Div(Box::new(n), Box::new(d)), width))
                    }
                    _ => {
                        if split {
                            let grown = self.tokens.len() - tokens;
                            self.tokens.splice(start..start + saved.len() + grown, saved);
                        }
                        None
                    }
                }
            }
            Tok::Num(numerator) if self.space_before() && integer(numerator) => {
                let Some(Tok::Slash) = self.peek_at(1) else { return None };
                let Some(Tok::Num(denominator)) = self.peek_at(2) else { return None };
                if !integer(denominator) {
                    return None;
                }
                let part = |digits: &str| decimal(digits).map(|value| Box::new(Expr::Num(value, 0)));
                Some((Expr::Div(part(numerator)?, part(denominator)?), 3))
            }
            _ => None,
        }
    }

    /// An argument of `\frac` or `\sqrt`: a group, or one digit or symbol.
    pub(super) fn argument(&mut self) -> Result<Expr> {
        match self.peek().cloned() {
            Some(Tok::Num(digits)) if digits.len() > 1 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                // `\frac12`: TeX takes one digit.
                let (first, rest) = digits.split_at(1);
                self.tokens[self.at] = Token { tok: Tok::Num(first.to_owned()), space: false };
                self.tokens.insert(self.at + 1, Token { tok: Tok::Num(rest.to_owned()), space: false });
                self.at += 1;
                Ok(Expr::Num(decimal(first).ok_or("a strange number")?, 0))
            }
            Some(Tok::Num(digits)) => {
                self.at += 1;
                let places = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32);
                Ok(Expr::Num(decimal(&digits).ok_or("a strange number")?, places))
            }
            Some(Tok::Var(name)) => {
                self.at += 1;
                Ok(constant(&name).unwrap_or(Expr::Var(name)))
            }
            Some(Tok::Open(Bracket::Group | Bracket::Round) | Tok::Frac | Tok::Sqrt) => self.atom(),
            _ => Err("a command without its argument"),
        }
    }

    pub(super) fn root(&mut self) -> Result<Expr> {
        let mut degree = Expr::int(2);
        if self.peek() == Some(&Tok::Open(Bracket::Square)) {
            self.at += 1;
            degree = self.sum()?;
            if !self.take(&Tok::Close(Bracket::Square)) {
                return Err("a degree of a root that is never closed");
            }
        }
        let radicand = match self.peek() {
            Some(Tok::Num(digits)) if digits.len() > 1 && self.space_before() => {
                // `\sqrt 16` and `√16` mean the whole number.
                let digits = digits.clone();
                self.at += 1;
                let places = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32);
                Expr::Num(decimal(&digits).ok_or("a strange number")?, places)
            }
            _ => self.argument()?,
        };
        Ok(Expr::Root(Box::new(degree), Box::new(radicand)))
    }

    /// A variable with its subscript and primes, a constant, or an unknown function with its arguments.
    pub(super) fn variable(&mut self, name: String) -> Result<Expr> {
        let mut name = name;
        let mut index = None;
        let mut marked = false;
        let mut power = None;
        loop {
            match self.peek() {
                Some(Tok::Prime) => {
                    self.at += 1;
                    name.push('\'');
                    marked = true;
                }
                Some(Tok::Under) if index.is_none() => {
                    self.at += 1;
                    index = Some(self.subscript()?);
                }
                // `x^2_1`: the power of the subscripted variable.
                Some(Tok::Caret) if index.is_none() && power.is_none() && self.script_then_subscript() => {
                    self.at += 1;
                    power = Some(self.script()?);
                }
                _ => break,
            }
        }
        if let ("C", Some(Subscript::Name(n)), true) = (&*name, &index, self.peek() == Some(&Tok::Caret))
            && let Some(binomial) = self.combinations(n)
        {
            return Ok(binomial);
        }
        let variable = match index {
            Some(Subscript::Name(subscript)) => Expr::Var(format!("{name}_{subscript}")),
            Some(Subscript::Index(at)) => Expr::Apply(format!("{name}_"), vec![at]),
            None if !marked && power.is_none() => match constant(&name) {
                Some(value) => value,
                None => return self.application(name),
            },
            None => Expr::Var(name),
        };
        let variable = match variable {
            Expr::Var(name) if power.is_none() && name.contains(['\'', '_']) => self.application(name)?,
            other => other,
        };
        Ok(match power {
            Some(power) => Expr::Pow(Box::new(variable), Box::new(power)),
            None => variable,
        })
    }

    /// `C_{10}^3`: the binomial coefficient, when both are integers.
    fn combinations(&mut self, n: &str) -> Option<Expr> {
        let n: u32 = n.parse().ok().filter(|n| *n >= 2)?;
        let start = self.at;
        self.at += 1;
        match self.script() {
            Ok(Expr::Num(k, 0)) if k.is_integer() && k <= BigRational::from_integer(n.into()) => {
                Some(Expr::Call(Func::Binom, vec![Expr::int(n.into()), Expr::Num(k, 0)]))
            }
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// Whether the script at `^` is followed by a subscript.
    pub(super) fn script_then_subscript(&self) -> bool {
        let mut at = self.at + 1;
        let mut depth = 0;
        while let Some(token) = self.tokens.get(at) {
            match token.tok {
                Tok::Open(Bracket::Group) => depth += 1,
                Tok::Close(Bracket::Group) => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth <= 0 {
                break;
            }
        }
        self.tokens.get(at).is_some_and(|token| token.tok == Tok::Under)
    }

    /// `f(x)` for letters that are used as functions' names; `a(b + c)` is a product.
    pub(super) fn application(&mut self, name: String) -> Result<Expr> {
        let functional = matches!(
            name.trim_end_matches('\'').split('_').next(),
            Some("f" | "g" | "h" | "F" | "G" | "H" | "P" | "Q" | "W" | "T")
        ) || name.ends_with('\'');
        if functional && self.peek() == Some(&Tok::Open(Bracket::Round)) && !self.space_before() {
            self.at += 1;
            let arguments = self.list()?;
            if !self.take(&Tok::Close(Bracket::Round)) {
                return Err("a function whose arguments never end");
            }
            return Ok(Expr::Apply(name, elements(arguments)));
        }
        Ok(Expr::Var(name))
    }

    /// A subscript: part of the name, or an index that sums run over.
    pub(super) fn subscript(&mut self) -> Result<Subscript> {
        let start = self.at;
        let Ok(expr) = self.script() else {
            // Whatever else stands there is a name.
            self.at = start;
            return Ok(Subscript::Name(self.raw_group()?));
        };
        let written = self.written(start, self.at);
        let index = matches!(expr, Expr::Add(_) | Expr::Neg(_)) && !expr.variables().is_empty();
        if index || (self.in_fold > 0 && !expr.variables().is_empty()) {
            return Ok(Subscript::Index(expr));
        }
        Ok(Subscript::Name(written))
    }

    /// The tokens from `start` to `end` as a name.
    pub(super) fn written(&self, start: usize, end: usize) -> String {
        self.tokens[start..end.min(self.tokens.len())]
            .iter()
            .filter(|token| !matches!(token.tok, Tok::Open(Bracket::Group) | Tok::Close(Bracket::Group)))
            .map(|token| match &token.tok {
                Tok::Num(text) | Tok::Var(text) | Tok::Word(text) => text.clone(),
                other => format!("{other:?}"),
            })
            .collect::<String>()
    }

    /// A group as raw tokens.
    pub(super) fn raw_group(&mut self) -> Result<String> {
        let start = self.at;
        let mut depth = 0;
        while let Some(tok) = self.next() {
            match tok {
                Tok::Open(Bracket::Group) => depth += 1,
                Tok::Close(Bracket::Group) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(self.written(start, self.at));
            }
        }
        Err("a group that is never closed")
    }
}

pub(super) enum Subscript {
    Name(String),
    Index(Expr),
}

/// `0.1\overline{6}`: 0.1 + 6/(10·9).
fn recurring(digits: &str, period: &str) -> Option<Expr> {
    let places = digits.split_once('.')?.1.len();
    let ten = |power: usize| num_traits::pow(BigInt::from(10), power);
    let start = decimal(&format!("{digits}0"))?;
    let rest = BigRational::new(period.parse().ok()?, ten(places) * (ten(period.len()) - 1));
    Some(Expr::Num(start + rest, 0))
}

/// The constant that a name stands for.
fn constant(name: &str) -> Option<Expr> {
    Some(Expr::Const(match name {
        "pi" => Const::Pi,
        "e" => Const::E,
        "i" | "I" => Const::I,
        _ => return None,
    }))
}
