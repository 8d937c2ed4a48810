//! Text inside formulas, `\text{…}` and its like, and the arguments of commands as raw text.

use super::{
    super::{numerals::number_word, words},
    LexError, Lexer, Tok, tokens,
};

impl Lexer {
    /// `\text{Monday, Wednesday}` as the whole answer: each part of one or two words is an element.
    pub(super) fn listed(&mut self, text: &str) -> bool {
        let joined = text.replace(" and ", ", ").replace(" or ", ", ").replace(['，', '、', ';'], ",");
        let parts: Vec<&str> = joined.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let short = |part: &&str| {
            part.split_whitespace().count() <= 2
                && part.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || c == '-')
        };
        if parts.len() < 2 || !parts.iter().all(short) {
            return false;
        }
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                self.push(Tok::Comma);
            }
            let letter = part.chars().count() == 1;
            self.push(if letter { Tok::Var((*part).to_owned()) } else { Tok::Word((*part).to_owned()) });
        }
        true
    }

    /// `1F_{16}`: digits beyond nine with their base.
    pub(super) fn based(&mut self) -> bool {
        // `0x1F`, `0b101`, `0o17`
        let prefix = [('x', 16), ('b', 2), ('o', 8)].into_iter().find(|(letter, _)| self.peek(1) == *letter);
        if let Some((_, base)) = prefix.filter(|_| self.peek(0) == '0') {
            let digits: String =
                self.chars[self.at + 2..].iter().take(64).take_while(|c| c.is_ascii_alphanumeric()).collect();
            if !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base)) {
                self.at += 2 + digits.len();
                self.push(Tok::Based(digits.to_uppercase(), base));
                return true;
            }
        }
        // Lower case only where a digit comes first: `ab_{16}` are variables.
        let hexadecimal = self.peek(0).is_ascii_digit();
        let is_digit = |c: &char| c.is_ascii_digit() || c.is_ascii_uppercase() || hexadecimal && matches!(c, 'a'..='f');
        let digits: String = self.chars[self.at..].iter().take(64).take_while(|c| is_digit(c)).collect();
        if digits.is_empty() || digits.bytes().all(|byte| byte.is_ascii_digit()) || self.peek(digits.len()) != '_' {
            return false;
        }
        let rest: String = self.chars[self.at + digits.len() + 1..].iter().take(4).collect();
        let (base, width) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((base, _)) => (base, base.len() + 2),
            None => (rest.get(..2).unwrap_or_default(), 2),
        };
        let Some(base) = base.parse().ok().filter(|base| (11..=36).contains(base)) else { return false };
        // One letter with an index is a variable.
        if digits.len() < 2 || !digits.chars().all(|digit| digit.is_digit(base)) {
            return false;
        }
        self.at += digits.len() + 1 + width;
        self.push(Tok::Based(digits.to_uppercase(), base));
        true
    }

    /// `5\mathrm{m}`, `9.8\mathrm{m}/\mathrm{s}^2`: an upright letter behind a number that a unit has.
    pub(super) fn is_unit_letter(&self, command: &str, text: &str) -> bool {
        let upright = matches!(command, "mathrm" | "text" | "textrm" | "rm");
        let mut before = self.out.iter().rev().map(|token| &token.tok);
        let behind = match before.next() {
            Some(Tok::Num(_) | Tok::Word(_) | Tok::Close(_)) => true,
            Some(Tok::Slash) => matches!(before.next(), Some(Tok::Word(_))),
            _ => false,
        };
        upright && behind && matches!(text, "m" | "g" | "s" | "h" | "L" | "N" | "J" | "W" | "V" | "K")
    }

    /// A braced argument as raw text.
    pub(super) fn argument(&mut self) -> Result<String, LexError> {
        while self.peek(0) == ' ' {
            self.at += 1;
        }
        if self.peek(0) != '{' {
            // `\mathbb R`
            let c = self.peek(0);
            if c.is_alphanumeric() {
                self.at += 1;
                return Ok(c.to_string());
            }
            return Err("a command without its argument");
        }
        let start = self.at + 1;
        let mut depth = 0usize;
        while self.at < self.chars.len() {
            match self.peek(0) {
                '\\' => self.at += 1,
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        let end = self.at.min(self.chars.len());
                        self.at += 1;
                        return Ok(self.chars[start..end].iter().collect());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Err("a brace that is never closed")
    }

    /// `\text{…}` and its like: a joining word, a function's name, one letter, mathematics, or words.
    pub(super) fn text(&mut self, command: &str) -> Result<(), LexError> {
        if command == "rm" && self.peek(0) != '{' {
            // `{\rm cm}`
            self.space = true;
            return Ok(());
        }
        let content = self.argument()?.replace('~', " ");
        let trimmed = content.trim();
        let upright = matches!(command, "operatorname" | "mathrm" | "rm" | "variable");
        if trimmed.is_empty() {
            self.space = true;
            return Ok(());
        }
        if let Some(tok) = words::joining_word(trimmed) {
            self.push(tok);
            return Ok(());
        }
        if upright && let Some(tok) = words::plain_word(trimmed) {
            self.push(tok);
            return Ok(());
        }
        if let Some(tok @ (Tok::Percent | Tok::Degree)) = words::plain_word(trimmed) {
            self.push(tok);
            return Ok(());
        }
        if number_word(trimmed).is_some() {
            self.push(Tok::Word(trimmed.to_owned()));
            return Ok(());
        }
        if let Some(func) = words::function(trimmed).filter(|_| self.peek(0) == '(' || self.peek(0) == '\\') {
            // `\text{lcm}(4, 6)`
            self.push(Tok::Func(func));
            return Ok(());
        }
        let blank = |c: &char| c.is_whitespace() || matches!(c, '.' | '$');
        if self.out.is_empty() && self.chars[self.at..].iter().all(blank) && self.listed(trimmed) {
            return Ok(());
        }
        if trimmed.contains(' ') && trimmed.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '.' | ',' | '-')) {
            // Digits set apart by a scanner: `\mathbf{1 8}`.
            self.out.extend(tokens(&trimmed.replace(' ', ""))?);
            return Ok(());
        }
        if self.is_unit_letter(command, trimmed) {
            self.push(Tok::Word(trimmed.to_owned()));
            return Ok(());
        }
        let letters = trimmed.chars().filter(|c| c.is_alphabetic()).count();
        if command == "variable" || (matches!(command, "mathcal" | "mathscr" | "mathfrak") && letters == 1) {
            self.push(Tok::Var(trimmed.to_owned()));
            return Ok(());
        }
        let bold = matches!(command, "mathbf" | "boldsymbol" | "bm" | "mathit" | "underline");
        let mathematics = trimmed.contains(|c: char| c.is_ascii_digit() || matches!(c, '=' | '+' | '\\' | '$' | '^'))
            || letters <= 1
            || (bold && trimmed.contains('\\'));
        if mathematics {
            // Its tokens stand in its place, as for `\text{(C)}`, `\text{6 and 8}` and `\mathrm{e}`.
            match tokens(trimmed) {
                Ok(inner) => self.out.extend(inner),
                Err(_) => self.push(Tok::Word(trimmed.to_owned())),
            }
            return Ok(());
        }
        if let Some(rest) = trimmed.strip_prefix("and ").or_else(|| trimmed.strip_prefix("or ")) {
            self.push(if trimmed.starts_with("and") { Tok::And } else { Tok::Or });
            self.push(Tok::Word(rest.trim().to_owned()));
            return Ok(());
        }
        self.push(Tok::Word(trimmed.to_owned()));
        Ok(())
    }
}
