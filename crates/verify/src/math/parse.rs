//! From tokens to an answer: a recursive descent over lists, relations, set operations, sums, products and powers.

mod atoms;
mod functions;
mod groups;
mod products;
mod tidy;

use super::{
    clean::clean,
    expr::{Bracket, Expr, Func, Join, Relation, SetOp},
    lexer::{Tok, Token, tokens},
    limits::{MAX_ANSWER, MAX_CHAINED, MAX_DEPTH, MAX_ITEMS},
    numerals::number_word,
    units::{self, Units},
};

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
    if let Some(expr) = spoken(&cleaned) {
        return Ok(Parsed { expr, tight_slash: false });
    }
    let tokens = tidy::tidy(tokens(&cleaned)?);
    if tokens.is_empty() {
        return Err("empty");
    }
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        bars: 0,
        builder: 0,
        in_fold: 0,
        tight,
        tight_slash: false,
        steps: 40_000,
        chained: 0,
    };
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
    /// Operators so far that put what stands before them one level deeper.
    chained: u32,
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

    /// Counts an operator around everything before it.
    fn chain(&mut self) -> Result<()> {
        self.chained += 1;
        if self.chained > MAX_CHAINED { Err("unsupported: nested too deeply") } else { Ok(()) }
    }

    fn leave<T>(&mut self, value: T) -> T {
        self.depth -= 1;
        value
    }

    /// Elements between commas, semicolons and joining words, up to a closing bracket or the end.
    fn list(&mut self) -> Result<Expr> {
        self.enter()?;
        let start = self.at;
        let mut groups: Vec<Vec<Expr>> = vec![Vec::new()];
        let mut join = Join::Comma;
        let mut logic = false;
        let mut count = 0;
        loop {
            while let Some(tok @ (Tok::Comma | Tok::Semicolon | Tok::And | Tok::Or | Tok::Logic(_))) = self.peek() {
                logic |= matches!(tok, Tok::Logic(_));
                match tok {
                    Tok::Logic(true) => join = Join::And,
                    Tok::Logic(false) => join = Join::Or,
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
            if !matches!(self.peek(), Some(Tok::Comma | Tok::Semicolon | Tok::And | Tok::Or | Tok::Logic(_))) {
                break;
            }
        }
        if logic && !groups.iter().flatten().all(|item| matches!(item, Expr::Chain(..))) {
            // Propositions, whose operators have an order.
            let written = self.written(start, self.at);
            return Ok(self.leave(Expr::Opaque(written)));
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
        let expr = if relations.is_empty() { sides.pop().ok_or("empty")? } else { Expr::Chain(sides, relations) };
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
                Some(Tok::Minus) => words.push("-".to_owned()),
                Some(Tok::Prime | Tok::Slash | Tok::Colon | Tok::Func(_)) => {}
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
            self.chain()?;
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
                        if self.take(&Tok::Caret) {
                            match self.script()? {
                                Expr::Num(value, 0) => unit.push(format!("^{value}")),
                                _ => return Err("unsupported: a unit with a strange power"),
                            }
                        }
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
        let unit = unit.join(" ");
        let quantity = match value {
            // The words after another unit, as in `\$5 \text{ per hour}`, refine it.
            Expr::Quantity(value, first) => Expr::Quantity(value, format!("{first} {unit}")),
            value => Expr::Quantity(Box::new(value), unit),
        };
        if matches!(self.peek(), Some(Tok::Num(_))) { self.compound(quantity) } else { Ok(quantity) }
    }

    /// `3 hours 20 minutes`: the second value in the first one's unit, added to it.
    fn compound(&mut self, first: Expr) -> Result<Expr> {
        self.chain()?;
        let second = self.operand()?;
        let (Expr::Quantity(a, a_unit), Expr::Quantity(b, b_unit)) = (first, second) else {
            return Err("unsupported: a number after a unit");
        };
        match units::compare(&b_unit, &a_unit) {
            Units::Factor(factor) => {
                let converted = Expr::Mul(vec![*b, Expr::Num(factor, 0)]);
                Ok(Expr::Quantity(Box::new(Expr::Add(vec![*a, converted])), a_unit))
            }
            _ => Err("unsupported: a number after a unit"),
        }
    }
}

/// A number in words, with what it counts: `two thirds`, `\text{twenty-one}`, `seven apples`, `十五`.
fn spoken(text: &str) -> Option<Expr> {
    let wrapped = ["\\text{", "\\mathrm{", "\\textbf{", "\\mbox{"].into_iter().find_map(|open| text.strip_prefix(open));
    let text = wrapped.and_then(|inner| inner.strip_suffix('}')).unwrap_or(text).trim();
    let plain = text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '〇'));
    if !plain || text.len() > 200 || text.chars().count() < 2 && text.is_ascii() {
        return None;
    }
    if let Some(value) = number_word(text) {
        return Some(Expr::Num(value, 0));
    }
    let ends = text.char_indices().filter(|(_, c)| *c == ' ').map(|(at, _)| at);
    let (value, rest) = ends.filter_map(|at| Some((number_word(&text[..at])?, &text[at + 1..]))).next_back()?;
    Some(Expr::Quantity(Box::new(Expr::Num(value, 0)), rest.to_owned()))
}

/// The elements of a list, or the one that is none.
fn elements(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::List(items, _) => items,
        other => vec![other],
    }
}
