//! Functions with and without brackets around their arguments.

use num_traits::One;

use super::{
    super::{
        expr::{Bracket, Const, Expr, Func},
        lexer::Tok,
    },
    Parser, Result, elements,
    products::times,
};

impl Parser {
    pub(super) fn function(&mut self, func: Func) -> Result<Expr> {
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
        let arity = if matches!(func, Func::LogBase | Func::Mod | Func::Residue | Func::Binom) { 2 } else { 1 };
        if !many && arguments.len() != arity {
            return Err("a function with too few or too many arguments");
        }
        let angles = matches!(func, Func::Sin | Func::Cos | Func::Tan | Func::Cot | Func::Sec | Func::Csc);
        let arguments = if angles { arguments.iter().map(radians).collect() } else { arguments };
        let call = Expr::Call(func, arguments);
        Ok(match power {
            Some(power) => Expr::Pow(Box::new(call), Box::new(power)),
            None => call,
        })
    }

    /// The argument of a function without brackets: a product up to the next sign, function or bracket.
    pub(super) fn bare_argument(&mut self) -> Result<Expr> {
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
}

/// An angle with its degrees as parts of π, for a function that reads radians.
fn radians(angle: &Expr) -> Expr {
    match angle {
        Expr::Degree(value) => {
            let degree = Expr::Div(Box::new(Expr::Const(Const::Pi)), Box::new(Expr::int(180)));
            Expr::Mul(vec![radians(value), degree])
        }
        other => other.map(&radians),
    }
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
