//! Tokens of an answer in LaTeX, plain text or a mixture, with Unicode and full-width characters.

mod numbers;
mod upright;

use super::{
    expr::{Bracket, Func, Relation},
    units, words,
};

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tok {
    /// Digits with at most one decimal point, and an exponent of ten.
    Num(String),
    /// A variable or constant of one letter or one command.
    Var(String),
    /// Words of text.
    Word(String),
    /// A known function.
    Func(Func),
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `±`, or `∓` when set.
    PlusMinus(bool),
    /// `×`, `·`, `*`
    Times,
    /// `×` between vectors or sets, `∘` between functions.
    Cross,
    /// `∧`, or `∨` when not set.
    Logic(bool),
    /// `/`, `÷`
    Slash,
    /// `^`
    Caret,
    /// `_`
    Under,
    /// `!`
    Bang,
    /// `'`
    Prime,
    /// `%`
    Percent,
    /// `°`
    Degree,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `:`
    Colon,
    /// A word for "and".
    And,
    /// A word for "or".
    Or,
    /// `&`
    Ampersand,
    /// `\\`
    Row,
    /// `|`
    Bar,
    /// `\|`
    DoubleBar,
    /// `\mid`: such that.
    SuchThat,
    /// An opening bracket.
    Open(Bracket),
    /// A closing bracket.
    Close(Bracket),
    /// A relation.
    Rel(Relation),
    /// `\frac`
    Frac,
    /// `\binom`
    Binom,
    /// `\choose`
    Choose,
    /// `\over`
    Over,
    /// `√`
    Sqrt,
    /// `\begin{…}`
    Begin(String),
    /// `\end{…}`
    End(String),
    /// `∪`
    Cup,
    /// `∩`
    Cap,
    /// `∖`
    SetMinus,
    /// `∅`
    EmptySet,
    /// `∞`
    Infinity,
    /// `ℝ` and its like.
    NumberSet(char),
    /// `Σ`
    Sum,
    /// `Π`
    Product,
    /// An integral, a limit or another operator that is only compared by its writing.
    Operator(String),
    /// An accent over what follows, such as `\overline`.
    Accent(String),
    /// `\mod`, or `\pmod` when set: a congruence.
    Mod(bool),
    /// Digits and a base above ten.
    Based(String, u32),
    /// `\quad`: it may separate elements.
    WideSpace,
    /// A decimal number whose last digits repeat without end: the number before them, and they.
    Recurring(String, String),
    /// A currency sign, with its unit.
    Currency(&'static str),
}

/// A token and whether white space stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub tok: Tok,
    /// White space before it.
    pub space: bool,
}

/// Why a text has no tokens.
pub type LexError = &'static str;

/// The tokens of `text`.
pub fn tokens(text: &str) -> Result<Vec<Token>, LexError> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, out: Vec::new(), space: false, depth: 0 };
    lexer.run()?;
    Ok(lexer.out)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    out: Vec<Token>,
    space: bool,
    /// Open round, square and curly brackets: commas inside separate elements, never thousands.
    depth: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn push(&mut self, tok: Tok) {
        match tok {
            Tok::Open(Bracket::Round | Bracket::Square | Bracket::Curly) => self.depth += 1,
            Tok::Close(Bracket::Round | Bracket::Square | Bracket::Curly) => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.out.push(Token { tok, space: self.space });
        self.space = false;
    }

    fn run(&mut self) -> Result<(), LexError> {
        while self.at < self.chars.len() {
            let c = self.peek(0);
            if c.is_ascii_alphanumeric() && self.based() {
                continue;
            }
            if c.is_ascii_digit() || (c == '.' && self.peek(1).is_ascii_digit()) {
                self.number()?;
            } else if c.is_ascii_alphabetic() {
                self.letters();
            } else if c == '\\' {
                self.command()?;
            } else {
                self.symbol(c)?;
            }
        }
        Ok(())
    }

    fn symbol(&mut self, c: char) -> Result<(), LexError> {
        let two = |next: char| self.peek(1) == next;
        let (tok, width) = match c {
            '<' if two('=') => (Tok::Rel(Relation::LessEqual), 2),
            '>' if two('=') => (Tok::Rel(Relation::GreaterEqual), 2),
            '!' if two('=') => (Tok::Rel(Relation::NotEqual), 2),
            '=' if two('=') => (Tok::Rel(Relation::Equal), 2),
            '+' if two('-') && !self.peek(2).is_ascii_digit() => (Tok::PlusMinus(false), 2),
            '+' if two('/') && self.peek(2) == '-' => (Tok::PlusMinus(false), 3),
            '-' if two('>') => (Tok::Rel(Relation::Other("to")), 2),
            '*' if two('*') => (Tok::Caret, 2),
            '|' if two('|') && self.peek(2) != '|' && self.chars.len() > 2 && self.double_bar() => (Tok::DoubleBar, 2),
            '+' => (Tok::Plus, 1),
            '-' => (Tok::Minus, 1),
            '*' => (Tok::Times, 1),
            '/' => (Tok::Slash, 1),
            '^' => (Tok::Caret, 1),
            '_' => (Tok::Under, 1),
            '!' => (Tok::Bang, 1),
            '\'' => (Tok::Prime, 1),
            '%' => (Tok::Percent, 1),
            '°' => (Tok::Degree, 1),
            ',' => (Tok::Comma, 1),
            ';' => (Tok::Semicolon, 1),
            ':' => (Tok::Colon, 1),
            '&' => (Tok::Ampersand, 1),
            '|' => (Tok::Bar, 1),
            '(' => (Tok::Open(Bracket::Round), 1),
            ')' => (Tok::Close(Bracket::Round), 1),
            '[' => (Tok::Open(Bracket::Square), 1),
            ']' => (Tok::Close(Bracket::Square), 1),
            '{' => (Tok::Open(Bracket::Group), 1),
            '}' => (Tok::Close(Bracket::Group), 1),
            '⟨' => (Tok::Open(Bracket::Angle), 1),
            '⟩' => (Tok::Close(Bracket::Angle), 1),
            '=' => (Tok::Rel(Relation::Equal), 1),
            '<' => (Tok::Rel(Relation::Less), 1),
            '>' => (Tok::Rel(Relation::Greater), 1),
            '€' => (Tok::Currency("euro"), 1),
            '£' => (Tok::Currency("pound"), 1),
            '¥' => (Tok::Currency("yuan"), 1),
            '₹' => (Tok::Currency("rupee"), 1),
            '$' | '~' | '`' => {
                self.space = true;
                self.at += 1;
                return Ok(());
            }
            '.' if two('.') && self.peek(2) == '.' => (Tok::Var("…".into()), 3),
            '?' => return Err("a question mark"),
            '.' | '…' | '"' => {
                // A full stop ends the answer; anywhere else it cannot be read.
                let rest_is_blank =
                    self.chars[self.at..].iter().all(|c| c.is_whitespace() || matches!(c, '.' | '"' | '$' | '}' | ')'));
                if !rest_is_blank && c != '"' {
                    return Err("a point that belongs to no number");
                }
                self.at += 1;
                return Ok(());
            }
            c if c.is_whitespace() || c.is_control() => {
                self.space = true;
                self.at += 1;
                return Ok(());
            }
            // Statements by their circled numbers: `①③` lists two.
            '①'..='⑳' => {
                if matches!(self.out.last(), Some(Token { tok: Tok::Word(word), .. }) if word.starts_with(|c| ('①'..='⑳').contains(&c)))
                {
                    self.push(Tok::Comma);
                }
                (Tok::Word(c.to_string()), 1)
            }
            c if c.is_alphabetic() => {
                self.other_letters();
                return Ok(());
            }
            _ => return Err("an unknown character"),
        };
        self.at += width;
        self.push(tok);
        Ok(())
    }

    /// `||v||` is a norm, `|||` and `||x|…` are absolute values.
    fn double_bar(&self) -> bool {
        let bars = self.chars.iter().filter(|c| **c == '|').count();
        bars == 4 && self.chars.windows(2).filter(|pair| *pair == ['|', '|']).count() == 2
    }

    /// Letters of other scripts: a Greek letter is a variable, a run of any other script is a word.
    fn other_letters(&mut self) {
        let c = self.peek(0);
        if let Some(name) = words::greek_letter(c) {
            self.at += 1;
            self.push(Tok::Var(name.to_owned()));
            return;
        }
        let start = self.at;
        while self.peek(0).is_alphabetic() && !self.peek(0).is_ascii() {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        self.push(match word.as_str() {
            "和" | "与" | "及" | "且" => Tok::And,
            "或" | "或者" => Tok::Or,
            "度" => Tok::Degree,
            _ => Tok::Word(word),
        });
    }

    /// Whether `\circ` composes two functions: a degree sign stands behind a number, or raised.
    fn composes(&self) -> bool {
        let next = self.chars[self.at..].iter().find(|c| !c.is_whitespace());
        let behind = matches!(self.out.last(), Some(Token { tok: Tok::Var(_) | Tok::Close(_), .. }));
        behind && next.is_some_and(|c| c.is_ascii_alphabetic() || *c == '(')
    }

    /// Whether the command that was just read stands between two vectors: `\vec{a} \times \vec{b}`.
    fn between_vectors(&self) -> bool {
        let vectors = ["\\vec", "\\mathbf", "\\boldsymbol", "\\bm", "\\overrightarrow", "\\hat"];
        let command = "\\times".len();
        let before: String = self.chars[..self.at - command].iter().collect();
        let after: String = self.chars[self.at..].iter().take(20).collect();
        let sets =
            |text: &str, letter: Option<char>| text.trim().len() == 1 && letter.is_some_and(|c| c.is_ascii_uppercase());
        let next = after.trim_start();
        if sets(&before, before.trim().chars().next()) && sets(next, next.chars().next()) {
            return true;
        }
        let last = before.rfind('\\').map_or("", |at| &before[at..]);
        let named = |text: &str| vectors.iter().any(|vector| text.trim_start().starts_with(vector));
        named(last) && named(&after)
    }

    /// A run of Latin letters: a function, a unit, a word, or variables side by side.
    fn letters(&mut self) {
        let start = self.at;
        while self.peek(0).is_ascii_alphabetic() {
            self.at += 1;
        }
        let run: String = self.chars[start..self.at].iter().collect();
        self.run_of_letters(&run);
    }

    fn run_of_letters(&mut self, run: &str) {
        if run.len() == 1 {
            self.push(Tok::Var(run.to_owned()));
            return;
        }
        let after_number = match self.out.as_slice() {
            // `1 g/cm^3`
            [
                ..,
                Token { tok: Tok::Num(_), .. },
                Token { tok: Tok::Var(_) | Tok::Word(_), .. },
                Token { tok: Tok::Slash, .. },
            ] => true,
            [.., Token { tok: Tok::Num(_) | Tok::Close(_) | Tok::Word(_), .. }] => true,
            _ => false,
        };
        // `18 years old`: a short word behind another.
        let short_word = self.space
            && matches!(run.len(), 2 | 3)
            && run.bytes().all(|byte| byte.is_ascii_lowercase())
            && matches!(self.out.last(), Some(Token { tok: Tok::Word(_), .. }))
            && words::plain_word(run).is_none();
        let joins_units = run == "per"
            && matches!(self.out.last(), Some(Token { tok: Tok::Word(_) | Tok::Var(_), .. }))
            && self.space;
        if short_word || joins_units || after_number && is_unit(run) && self.ends_unit(run) {
            // Before the functions: `5 min`.
            self.push(Tok::Word(run.to_owned()));
        } else if let Some(tok) = words::plain_word(run) {
            self.push(tok);
        } else if let Some((tok, rest)) = words::leading_join(run).filter(|_| after_number && !self.space) {
            // `1orx = 2`
            self.push(tok);
            self.run_of_letters(rest);
        } else if let Some((func, rest)) = words::leading_function(run) {
            // `sinx`
            self.push(Tok::Func(func));
            self.run_of_letters(rest);
        } else if let Some(rest) = run.strip_prefix("pi").filter(|rest| words::plain_word(rest).is_some()) {
            // `72pisqrt(3)`
            self.push(Tok::Var("pi".into()));
            self.run_of_letters(rest);
        } else if let Some(letters) = run.strip_suffix("sqrt").filter(|letters| letters.len() <= 2) {
            for letter in letters.chars() {
                self.push(Tok::Var(letter.to_string()));
            }
            self.push(Tok::Sqrt);
        } else if run.ends_with("pi") && run.len() == 3 {
            self.push(Tok::Var(run[..1].to_owned()));
            self.push(Tok::Var("pi".into()));
        } else if run.len() <= 3 || run.bytes().all(|byte| byte.is_ascii_uppercase()) && run.len() <= 6 {
            for letter in run.chars() {
                self.push(Tok::Var(letter.to_string()));
            }
        } else {
            self.push(Tok::Word(run.to_owned()));
        }
    }

    /// Whether a run of letters that is a unit is meant as one.
    fn ends_unit(&self, run: &str) -> bool {
        self.space && words::function(run).is_none() || self.at_end_of_unit()
    }

    /// Whether nothing that a function could be applied to follows.
    fn at_end_of_unit(&self) -> bool {
        let next = self.chars[self.at..].iter().find(|c| !c.is_whitespace());
        next.is_none_or(|c| matches!(c, '.' | ',' | ';' | ')' | '}' | '/' | '^' | '$' | '\\') || c.is_ascii_digit())
            || self.space_then_letter()
    }

    /// `5 ft of rope`: another word follows, which no function is applied to.
    fn space_then_letter(&self) -> bool {
        self.peek(0) == ' ' && self.peek(1).is_ascii_alphabetic() && self.peek(2).is_ascii_alphabetic()
    }

    fn command(&mut self) -> Result<(), LexError> {
        let next = self.peek(1);
        if !next.is_ascii_alphabetic() {
            self.at += 2;
            match next {
                '\\' => {
                    // `\\[2pt]`
                    if self.peek(0) == '[' && self.chars[self.at..].iter().take(8).collect::<String>().contains("pt]") {
                        while self.peek(0) != ']' {
                            self.at += 1;
                        }
                        self.at += 1;
                    }
                    self.push(Tok::Row);
                }
                '{' => self.push(Tok::Open(Bracket::Curly)),
                '}' => self.push(Tok::Close(Bracket::Curly)),
                '|' => self.push(Tok::DoubleBar),
                '%' => self.push(Tok::Percent),
                '$' => self.push(Tok::Currency("dollar")),
                '&' => self.push(Tok::And),
                '(' | ')' | '[' | ']' | ',' | ';' | ':' | '!' | ' ' | '\0' | '\n' | '\t' | '/' | '>' => {
                    self.space = true;
                }
                '_' | '#' => self.space = true,
                _ => return Err("an unknown command"),
            }
            return Ok(());
        }
        let start = self.at + 1;
        self.at = start;
        while self.peek(0).is_ascii_alphabetic() {
            self.at += 1;
        }
        let name: String = self.chars[start..self.at].iter().collect();
        self.named(&name)
    }

    fn named(&mut self, name: &str) -> Result<(), LexError> {
        match name {
            "left" | "right" | "mleft" | "mright" | "middle" | "bigl" | "bigr" | "Bigl" | "Bigr" | "biggl"
            | "biggr" | "Biggl" | "Biggr" | "big" | "Big" | "bigg" | "Bigg" => {
                while self.peek(0) == ' ' {
                    self.at += 1;
                }
                match self.peek(0) {
                    '.' => self.at += 1,
                    // `\left{` is written where `\left\{` is meant.
                    '{' => {
                        self.at += 1;
                        self.push(Tok::Open(Bracket::Curly));
                    }
                    '}' => {
                        self.at += 1;
                        self.push(Tok::Close(Bracket::Curly));
                    }
                    '<' => {
                        self.at += 1;
                        self.push(Tok::Open(Bracket::Angle));
                    }
                    '>' => {
                        self.at += 1;
                        self.push(Tok::Close(Bracket::Angle));
                    }
                    _ => {}
                }
                Ok(())
            }
            "text" | "textbf" | "textit" | "textrm" | "textsf" | "texttt" | "textnormal" | "mbox" | "hbox"
            | "mathrm" | "mathbf" | "mathit" | "mathsf" | "mathtt" | "boldsymbol" | "bm" | "rm" | "operatorname"
            | "emph" | "mathcal" | "mathscr" | "mathfrak" | "underline" | "variable" => self.text(name),
            "mathbb" | "Bbb" => {
                let letter = self.argument()?;
                match letter.trim() {
                    "N" | "Z" | "Q" | "R" | "C" => {
                        self.push(Tok::NumberSet(letter.trim().chars().next().unwrap_or('R')));
                    }
                    other => self.push(Tok::Var(format!("mathbb {other}"))),
                }
                Ok(())
            }
            "begin" | "end" => {
                let environment = self.argument()?;
                if environment == "array" || environment == "tabular" {
                    while self.peek(0) == ' ' {
                        self.at += 1;
                    }
                    if name == "begin" && self.peek(0) == '{' {
                        self.argument()?;
                    }
                }
                let environment = environment.trim_end_matches('*').to_owned();
                self.push(if name == "begin" { Tok::Begin(environment) } else { Tok::End(environment) });
                Ok(())
            }
            "hspace" | "vspace" | "phantom" | "hphantom" | "label" | "tag" | "color" | "textcolor" => {
                self.argument()?;
                self.space = true;
                Ok(())
            }
            "char" => Err("a character by its number"),
            "circ" if self.composes() => {
                self.push(Tok::Cross);
                Ok(())
            }
            "times" if self.between_vectors() => {
                self.push(Tok::Cross);
                Ok(())
            }
            _ => match words::command(name) {
                Some(words::Command::Token(tok)) => {
                    self.push(tok);
                    Ok(())
                }
                Some(words::Command::Space) => {
                    self.space = true;
                    Ok(())
                }
                None => self.unknown(name),
            },
        }
    }

    /// An unknown command: a known one with letters after it, as in `\cotx`, or else a symbol of that name.
    fn unknown(&mut self, name: &str) -> Result<(), LexError> {
        for cut in (2..name.len()).rev() {
            let (head, rest) = name.split_at(cut);
            if rest.len() <= 3 && (words::command(head).is_some() && words::splits(head)) {
                self.named(head)?;
                self.run_of_letters(rest);
                return Ok(());
            }
        }
        self.push(Tok::Var(format!("\\{name}")));
        Ok(())
    }
}

/// Whether a run of letters behind a number is a unit.
fn is_unit(run: &str) -> bool {
    units::is_known(run) || matches!(run, "st" | "nd" | "rd" | "th" | "sq" | "cu" | "pts")
}
