//! Tokens to a syntax tree: expressions.

use std::sync::Arc;

use super::error::SyntaxError;
use super::lexer::TokenKind;
use super::parser::Parser;
use super::syntax::{Arguments, Binary, Call, Comparison, Expr, ExprKind, Unary};
use super::{filters, predicates};

/// Brackets, and statements around them, nested this deep are refused, so that no template overflows the stack.
const DEPTH: usize = 120;
/// So are expressions of so many levels: a chain of as many operators, say.
const HEIGHT: u16 = 250;

type Parsed = Result<Expr, SyntaxError>;

impl Parser {
    fn node(&self, line: u32, kind: ExprKind) -> Parsed {
        let height = kind.inner_height() + 1;
        if height > HEIGHT {
            return Err(self.error("expressions are nested too deeply"));
        }
        Ok(Expr { line, height, kind })
    }

    /// One expression, or several with commas between: a tuple.
    pub(super) fn tuple(&mut self, with_condition: bool) -> Parsed {
        let line = self.line();
        let mut items = Vec::new();
        let mut is_tuple = false;
        while !self.is_tuple_end() {
            items.push(if with_condition { self.expression()? } else { self.or()? });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        match items.pop() {
            Some(item) if !is_tuple => Ok(item),
            Some(item) => {
                items.push(item);
                self.node(line, ExprKind::Tuple(items))
            }
            None => Err(self.unexpected("an expression")),
        }
    }

    fn is_tuple_end(&self) -> bool {
        matches!(self.peek(), TokenKind::VariableEnd | TokenKind::BlockEnd | TokenKind::End) || self.is_op(")")
    }

    pub(super) fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.error("expressions are nested too deeply"));
        }
        let expression = self.condition();
        self.depth -= 1;
        expression
    }

    fn condition(&mut self) -> Parsed {
        let line = self.line();
        let unknown = self.unknown.take();
        let mut value = self.or()?;
        while self.skip_name("if") {
            // Which of its filters are used is known only when it runs, as in the branch of a statement.
            self.unknown = None;
            let condition = self.or()?;
            let otherwise = if self.skip_name("else") { Some(Box::new(self.expression()?)) } else { None };
            let kind = ExprKind::If { condition: Box::new(condition), then: Box::new(value), otherwise };
            value = self.node(line, kind)?;
            self.unknown = None;
        }
        self.unknown = unknown.or(self.unknown.take());
        Ok(value)
    }

    fn or(&mut self) -> Parsed {
        let line = self.line();
        let mut left = self.and()?;
        while self.skip_name("or") {
            let right = self.and()?;
            left = self.node(line, ExprKind::Or(Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed {
        let line = self.line();
        let mut left = self.not()?;
        while self.skip_name("and") {
            let right = self.not()?;
            left = self.node(line, ExprKind::And(Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed {
        let line = self.line();
        let mut count = 0usize;
        while self.skip_name("not") {
            count += 1;
        }
        let mut value = self.comparison()?;
        // Two are as good as any even number: the value's truth.
        for _ in 0..if count > 2 { 2 - count % 2 } else { count } {
            value = self.node(line, ExprKind::Unary(Unary::Not, Box::new(value)))?;
        }
        Ok(value)
    }

    fn comparison(&mut self) -> Parsed {
        let line = self.line();
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.peek() {
                TokenKind::Op("==") => Comparison::Equal,
                TokenKind::Op("!=") => Comparison::NotEqual,
                TokenKind::Op("<") => Comparison::Less,
                TokenKind::Op("<=") => Comparison::LessEqual,
                TokenKind::Op(">") => Comparison::Greater,
                TokenKind::Op(">=") => Comparison::GreaterEqual,
                TokenKind::Name(name) if &**name == "in" => Comparison::In,
                TokenKind::Name(name) if &**name == "not" => {
                    if !matches!(self.look(1), TokenKind::Name(name) if &**name == "in") {
                        break;
                    }
                    self.next();
                    Comparison::NotIn
                }
                _ => break,
            };
            self.next();
            rest.push((comparison, self.sum()?));
        }
        if rest.is_empty() { Ok(first) } else { self.node(line, ExprKind::Compare(Box::new(first), rest)) }
    }

    fn sum(&mut self) -> Parsed {
        self.binary(&[("+", Binary::Add), ("-", Binary::Subtract)], Self::concatenation)
    }

    fn concatenation(&mut self) -> Parsed {
        let line = self.line();
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.product()?);
        }
        self.node(line, ExprKind::Concat(parts))
    }

    fn product(&mut self) -> Parsed {
        let operators =
            [("*", Binary::Multiply), ("/", Binary::Divide), ("//", Binary::FloorDivide), ("%", Binary::Modulo)];
        self.binary(&operators, Self::power)
    }

    fn power(&mut self) -> Parsed {
        self.binary(&[("**", Binary::Power)], |parser| parser.unary(true))
    }

    fn binary(&mut self, operators: &[(&str, Binary)], mut operand: impl FnMut(&mut Self) -> Parsed) -> Parsed {
        let line = self.line();
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(text, _)| self.is_op(text)) {
            self.next();
            let right = operand(self)?;
            left = self.node(line, ExprKind::Binary(*operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    /// A value with its signs, attributes, calls and, if asked for, filters and tests.
    fn unary(&mut self, with_filter: bool) -> Parsed {
        let line = self.line();
        let sign = match self.peek() {
            TokenKind::Op("-") => Some(Unary::Negative),
            TokenKind::Op("+") => Some(Unary::Positive),
            _ => None,
        };
        let value = match sign {
            None => self.primary()?,
            Some(sign) => {
                self.next();
                self.depth += 1;
                if self.depth > DEPTH {
                    return Err(self.error("expressions are nested too deeply"));
                }
                let operand = self.unary(false)?;
                self.depth -= 1;
                self.node(line, ExprKind::Unary(sign, Box::new(operand)))?
            }
        };
        let value = self.postfix(value)?;
        if with_filter { self.filters_and_tests(value) } else { Ok(value) }
    }

    fn primary(&mut self) -> Parsed {
        let line = self.line();
        let kind = match self.peek().clone() {
            TokenKind::Name(name) => {
                self.next();
                match &*name {
                    "true" | "True" => ExprKind::Bool(true),
                    "false" | "False" => ExprKind::Bool(false),
                    "none" | "None" => ExprKind::None,
                    _ => {
                        self.reads(&name);
                        ExprKind::Name(name)
                    }
                }
            }
            TokenKind::Str(first) => {
                self.next();
                let mut text = first;
                while let TokenKind::Str(next) = self.peek() {
                    text = [&*text, &**next].concat().into();
                    self.next();
                }
                ExprKind::Str(text)
            }
            TokenKind::Int(value) => {
                self.next();
                ExprKind::Int(value)
            }
            TokenKind::Float(value) => {
                self.next();
                ExprKind::Float(value)
            }
            TokenKind::Op("(") => {
                self.next();
                let inner =
                    if self.is_op(")") { self.node(line, ExprKind::Tuple(Vec::new()))? } else { self.tuple(true)? };
                self.expect_op(")")?;
                return Ok(inner);
            }
            TokenKind::Op("[") => {
                self.next();
                let mut items = Vec::new();
                while !self.is_op("]") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                        if self.is_op("]") {
                            break;
                        }
                    }
                    items.push(self.expression()?);
                }
                self.expect_op("]")?;
                ExprKind::List(items)
            }
            TokenKind::Op("{") => {
                self.next();
                let mut items = Vec::new();
                while !self.is_op("}") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                        if self.is_op("}") {
                            break;
                        }
                    }
                    let key = self.expression()?;
                    self.expect_op(":")?;
                    items.push((key, self.expression()?));
                }
                self.expect_op("}")?;
                ExprKind::Dict(items)
            }
            _ => return Err(self.unexpected("an expression")),
        };
        self.node(line, kind)
    }

    fn postfix(&mut self, mut value: Expr) -> Parsed {
        loop {
            let line = self.line();
            let kind = if self.skip_op(".") {
                match self.next() {
                    TokenKind::Name(name) => ExprKind::Attribute(Box::new(value), name),
                    TokenKind::Int(index) => {
                        let index = self.node(line, ExprKind::Int(index))?;
                        ExprKind::Item(Box::new(value), Box::new(index))
                    }
                    _ => return Err(self.error("expected a name or a number behind `.`")),
                }
            } else if self.skip_op("[") {
                self.subscript(value, line)?
            } else if self.is_op("(") {
                ExprKind::Call(Box::new(value), self.arguments()?)
            } else {
                return Ok(value);
            };
            value = self.node(line, kind)?;
        }
    }

    fn subscript(&mut self, value: Expr, line: u32) -> Result<ExprKind, SyntaxError> {
        let mut parts: [Option<Box<Expr>>; 3] = [None, None, None];
        let mut slice = false;
        for part in &mut parts {
            if !self.is_op(":") && !self.is_op("]") && !self.is_op(",") {
                *part = Some(Box::new(self.expression()?));
            }
            if !self.skip_op(":") {
                break;
            }
            slice = true;
        }
        if slice {
            self.expect_op("]")?;
            return Ok(ExprKind::Slice(Box::new(value), parts));
        }
        let [first, ..] = parts;
        let Some(first) = first else { return Err(self.unexpected("an index")) };
        let index = if self.is_op(",") {
            let mut items = vec![*first];
            while self.skip_op(",") && !self.is_op("]") {
                items.push(self.expression()?);
            }
            self.node(line, ExprKind::Tuple(items))?
        } else {
            *first
        };
        self.expect_op("]")?;
        Ok(ExprKind::Item(Box::new(value), Box::new(index)))
    }

    fn arguments(&mut self) -> Result<Arguments, SyntaxError> {
        let mut arguments = Arguments::default();
        self.expect_op("(")?;
        let mut first = true;
        while !self.is_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.is_op(")") {
                    break;
                }
            }
            first = false;
            if self.skip_op("*") {
                if arguments.star.is_some() || arguments.double_star.is_some() {
                    return Err(self.error("invalid syntax of a call"));
                }
                arguments.star = Some(Box::new(self.expression()?));
            } else if self.skip_op("**") {
                if arguments.double_star.is_some() {
                    return Err(self.error("invalid syntax of a call"));
                }
                arguments.double_star = Some(Box::new(self.expression()?));
            } else if let (TokenKind::Name(name), TokenKind::Op("=")) = (self.peek().clone(), self.look(1)) {
                self.next();
                self.next();
                arguments.keywords.push((name, self.expression()?));
            } else {
                if arguments.star.is_some() || arguments.double_star.is_some() || !arguments.keywords.is_empty() {
                    return Err(self.error("a positional argument stands behind a named one"));
                }
                arguments.positional.push(self.expression()?);
            }
        }
        self.expect_op(")")?;
        Ok(arguments)
    }

    fn filters_and_tests(&mut self, mut value: Expr) -> Parsed {
        loop {
            let line = self.line();
            if self.skip_op("|") {
                let call = self.filter_call()?;
                value = self.node(line, ExprKind::Filter(Box::new(value), Box::new(call)))?;
            } else if self.skip_name("is") {
                let negated = self.skip_name("not");
                let call = self.test_call()?;
                value = self.node(line, ExprKind::Test(Box::new(value), Box::new(call)))?;
                if negated {
                    value = self.node(line, ExprKind::Unary(Unary::Not, Box::new(value)))?;
                }
            } else if self.is_op("(") {
                // A call may follow a filter: `(x | attr('f'))()` without the brackets.
                let arguments = self.arguments()?;
                value = self.node(line, ExprKind::Call(Box::new(value), arguments))?;
            } else {
                return Ok(value);
            }
        }
    }

    pub(super) fn filter_call(&mut self) -> Result<Call, SyntaxError> {
        let name = self.dotted_name()?;
        if !self.soft && !filters::NAMES.contains(&&*name) {
            self.unknown = self.unknown.take().or_else(|| Some(self.error(format!("no filter named `{name}`"))));
        }
        let arguments = if self.is_op("(") { self.arguments()? } else { Arguments::default() };
        Ok(Call { name, arguments })
    }

    fn test_call(&mut self) -> Result<Call, SyntaxError> {
        let name = self.dotted_name()?;
        if !self.soft && !predicates::NAMES.contains(&&*name) {
            self.unknown = self.unknown.take().or_else(|| Some(self.error(format!("no test named `{name}`"))));
        }
        let has_operand = match self.peek() {
            TokenKind::Name(name) => !["else", "or", "and"].contains(&&**name),
            TokenKind::Str(_) | TokenKind::Int(_) | TokenKind::Float(_) | TokenKind::Op("[" | "{") => true,
            _ => false,
        };
        let arguments = if self.is_op("(") {
            self.arguments()?
        } else if has_operand {
            if self.is_name("is") {
                return Err(self.error("tests cannot be chained with `is`"));
            }
            let operand = self.primary()?;
            Arguments { positional: vec![self.postfix(operand)?], ..Arguments::default() }
        } else {
            Arguments::default()
        };
        Ok(Call { name, arguments })
    }

    fn dotted_name(&mut self) -> Result<Arc<str>, SyntaxError> {
        let mut name = self.name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.name()?).into();
        }
        Ok(name)
    }
}
