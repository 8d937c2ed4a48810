//! A template's text as tokens, with white space controlled as Jinja does under `trim_blocks` and `lstrip_blocks`.

use std::sync::Arc;

use super::error::SyntaxError;
use super::text::is_space;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    Data(Arc<str>),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i128),
    Float(f64),
    /// An operator or bracket, such as `**`.
    Op(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub line: u32,
}

/// The longest first, so that `**` is not read as `*` `*`.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

/// The kind of tag that ends in a given delimiter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Variable,
    Block,
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    /// Whether the text before `at` ended a line, so that white space before a block tag here is an indentation.
    line_starting: bool,
    tokens: Vec<Token>,
}

/// Splits a template into tokens, the last of which is [`TokenKind::End`].
pub(crate) fn tokens(source: &str) -> Result<Vec<Token>, SyntaxError> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { source, at: 0, line: 1, line_starting: true, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some(found) = self.next_tag() {
            let rest = &self.source[found..];
            let sign = rest[2..].chars().next().filter(|sign| ['-', '+'].contains(sign));
            let is_variable = rest.starts_with("{{");
            self.data(found, sign, !is_variable);
            let after = found + 2 + usize::from(sign.is_some());
            if rest.starts_with("{#") {
                self.comment(after)?;
            } else if let Some(body) = self.raw(after).filter(|_| !is_variable) {
                self.raw_text(body)?;
            } else {
                self.advance(after);
                let tag = if is_variable { Tag::Variable } else { Tag::Block };
                self.push(if is_variable { TokenKind::VariableBegin } else { TokenKind::BlockBegin });
                self.tag(tag)?;
            }
        }
        self.data(self.source.len(), None, false);
        self.push(TokenKind::End);
        Ok(())
    }

    fn next_tag(&self) -> Option<usize> {
        let rest = &self.source[self.at..];
        rest.match_indices('{')
            .map(|(at, _)| at)
            .find(|&at| rest[at + 1..].starts_with(['{', '%', '#']))
            .map(|at| self.at + at)
    }

    fn push(&mut self, kind: TokenKind) {
        self.tokens.push(Token { kind, line: self.line });
    }

    fn advance(&mut self, to: usize) {
        let passed = &self.source[self.at..to];
        self.line += passed.matches('\n').count() as u32;
        if !passed.is_empty() {
            self.line_starting = passed.ends_with('\n');
        }
        self.at = to;
    }

    /// Emits the text up to `to`, where a tag with this sign begins; `strips` for tags that `lstrip_blocks` is about.
    fn data(&mut self, to: usize, sign: Option<char>, strips: bool) {
        let text = &self.source[self.at..to];
        let mut kept = text;
        if sign == Some('-') {
            kept = text.trim_end_matches(is_space);
        } else if sign != Some('+') && strips {
            let line = text.rfind('\n').map_or(0, |at| at + 1);
            if (line > 0 || self.line_starting) && text[line..].chars().all(is_space) {
                kept = &text[..line];
            }
        }
        if !kept.is_empty() {
            self.push(TokenKind::Data(kept.into()));
        }
        self.advance(to);
    }

    /// Passes a comment whose text begins at `from`.
    fn comment(&mut self, from: usize) -> Result<(), SyntaxError> {
        let end = self.source[from..].find("#}").ok_or_else(|| self.error("missing end of comment tag"))?;
        let close = from + end;
        self.advance(close);
        self.close(close, 2, close > from);
        Ok(())
    }

    /// Passes the closing delimiter at `at` with what white space it takes along: all behind `-`, and a line feed
    /// unless there is a `+`. `signed` says whether a sign may stand before it.
    fn close(&mut self, at: usize, length: usize, signed: bool) {
        let sign = if signed { self.source[..at].chars().next_back() } else { None };
        let mut end = at + length;
        let rest = &self.source[end..];
        if sign == Some('-') {
            end += rest.len() - rest.trim_start_matches(is_space).len();
        } else if sign != Some('+') && rest.starts_with('\n') {
            end += 1;
        }
        self.advance(end);
    }

    /// Where the text of a raw block begins, when the tag whose inside begins at `from` opens one.
    fn raw(&self, from: usize) -> Option<usize> {
        let rest = self.source[from..].trim_start_matches(is_space).strip_prefix("raw")?.trim_start_matches(is_space);
        let (rest, trims) = match rest.strip_prefix("-%}") {
            Some(rest) => (rest, true),
            None => (rest.strip_prefix("%}")?, false),
        };
        let rest = if trims { rest.trim_start_matches(is_space) } else { rest };
        Some(self.source.len() - rest.len())
    }

    fn raw_text(&mut self, from: usize) -> Result<(), SyntaxError> {
        self.advance(from);
        let mut search = from;
        loop {
            let found = self.source[search..].find("{%").ok_or_else(|| self.error("missing end of raw directive"))?;
            let begin = search + found;
            let sign = self.source[begin + 2..].chars().next().filter(|sign| ['-', '+'].contains(sign));
            let inside = begin + 2 + usize::from(sign.is_some());
            let rest = self.source[inside..].trim_start_matches(is_space);
            let end = rest.strip_prefix("endraw").map(|rest| rest.trim_start_matches(is_space));
            let signed = end.is_some_and(|rest| rest.starts_with(['-', '+']));
            match end.map(|rest| &rest[usize::from(signed)..]).filter(|rest| rest.starts_with("%}")) {
                Some(rest) => {
                    self.data(begin, sign, true);
                    let close = self.source.len() - rest.len();
                    self.advance(close);
                    self.close(close, 2, signed);
                    return Ok(());
                }
                None => search = begin + 2,
            }
        }
    }

    /// Reads the inside of a tag and its end.
    fn tag(&mut self, tag: Tag) -> Result<(), SyntaxError> {
        let mut open: Vec<char> = Vec::new();
        loop {
            let rest = &self.source[self.at..];
            let blank = rest.len() - rest.trim_start_matches(is_space).len();
            if blank > 0 {
                self.advance(self.at + blank);
                continue;
            }
            let Some(first) = rest.chars().next() else { return Err(self.error("unexpected end of template")) };
            if open.is_empty() && self.tag_end(tag) {
                return Ok(());
            }
            let line = self.line;
            let kind = if first == '_' || first.is_alphabetic() {
                let length = rest.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(rest.len());
                self.at += length;
                TokenKind::Name(rest[..length].into())
            } else if first.is_ascii_digit() {
                self.number()?
            } else if first == '\'' || first == '"' {
                self.string(first)?
            } else {
                let operator = OPERATORS.iter().find(|operator| rest.starts_with(**operator));
                let operator = operator.ok_or_else(|| self.error(&format!("unexpected character `{first}`")))?;
                match *operator {
                    "(" => open.push(')'),
                    "[" => open.push(']'),
                    "{" => open.push('}'),
                    ")" | "]" | "}" if open.pop() != Some(first) => {
                        return Err(self.error(&format!("unexpected `{first}`")));
                    }
                    _ => {}
                }
                self.at += operator.len();
                TokenKind::Op(operator)
            };
            self.tokens.push(Token { kind, line });
        }
    }

    /// Passes the end of the tag, if it stands here.
    fn tag_end(&mut self, tag: Tag) -> bool {
        let rest = &self.source[self.at..];
        let signs: &[char] = if tag == Tag::Block { &['-', '+'] } else { &['-'] };
        let signed = rest.starts_with(signs);
        let (end, kind) = match tag {
            Tag::Variable => ("}}", TokenKind::VariableEnd),
            Tag::Block => ("%}", TokenKind::BlockEnd),
        };
        if !rest[usize::from(signed)..].starts_with(end) {
            return false;
        }
        self.push(kind);
        let close = self.at + usize::from(signed);
        if tag == Tag::Variable && !signed {
            self.advance(close + 2);
        } else {
            self.advance(close);
            self.close(close, 2, signed);
        }
        true
    }

    fn number(&mut self) -> Result<TokenKind, SyntaxError> {
        let rest = &self.source[self.at..];
        let digits =
            |text: &str, radix: u32| text.find(|c: char| !(c.is_digit(radix) || c == '_')).unwrap_or(text.len());
        let radix = match rest.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => 16,
            Some("0o") => 8,
            Some("0b") => 2,
            _ => 10,
        };
        let whole = |text: &str, radix: u32| i128::from_str_radix(&text.replace('_', ""), radix);
        if radix != 10 {
            let length = digits(&rest[2..], radix);
            let value = whole(&rest[2..2 + length], radix).map_err(|_| self.error("integer is too large"))?;
            self.at += 2 + length;
            return Ok(TokenKind::Int(value));
        }
        let mut length = digits(rest, 10);
        let mut float = false;
        // `a.0.1` is an item of an item, never a float.
        let behind_dot = self.source[..self.at].ends_with('.');
        if !behind_dot {
            let fraction = rest[length..].strip_prefix('.').map_or(0, |rest| digits(rest, 10));
            if fraction > 0 {
                length += 1 + fraction;
                float = true;
            }
            if let Some(exponent) = rest[length..].strip_prefix(['e', 'E']) {
                let sign = usize::from(exponent.starts_with(['+', '-']));
                let power = digits(&exponent[sign..], 10);
                if power > 0 {
                    length += 1 + sign + power;
                    float = true;
                }
            }
        }
        let text = rest[..length].replace('_', "");
        let token = if float {
            TokenKind::Float(text.parse().map_err(|_| self.error("number cannot be read"))?)
        } else {
            TokenKind::Int(whole(&text, 10).map_err(|_| self.error("integer is too large"))?)
        };
        self.at += length;
        Ok(token)
    }

    fn string(&mut self, quote: char) -> Result<TokenKind, SyntaxError> {
        let begin = self.at + 1;
        let mut characters = self.source[begin..].char_indices();
        let end = loop {
            match characters.next() {
                None => return Err(self.error("string is not closed")),
                Some((_, '\\')) => {
                    characters.next();
                }
                Some((at, character)) if character == quote => break begin + at,
                Some(_) => {}
            }
        };
        let value = unescaped(&self.source[begin..end]).map_err(|reason| self.error(&reason))?;
        self.advance(end + 1);
        Ok(TokenKind::Str(value.into()))
    }

    fn error(&self, reason: &str) -> SyntaxError {
        SyntaxError { line: self.line, reason: reason.to_owned() }
    }
}

/// What Python's `unicode-escape` makes of a string literal's inside. Escapes that it does not know stay as they are.
fn unescaped(text: &str) -> Result<String, String> {
    let mut output = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            output.push(character);
            continue;
        }
        let Some(escape) = characters.next() else { break };
        let hexadecimal = match escape {
            'x' => Some(2),
            'u' => Some(4),
            'U' => Some(8),
            _ => None,
        };
        if let Some(digits) = hexadecimal {
            let code: String = characters.by_ref().take(digits).collect();
            let value = u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits);
            let value = value.and_then(char::from_u32);
            output.push(value.ok_or_else(|| format!("`\\{escape}{code}` is no character"))?);
            continue;
        }
        match escape {
            'n' => output.push('\n'),
            't' => output.push('\t'),
            'r' => output.push('\r'),
            'a' => output.push('\u{7}'),
            'b' => output.push('\u{8}'),
            'f' => output.push('\u{c}'),
            'v' => output.push('\u{b}'),
            '\\' | '\'' | '"' => output.push(escape),
            '\n' => {}
            '0'..='7' => {
                let mut code = escape.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = characters.peek().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    characters.next();
                }
                output.extend(char::from_u32(code));
            }
            'N' => return Err("characters cannot be given by name (`\\N`)".to_owned()),
            other => {
                output.push('\\');
                output.push(other);
            }
        }
    }
    Ok(output)
}
