//! From tokens to an answer: a recursive descent over lists, relations, set operations, sums, products and powers.

use num_traits::{One, ToPrimitive};

use super::{
    clean::clean,
    expr::{Bracket, Const, Expr, Fold, Func, Join, Relation, SetOp},
    lexer::{Tok, Token, tokens},
    limits::{MAX_ANSWER, MAX_DEPTH, MAX_ITEMS},
};
use crate::number::decimal;

/// Why a text is no answer.
pub type ParseError = &'static str;

/// How the reason begins when a writing is right but not understood here, as against malformed.
pub const UNSUPPORTED: &str = "unsupported: ";

/// An answer and what was ambiguous in it.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The answer.
    pub expr: Expr,
    /// `a/bc` occurs, which some read as `a/(bc)`.
    pub tight_slash: bool,
}

/// Reads a whole text as one answer. With `tight`, a product without signs binds before a slash: `1/2x` is `1/(2x)`.
pub fn parse(text: &str, tight: bool) -> Result<Parsed> {
    if text.len() > MAX_ANSWER {
        return Err("unsupported: longer than any answer");
    }
    let cleaned = clean(text);
    let tokens = tokens(&cleaned)?;
    if tokens.is_empty() {
        return Err("empty");
    }
    let mut parser =
        Parser { tokens, at: 0, depth: 0, bars: 0, builder: 0, in_fold: 0, tight, tight_slash: false, steps: 40_000 };
    let expr = parser.list()?;
    if parser.at < parser.tokens.len() {
        return Err("something follows that cannot be read");
    }
    Ok(Parsed { expr, tight_slash: parser.tight_slash })
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    /// Open absolute values.
    bars: u32,
    /// Open sets that wait for `|`.
    builder: u32,
    /// Bodies of sums around: their subscripts are expressions.
    in_fold: u32,
    tight: bool,
    tight_slash: bool,
    steps: u32,
}

type Result<T> = std::result::Result<T, ParseError>;

impl Parser {
    fn peek(&self) -> Option<&Tok> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Option<&Tok> {
        self.tokens.get(self.at + ahead).map(|token| &token.tok)
    }

    fn space_before(&self) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.space)
    }

    fn next(&mut self) -> Option<Tok> {
        let tok = self.tokens.get(self.at)?.tok.clone();
        self.at += 1;
        Some(tok)
    }

    fn take(&mut self, tok: &Tok) -> bool {
        let found = self.peek() == Some(tok);
        self.at += usize::from(found);
        found
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        self.steps = self.steps.checked_sub(1).ok_or("unsupported: too much to read")?;
        if self.depth > MAX_DEPTH { Err("unsupported: nested too deeply") } else { Ok(()) }
    }

    fn leave<T>(&mut self, value: T) -> T {
        self.depth -= 1;
        value
    }

    /// Elements between commas, semicolons and joining words, up to a closing bracket or the end.
    fn list(&mut self) -> Result<Expr> {
        self.enter()?;
        let mut groups: Vec<Vec<Expr>> = vec![Vec::new()];
        let mut join = Join::Comma;
        let mut count = 0;
        loop {
            while let Some(tok @ (Tok::Comma | Tok::Semicolon | Tok::And | Tok::Or)) = self.peek() {
                match tok {
                    Tok::And => join = Join::And,
                    Tok::Or => join = Join::Or,
                    Tok::Semicolon if groups.last().is_some_and(|group| !group.is_empty()) => groups.push(Vec::new()),
                    _ => {}
                }
                self.at += 1;
            }
            if matches!(self.peek(), None | Some(Tok::Close(_) | Tok::Ampersand | Tok::Row | Tok::End(_)))
                || self.stops_at_bar()
            {
                break;
            }
            let item = self.relation()?;
            count += 1;
            if count > MAX_ITEMS {
                return Err("unsupported: too many elements");
            }
            if let Some(group) = groups.last_mut() {
                group.push(item);
            }
            if !matches!(self.peek(), Some(Tok::Comma | Tok::Semicolon | Tok::And | Tok::Or)) {
                break;
            }
        }
        groups.retain(|group| !group.is_empty());
        let single = |mut group: Vec<Expr>| if group.len() == 1 { group.pop() } else { None };
        let list = match groups.len() {
            0 => return Err("empty"),
            1 => {
                let group = groups.pop().unwrap_or_default();
                match group.len() {
                    1 => single(group).ok_or("empty")?,
                    _ => Expr::List(group, join),
                }
            }
            // `1,2;3,4` lists pairs.
            _ => {
                let pair = |group: Vec<Expr>| match group.len() {
                    1 => group.into_iter().next().unwrap_or(Expr::EmptySet),
                    _ => Expr::Seq(Bracket::Round, group, Bracket::Round),
                };
                Expr::List(groups.into_iter().map(pair).collect(), join)
            }
        };
        Ok(self.leave(list))
    }

    fn stops_at_bar(&self) -> bool {
        matches!(self.peek(), Some(Tok::Bar)) && self.bars > 0
    }

    /// A chain of relations, or one side alone.
    fn relation(&mut self) -> Result<Expr> {
        self.enter()?;
        if let Some(text) = self.words() {
            return Ok(self.leave(text));
        }
        let labelled = self.function_label();
        let first = match labelled {
            Some(label) => label,
            None => self.side()?,
        };
        let (mut sides, mut relations) = (vec![first], Vec::new());
        while let Some(Tok::Rel(relation)) = self.peek() {
            let relation = *relation;
            self.at += 1;
            if self.peek().is_none() {
                break;
            }
            relations.push(relation);
            sides.push(match self.words() {
                Some(text) => text,
                // `k = 1, 2, 3` is read by the list around; `k \in 1, 2` likewise.
                None => self.side()?,
            });
        }
        let expr = match relations.is_empty() {
            true => sides.pop().ok_or("empty")?,
            false => Expr::Chain(sides, relations),
        };
        Ok(self.leave(expr))
    }

    /// `f(x) =` at the start of an element: a function's name, whatever its letter.
    fn function_label(&mut self) -> Option<Expr> {
        let start = self.at;
        let Some(Tok::Var(name)) = self.peek().cloned() else { return None };
        if self.peek_at(1) != Some(&Tok::Open(Bracket::Round)) {
            return None;
        }
        let mut depth = 0;
        let mut end = start + 1;
        while let Some(token) = self.tokens.get(end) {
            match token.tok {
                Tok::Open(_) => depth += 1,
                Tok::Close(_) => depth -= 1,
                _ => {}
            }
            end += 1;
            if depth == 0 {
                break;
            }
        }
        if !matches!(self.tokens.get(end).map(|token| &token.tok), Some(Tok::Rel(Relation::Equal | Relation::Approx))) {
            return None;
        }
        self.at = start + 2;
        let arguments = self.list();
        match (arguments, self.take(&Tok::Close(Bracket::Round)), self.at == end) {
            (Ok(arguments), true, true) => Some(Expr::Apply(name, elements(arguments))),
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// A run of words with nothing but words, letters and numbers up to the next separator.
    fn words(&mut self) -> Option<Expr> {
        if !matches!(self.peek(), Some(Tok::Word(_))) {
            return None;
        }
        let mut words = Vec::new();
        let mut ahead = 0;
        loop {
            match self.peek_at(ahead) {
                Some(Tok::Word(word)) => words.push(word.clone()),
                Some(Tok::Var(name)) => words.push(name.clone()),
                Some(Tok::Num(digits)) => words.push(digits.clone()),
                Some(Tok::Minus | Tok::Prime | Tok::Slash | Tok::Colon | Tok::Func(_)) => {}
                None
                | Some(
                    Tok::Comma
                    | Tok::Semicolon
                    | Tok::And
                    | Tok::Or
                    | Tok::Close(_)
                    | Tok::Ampersand
                    | Tok::Row
                    | Tok::End(_),
                ) => break,
                _ => return None,
            }
            ahead += 1;
        }
        self.at += ahead;
        Some(Expr::Text(words.join(" ")))
    }

    /// One side of a relation: a set expression with its unit, or a ratio.
    fn side(&mut self) -> Result<Expr> {
        self.enter()?;
        let mut left = self.operand()?;
        loop {
            let op = match self.peek() {
                Some(Tok::Cup) => SetOp::Union,
                Some(Tok::Cap) => SetOp::Intersection,
                Some(Tok::SetMinus) => SetOp::Difference,
                _ => break,
            };
            self.at += 1;
            let right = self.operand()?;
            left = Expr::SetOp(op, Box::new(left), Box::new(right));
        }
        if self.peek() == Some(&Tok::Colon) && self.builder == 0 {
            let mut parts = vec![left];
            while self.take(&Tok::Colon) {
                parts.push(self.operand()?);
            }
            left = Expr::Ratio(parts);
        }
        if matches!(self.peek(), Some(Tok::Choose | Tok::Over)) {
            let binomial = self.next() == Some(Tok::Choose);
            let right = self.sum()?;
            left = if binomial {
                Expr::Call(Func::Binom, vec![left, right])
            } else {
                Expr::Div(Box::new(left), Box::new(right))
            };
        }
        Ok(self.leave(left))
    }

    /// A sum and the unit after it.
    fn operand(&mut self) -> Result<Expr> {
        let value = self.sum()?;
        let value = match self.peek() {
            Some(Tok::Currency(unit)) => {
                let unit = (*unit).to_owned();
                self.at += 1;
                Expr::Quantity(Box::new(value), unit)
            }
            _ => value,
        };
        let mut unit: Vec<String> = Vec::new();
        loop {
            match self.peek() {
                Some(Tok::Word(word)) => {
                    unit.push(word.clone());
                    self.at += 1;
                    if self.take(&Tok::Caret) {
                        // `\text{cm}^2`
                        let power = self.script()?;
                        unit.push(match power {
                            Expr::Num(value, 0) => format!("^{value}"),
                            _ => return Err("unsupported: a unit with a strange power"),
                        });
                    }
                }
                // `km/h`, `\text{m}/\text{s}`
                Some(Tok::Slash) if !unit.is_empty() => match self.peek_at(1) {
                    Some(Tok::Word(word) | Tok::Var(word)) => {
                        unit.push(format!("/{word}"));
                        self.at += 2;
                    }
                    _ => break,
                },
                Some(Tok::Var(letter)) if !unit.is_empty() && letter.len() == 1 => {
                    unit.push(letter.clone());
                    self.at += 1;
                }
                _ => break,
            }
        }
        if unit.is_empty() {
            return Ok(value);
        }
        match value {
            // The words after another unit, as in `\$5 \text{ per hour}`, refine it.
            Expr::Quantity(value, first) => Ok(Expr::Quantity(value, format!("{first} {}", unit.join(" ")))),
            value => Ok(Expr::Quantity(Box::new(value), unit.join(" "))),
        }
    }

    fn sum(&mut self) -> Result<Expr> {
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

    fn product(&mut self) -> Result<Expr> {
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
                Some(Tok::Slash) => {
                    self.at += 1;
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
                Some(Tok::Mod) => {
                    self.at += 1;
                    let right = self.signed()?;
                    left = Expr::Call(Func::Mod, vec![left, right]);
                }
                Some(_) if self.starts_factor() => {
                    self.tight_slash |= after_slash;
                    let right = self.factor()?;
                    left = times(left, right);
                }
                _ => break,
            }
        }
        Ok(self.leave(left))
    }

    /// A factor with its signs.
    fn signed(&mut self) -> Result<Expr> {
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
    fn starts_factor(&self) -> bool {
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
                | Tok::Infinity,
            ) => true,
            Some(Tok::Bar) => self.bars == 0 && self.builder == 0,
            _ => false,
        }
    }

    /// An atom with its powers, factorials, percent and degree signs.
    fn factor(&mut self) -> Result<Expr> {
        self.enter()?;
        let mut expr = self.atom()?;
        loop {
            match self.peek() {
                Some(Tok::Caret) => {
                    self.at += 1;
                    expr = self.powered(expr)?;
                }
                Some(Tok::Bang) => {
                    self.at += 1;
                    if self.peek() == Some(&Tok::Bang) {
                        return Err("unsupported: a double factorial");
                    }
                    expr = Expr::call(Func::Factorial, expr);
                }
                Some(Tok::Percent) => {
                    self.at += 1;
                    expr = Expr::Percent(Box::new(expr));
                }
                Some(Tok::Degree) => {
                    self.at += 1;
                    expr = Expr::Degree(Box::new(expr));
                }
                Some(Tok::Under) => {
                    self.at += 1;
                    expr = self.based(expr)?;
                }
                _ => break,
            }
        }
        Ok(self.leave(expr))
    }

    fn powered(&mut self, base: Expr) -> Result<Expr> {
        match self.peek() {
            Some(Tok::Degree) => {
                self.at += 1;
                return Ok(Expr::Degree(Box::new(base)));
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
                        return Ok(Expr::Degree(Box::new(base)));
                    }
                    Some(Tok::Word(word)) if closed && matches!(word.as_str(), "st" | "nd" | "rd" | "th") => {
                        self.at += 3;
                        return Ok(base);
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
        let exponent = self.script()?;
        if let Expr::NumberSet(name) = base {
            let decoration = match exponent {
                Expr::Num(value, 0) => value.to_string(),
                _ => return Err("unsupported: a set of numbers to a strange power"),
            };
            return Ok(Expr::NumberSet(format!("{name}{decoration}")));
        }
        Ok(Expr::Pow(Box::new(base), Box::new(exponent)))
    }

    /// What stands after `^` or `_`: a group, or one thing.
    fn script(&mut self) -> Result<Expr> {
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
    fn based(&mut self, expr: Expr) -> Result<Expr> {
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

    fn atom(&mut self) -> Result<Expr> {
        self.enter()?;
        let expr = match self.next().ok_or("an operator without its operand")? {
            Tok::Num(digits) => self.number(&digits)?,
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
                let numerator = self.argument()?;
                let denominator = self.argument()?;
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
                }
                Expr::NumberSet(name)
            }
            Tok::Currency(unit) => {
                let negative = self.take(&Tok::Minus);
                let value = self.factor()?;
                let value = if negative { value.negative() } else { value };
                Expr::Quantity(Box::new(value), unit.to_owned())
            }
            Tok::Word(word) => Expr::Var(word),
            _ => return Err("an operator without its operand"),
        };
        Ok(self.leave(expr))
    }

    /// A number, or a mixed number with the fraction after it.
    fn number(&mut self, digits: &str) -> Result<Expr> {
        let value = decimal(digits).ok_or("a strange number")?;
        let places = digits.split(['e', 'E']).next().and_then(|mantissa| mantissa.split_once('.'));
        let places = places.map_or(0, |(_, fraction)| fraction.len() as u32);
        let written_as_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
        if written_as_integer && let Some((fraction, width)) = self.fraction_ahead() {
            let Expr::Div(numerator, denominator) = &fraction else { return Ok(fraction) };
            if let (Expr::Num(n, 0), Expr::Num(d, 0)) = (numerator.as_ref(), denominator.as_ref())
                && n < d
            {
                self.at += width;
                return Ok(Expr::Add(vec![Expr::Num(value, 0), fraction]));
            }
        }
        Ok(Expr::Num(value, places))
    }

    /// A fraction of two integers that stands here, and its width in tokens: `\frac{1}{2}`, `\frac12`, ` 1/2`.
    fn fraction_ahead(&mut self) -> Option<(Expr, usize)> {
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
    fn argument(&mut self) -> Result<Expr> {
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
            Some(Tok::Open(Bracket::Group) | Tok::Frac | Tok::Sqrt | Tok::Open(Bracket::Round)) => self.atom(),
            _ => Err("a command without its argument"),
        }
    }

    fn root(&mut self) -> Result<Expr> {
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
    fn variable(&mut self, name: String) -> Result<Expr> {
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

    /// Whether the script at `^` is followed by a subscript.
    fn script_then_subscript(&self) -> bool {
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
    fn application(&mut self, name: String) -> Result<Expr> {
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
    fn subscript(&mut self) -> Result<Subscript> {
        let start = self.at;
        let expr = match self.script() {
            Ok(expr) => expr,
            // Whatever else stands there is a name.
            Err(_) => {
                self.at = start;
                return Ok(Subscript::Name(self.raw_group()?));
            }
        };
        let written = self.written(start, self.at);
        let index = matches!(expr, Expr::Add(_) | Expr::Neg(_)) && !expr.variables().is_empty();
        if index || (self.in_fold > 0 && !expr.variables().is_empty()) {
            return Ok(Subscript::Index(expr));
        }
        Ok(Subscript::Name(written))
    }

    /// The tokens from `start` to `end` as a name.
    fn written(&self, start: usize, end: usize) -> String {
        self.tokens[start..end.min(self.tokens.len())]
            .iter()
            .filter(|token| !matches!(token.tok, Tok::Open(Bracket::Group) | Tok::Close(Bracket::Group)))
            .map(|token| match &token.tok {
                Tok::Num(text) | Tok::Var(text) | Tok::Word(text) => text.clone(),
                other => format!("{other:?}"),
            })
            .collect::<Vec<_>>()
            .join("")
    }

    /// A group as raw tokens.
    fn raw_group(&mut self) -> Result<String> {
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

    fn function(&mut self, func: Func) -> Result<Expr> {
        let mut func = func;
        let (mut base, mut power) = (None, None);
        loop {
            match self.peek() {
                Some(Tok::Under) if base.is_none() => {
                    self.at += 1;
                    base = Some(self.script()?);
                }
                Some(Tok::Caret) if power.is_none() => {
                    self.at += 1;
                    if self.peek() == Some(&Tok::Open(Bracket::Group)) && self.peek_at(1) == Some(&Tok::Degree) {
                        return Err("unsupported: a degree sign on a function");
                    }
                    power = Some(self.script()?);
                }
                _ => break,
            }
        }
        if let (Some(inverse), Some(Expr::Num(value, 0))) = (inverse(func), &power)
            && (-value).is_one()
        {
            func = inverse;
            power = None;
        }
        let arguments = match self.peek() {
            Some(Tok::Open(Bracket::Round | Bracket::Square | Bracket::Curly | Bracket::Group)) => {
                let Some(Tok::Open(bracket)) = self.next() else { return Err("a function without its argument") };
                let list = self.list()?;
                if !self.take(&Tok::Close(bracket)) {
                    return Err("a function whose arguments never end");
                }
                elements(list)
            }
            _ => vec![self.bare_argument()?],
        };
        let (func, arguments) = match (func, base) {
            (Func::Log | Func::Ln, Some(base)) => (Func::LogBase, std::iter::once(base).chain(arguments).collect()),
            (Func::Log, None) if arguments.len() == 2 => (Func::LogBase, arguments.into_iter().rev().collect()),
            (_, Some(_)) => return Err("unsupported: a function with a subscript"),
            (func, None) => (func, arguments),
        };
        let many = matches!(func, Func::Gcd | Func::Lcm | Func::Max | Func::Min);
        let arity = if matches!(func, Func::LogBase | Func::Mod | Func::Binom) { 2 } else { 1 };
        if !many && arguments.len() != arity {
            return Err("a function with too few or too many arguments");
        }
        let call = Expr::Call(func, arguments);
        Ok(match power {
            Some(power) => Expr::Pow(Box::new(call), Box::new(power)),
            None => call,
        })
    }

    /// The argument of a function without brackets: a product up to the next sign, function or bracket.
    fn bare_argument(&mut self) -> Result<Expr> {
        if self.take(&Tok::Minus) {
            return Ok(self.bare_argument()?.negative());
        }
        let mut argument = self.factor()?;
        while self.starts_factor()
            && !matches!(self.peek(), Some(Tok::Func(_) | Tok::Open(Bracket::Round | Bracket::Square | Bracket::Curly)))
        {
            let factor = self.factor()?;
            argument = times(argument, factor);
        }
        Ok(argument)
    }

    /// What follows an opening bracket.
    fn bracketed(&mut self, open: Bracket) -> Result<Expr> {
        if let (Bracket::Curly, Some(Tok::Close(Bracket::Curly))) = (open, self.peek()) {
            self.at += 1;
            return Ok(Expr::EmptySet);
        }
        let (bars, builder) = (self.bars, self.builder);
        self.bars = 0;
        self.builder = u32::from(open == Bracket::Curly);
        let content = self.list();
        (self.bars, self.builder) = (bars, builder);
        let content = content?;
        if open == Bracket::Curly && matches!(self.peek(), Some(Tok::Bar | Tok::SuchThat | Tok::Colon)) {
            self.at += 1;
            let condition = self.list()?;
            if !self.take(&Tok::Close(Bracket::Curly)) {
                return Err("a set that is never closed");
            }
            return Ok(Expr::Builder(Box::new(content), Box::new(condition)));
        }
        let Some(Tok::Close(close)) = self.next() else { return Err("a bracket that is never closed") };
        let half_open = matches!((open, close), (Bracket::Round, Bracket::Square) | (Bracket::Square, Bracket::Round));
        // `]0, 1[` is another way of writing open intervals; it needs no support beyond an error.
        if open != close && !half_open {
            return Err("unsupported: brackets that do not match");
        }
        match (open, content) {
            (Bracket::Floor, Expr::List(..)) | (Bracket::Ceil, Expr::List(..)) => {
                Err("unsupported: a rounding of a list")
            }
            (Bracket::Floor, inner) => Ok(Expr::call(Func::Floor, inner)),
            (Bracket::Ceil, inner) => Ok(Expr::call(Func::Ceil, inner)),
            (_, Expr::List(items, join))
                if open == Bracket::Group && items.iter().any(|item| matches!(item, Expr::Chain(..))) =>
            {
                Ok(Expr::List(items, join))
            }
            (_, Expr::List(items, _)) => Ok(Expr::Seq(open, items, close)),
            (Bracket::Curly | Bracket::Angle, item) => Ok(Expr::Seq(open, vec![item], close)),
            (_, item) if open == close => Ok(item),
            _ => Err("unsupported: an interval with one end"),
        }
    }

    fn environment(&mut self, name: &str) -> Result<Expr> {
        let mut rows: Vec<Vec<Expr>> = vec![Vec::new()];
        let mut cells = 0;
        loop {
            match self.peek() {
                Some(Tok::End(end)) => {
                    let matching = end == name;
                    self.at += 1;
                    if !matching {
                        return Err("an environment that ends as another");
                    }
                    break;
                }
                Some(Tok::Row) => {
                    self.at += 1;
                    rows.push(Vec::new());
                }
                Some(Tok::Ampersand) => self.at += 1,
                Some(Tok::Comma | Tok::Semicolon) => self.at += 1,
                Some(_) => {
                    let cell = self.relation()?;
                    cells += 1;
                    if cells > MAX_ITEMS {
                        return Err("unsupported: too many elements");
                    }
                    if let Some(row) = rows.last_mut() {
                        row.push(cell);
                    }
                }
                None => return Err("an environment that never ends"),
            }
        }
        rows.retain(|row| !row.is_empty());
        let width = rows.first().map(Vec::len).ok_or("an empty environment")?;
        match name {
            "matrix" | "pmatrix" | "bmatrix" | "Bmatrix" | "smallmatrix" | "vmatrix" | "Vmatrix" | "array"
            | "tabular" => {
                if rows.iter().any(|row| row.len() != width) {
                    return Err("unsupported: a matrix with rows of different lengths");
                }
                Ok(Expr::Matrix(rows, matches!(name, "vmatrix" | "Vmatrix")))
            }
            // Systems and lists of cases: their rows in any order.
            "cases" | "aligned" | "align" | "gathered" | "gather" | "split" | "equation" => {
                let row = |cells: Vec<Expr>| match cells.len() {
                    1 => cells.into_iter().next().unwrap_or(Expr::EmptySet),
                    _ => Expr::Seq(Bracket::Group, cells, Bracket::Group),
                };
                let mut items: Vec<Expr> = rows.into_iter().map(row).collect();
                Ok(if items.len() == 1 { items.remove(0) } else { Expr::List(items, Join::And) })
            }
            _ => Err("unsupported: an unknown environment"),
        }
    }

    /// A sum or product over an index.
    fn fold(&mut self, fold: Fold) -> Result<Expr> {
        let (mut from, mut to) = (None, None);
        loop {
            if self.take(&Tok::Under) {
                if !self.take(&Tok::Open(Bracket::Group)) {
                    return Err("unsupported: a sum without its index");
                }
                from = Some(self.relation()?);
                if !self.take(&Tok::Close(Bracket::Group)) {
                    return Err("an index that is never closed");
                }
            } else if self.take(&Tok::Caret) {
                to = Some(self.script()?);
            } else {
                break;
            }
        }
        let (Some(Expr::Chain(sides, _)), Some(to)) = (from, to) else {
            return Err("unsupported: a sum without its bounds");
        };
        let index = match sides.first() {
            Some(Expr::Var(name)) => name.clone(),
            Some(Expr::Const(Const::I)) => "i".to_owned(),
            _ => return Err("unsupported: a sum over a strange index"),
        };
        let from = sides.into_iter().nth(1).ok_or("unsupported: a sum without its first value")?;
        self.in_fold += 1;
        let body = self.product();
        self.in_fold -= 1;
        let body = if index == "i" { renamed_unit(&body?) } else { body? };
        Ok(Expr::Fold(fold, index, Box::new(from), Box::new(to), Box::new(body)))
    }

    /// An operator that is compared by its writing: it takes everything up to the next separator.
    fn opaque(&mut self, name: String) -> Result<Expr> {
        let start = self.at;
        let mut depth = 0;
        while let Some(tok) = self.peek() {
            match tok {
                Tok::Open(_) => depth += 1,
                Tok::Close(_) if depth == 0 => break,
                Tok::Close(_) => depth -= 1,
                Tok::Rel(_) | Tok::Comma | Tok::Semicolon | Tok::And | Tok::Or if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        if self.at == start {
            return Err("an operator without its operand");
        }
        Ok(Expr::Opaque(format!("{name} {}", self.written(start, self.at))))
    }

    /// `\overline{AB}`, `\vec v`, `\angle ABC`: a name.
    fn accent(&mut self, accent: &str) -> Result<Expr> {
        let start = self.at;
        match self.peek() {
            Some(Tok::Open(Bracket::Group)) => {
                self.raw_group()?;
            }
            Some(Tok::Var(_) | Tok::Num(_) | Tok::Word(_)) => {
                self.at += 1;
                if matches!(accent, "angle" | "measuredangle" | "triangle" | "odot" | "square") {
                    while matches!(self.peek(), Some(Tok::Var(name)) if name.len() == 1 && name.chars().all(char::is_uppercase))
                    {
                        self.at += 1;
                    }
                }
            }
            _ => return Err("an accent on nothing"),
        }
        let name = self.written(start, self.at);
        let variable = format!("{accent} {name}");
        if self.take(&Tok::Under) {
            return match self.subscript()? {
                Subscript::Name(subscript) => Ok(Expr::Var(format!("{variable}_{subscript}"))),
                Subscript::Index(at) => Ok(Expr::Apply(variable, vec![at])),
            };
        }
        Ok(Expr::Var(variable))
    }
}

enum Subscript {
    Name(String),
    Index(Expr),
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

fn inverse(func: Func) -> Option<Func> {
    Some(match func {
        Func::Sin => Func::Asin,
        Func::Cos => Func::Acos,
        Func::Tan => Func::Atan,
        Func::Cot => Func::Acot,
        Func::Sinh => Func::Asinh,
        Func::Cosh => Func::Acosh,
        Func::Tanh => Func::Atanh,
        _ => return None,
    })
}

/// The elements of a list, or the one that is none.
fn elements(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::List(items, _) => items,
        other => vec![other],
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
fn times(left: Expr, right: Expr) -> Expr {
    let plain = |expr: Expr| match expr {
        Expr::Seq(Bracket::Curly, mut items, Bracket::Curly) if items.len() == 1 => items.remove(0),
        other => other,
    };
    match plain(left) {
        Expr::Mul(mut factors) => {
            factors.push(plain(right));
            Expr::Mul(factors)
        }
        left => Expr::Mul(vec![left, plain(right)]),
    }
}

/// The body of a sum over `i`, in which `i` is no imaginary unit.
fn renamed_unit(expr: &Expr) -> Expr {
    match expr {
        Expr::Const(Const::I) => Expr::Var("i".into()),
        other => other.map(&renamed_unit),
    }
}
