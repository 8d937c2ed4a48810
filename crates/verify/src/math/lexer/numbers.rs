//! Numbers as they are written: groups of digits by any custom, decimal points and commas, exponents, repeating digits.

use std::sync::LazyLock;

use regex::Regex;

use super::{super::limits::MAX_DIGITS, LexError, Lexer, Tok};

impl Lexer {
    pub(super) fn number(&mut self) -> Result<(), LexError> {
        let start = self.at;
        let mut digits = String::new();
        if self.foreign_groups(&mut digits) {
            self.push(Tok::Num(digits));
            return Ok(());
        }
        let take_digits = |lexer: &mut Self, digits: &mut String| {
            while lexer.peek(0).is_ascii_digit() {
                digits.push(lexer.peek(0));
                lexer.at += 1;
            }
        };
        take_digits(self, &mut digits);
        self.groups(&mut digits);
        if self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
            digits.push('.');
            self.at += 1;
            take_digits(self, &mut digits);
        } else if self.peek(0) == '.'
            && !digits.is_empty()
            && !self.peek(1).is_alphabetic()
            && !matches!(self.peek(1), '.' | '\\')
        {
            // `5.` is 5.
            self.at += 1;
        }
        self.decimal_comma(&mut digits, start);
        if let Some(period) = self.period(digits.contains('.')) {
            if !digits.contains('.') {
                digits.push('.');
            }
            self.push(Tok::Recurring(digits, period));
            return Ok(());
        }
        let rest: String = self.chars[self.at..].iter().take(8).collect();
        if digits.contains('.')
            && (rest.starts_with("..")
                || rest.starts_with("\\ldots")
                || rest.starts_with("\\dots")
                || rest.starts_with("\\cdots"))
        {
            return Err("unsupported: a number that goes on");
        }
        let exponent_sign = usize::from(matches!(self.peek(1), '+' | '-'));
        if matches!(self.peek(0), 'e' | 'E') && self.peek(1 + exponent_sign).is_ascii_digit() {
            digits.push('e');
            self.at += 1;
            if exponent_sign == 1 {
                digits.push(self.peek(0));
                self.at += 1;
            }
            take_digits(self, &mut digits);
        }
        if digits.len() > MAX_DIGITS {
            return Err("a number with too many digits");
        }
        self.push(Tok::Num(digits));
        Ok(())
    }

    /// The digits that repeat without end, after the decimal point: `\overline{3}`, `\bar{3}`, `\dot{3}`, `(3)` is not read.
    fn period(&mut self, fraction: bool) -> Option<String> {
        // The point itself may stand before the bar: `0.\overline{3}`.
        let skip = usize::from(!fraction && self.peek(0) == '.');
        if !fraction && skip == 0 {
            return None;
        }
        let start = self.at + skip;
        let rest: String = self.chars[start.min(self.chars.len())..].iter().take(64).collect();
        let (command, after) =
            ["\\overline", "\\bar", "\\dot"].into_iter().find_map(|name| Some((name, rest.strip_prefix(name)?)))?;
        let inner = after.trim_start().strip_prefix('{')?;
        let digits = &inner[..inner.find('}')?];
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let spaces = after.len() - after.trim_start().len();
        self.at = start + command.len() + spaces + digits.len() + 2;
        Some(digits.to_owned())
    }

    /// Groups of three digits after the first one to three: `1,234`, `1 234`, `1\,234`, `1{,}234`, `1,\!234`.
    fn groups(&mut self, digits: &mut String) {
        if digits.is_empty() || digits.len() > 3 {
            return;
        }
        let (start, lead) = (self.at, digits.clone());
        let mut kind = None;
        while let Some((separator, width)) = self.separator() {
            let group: String = (0..3).map(|i| self.peek(width + i)).collect();
            let three = group.bytes().all(|byte| byte.is_ascii_digit()) && !self.peek(width + 3).is_ascii_digit();
            let mixed = kind.is_some_and(|kind| kind != separator);
            if !three || mixed {
                // `1,234,56` is a list: no part of it is a grouped number.
                if kind == Some(',') && separator == ',' && self.peek(width).is_ascii_digit() {
                    (self.at, *digits) = (start, lead);
                }
                return;
            }
            // A group that a decimal point or a fraction follows, as in `1 234/5`, still is one number.
            digits.push_str(&group);
            self.at += width + 3;
            kind = Some(separator);
        }
    }

    /// Groups that only one custom writes: `1.234.567`, `1.234,56`, `1'000`, `12,34,567`.
    fn foreign_groups(&mut self, digits: &mut String) -> bool {
        static FOREIGN: LazyLock<Regex> = LazyLock::new(|| {
            let forms = r"^(?:(\d{1,3}(?:\.\d{3}){2,})|(\d{1,3}(?:\.\d{3})+),(\d+)|(\d{1,3}(?:'\d{3})+)|(\d{1,2}(?:,\d{2})+,\d{3}))(?:[^\d.,]|[.,](?:\D|$)|$)";
            Regex::new(forms).expect("the pattern is constant")
        });
        let separated = matches!(self.peek(1), '.' | '\'' | ',')
            || matches!(self.peek(2), '.' | '\'' | ',')
            || matches!(self.peek(3), '.' | '\'');
        if self.depth > 0 || !separated {
            return false;
        }
        let rest: String = self.chars[self.at..].iter().take(64).collect();
        let Some(found) = FOREIGN.captures(&rest) else { return false };
        let Some(whole) = [1, 2, 4, 5].into_iter().find_map(|group| found.get(group)) else { return false };
        digits.extend(whole.as_str().chars().filter(char::is_ascii_digit));
        let end = found.get(3).map_or(whole.end(), |fraction| {
            digits.push('.');
            digits.push_str(fraction.as_str());
            fraction.end()
        });
        self.at += end;
        true
    }

    /// `1 234,56`: behind groups that blanks set apart, a comma is decimal.
    fn decimal_comma(&mut self, digits: &mut String, start: usize) {
        let grouped = self.chars[start..self.at].contains(&' ');
        let fraction = (1..MAX_DIGITS).take_while(|ahead| self.peek(*ahead).is_ascii_digit()).count();
        if grouped && self.depth == 0 && self.peek(0) == ',' && fraction > 0 && !digits.contains('.') {
            digits.push('.');
            digits.extend(&self.chars[self.at + 1..=self.at + fraction]);
            self.at += 1 + fraction;
        }
    }

    /// The group separator here: what it is, and its width.
    fn separator(&self) -> Option<(char, usize)> {
        let rest = &self.chars[self.at..];
        let starts = |text: &str| text.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c));
        let spaces = |from: usize| rest[from.min(rest.len())..].iter().take_while(|c| **c == ' ').count();
        if starts("{,}") {
            Some(('{', 3))
        } else if starts(",\\!") {
            Some(('!', 3 + spaces(3)))
        } else if ["\\,", "\\;", "\\:", "\\ "].into_iter().any(starts) {
            Some(('\\', 2))
        } else if starts("{\\,}") {
            Some(('\\', 4))
        } else if starts(",") && self.depth == 0 {
            Some((',', 1))
        } else if (starts(" ") || starts("~") || starts("\u{a0}")) && self.depth == 0 && spaces(1) == 0 {
            Some((' ', 1))
        } else {
            None
        }
    }
}
