//! Tokens set right before they are read: what separates, what merely aligns, and intervals in the French manner.

use super::super::{
    expr::{Bracket, Relation},
    lexer::{Tok, Token},
    nouns::is_label,
    numerals::is_negative_sign,
};

/// The tokens without alignment, wide spaces and labels; reversed square brackets as round ones.
pub fn tidy(tokens: Vec<Token>) -> Vec<Token> {
    let mut tokens = separated(tokens);
    congruences(&mut tokens);
    systems(&mut tokens);
    french(&mut tokens);
    let labelled = match tokens.as_slice() {
        // `\text{Domain: } [0, 1]`, `Area: 5`
        [Token { tok: Tok::Word(label), .. }, _, ..]
            if (label.trim_end().ends_with([':', '：']) || label.trim_end().ends_with(" is"))
                && is_label(label, "") =>
        {
            1
        }
        [Token { tok: Tok::Word(label), .. }, Token { tok: Tok::Colon, .. }, _, ..] if is_label(label, "") => 2,
        // `approximately 3.14`
        [Token { tok: Tok::Word(word), .. }, Token { tok: Tok::Num(_) | Tok::Minus | Tok::Frac, .. }, ..]
            if matches!(
                word.to_lowercase().as_str(),
                "approximately" | "about" | "roughly" | "around" | "exactly" | "约" | "大约" | "约为"
            ) =>
        {
            1
        }
        // `Therefore x = 5`
        [Token { tok: Tok::Word(word), .. }, Token { tok: Tok::Comma, .. }, _, ..] if concludes(word) => 2,
        [Token { tok: Tok::Word(word), .. }, _, ..] if concludes(word) => 1,
        // `a goat`
        [Token { tok: Tok::Var(article), .. }, Token { tok: Tok::Word(_), .. }, ..]
            if matches!(article.as_str(), "a" | "A") =>
        {
            1
        }
        // `= 5`
        [Token { tok: Tok::Rel(Relation::Equal | Relation::Approx), .. }, _, ..] => 1,
        _ => 0,
    };
    tokens.drain(..labelled);
    if let [Token { tok: tok @ Tok::Word(_), .. }, _, ..] = tokens.as_mut_slice()
        && matches!(tok, Tok::Word(word) if is_negative_sign(word))
    {
        *tok = Tok::Minus;
    }
    tokens
}

/// `\left\{\begin{array}… \end{array}\right.` as `cases`: a brace that nothing closes.
fn systems(tokens: &mut Vec<Token>) {
    let count = |tok: &Tok| tokens.iter().filter(|token| token.tok == *tok).count();
    let braced = matches!(
        tokens.as_slice(),
        [Token { tok: Tok::Open(Bracket::Curly), .. }, Token { tok: Tok::Begin(_), .. }, ..]
    );
    if !braced || count(&Tok::Open(Bracket::Curly)) <= count(&Tok::Close(Bracket::Curly)) {
        return;
    }
    tokens.remove(0);
    if let (Some(Token { tok: Tok::Begin(begin), .. }), Some(Token { tok: Tok::End(end), .. })) =
        (tokens.first().cloned(), tokens.last().cloned())
        && begin == end
    {
        let last = tokens.len() - 1;
        tokens[0].tok = Tok::Begin("cases".into());
        tokens[last].tok = Tok::End("cases".into());
    }
}

/// Whether a word says no more than that a result follows.
fn concludes(word: &str) -> bool {
    matches!(
        word.to_lowercase().as_str(),
        "therefore"
            | "thus"
            | "hence"
            | "then"
            | "finally"
            | "所以"
            | "因此"
            | "故"
            | "即"
            | "则"
            | "解得"
            | "得"
            | "donc"
    )
}

/// `(mod 7)` as `\pmod{7}`, and `3 to 2` as `3 : 2`.
fn congruences(tokens: &mut [Token]) {
    let number = |token: Option<&Token>| matches!(token, Some(Token { tok: Tok::Num(_), .. }));
    for at in 1..tokens.len() {
        if matches!(&tokens[at].tok, Tok::Word(word) if word == "to")
            && number(tokens.get(at - 1))
            && number(tokens.get(at + 1))
        {
            tokens[at].tok = Tok::Colon;
        }
        if tokens[at].tok == Tok::Mod(false) && tokens[at - 1].tok == Tok::Open(Bracket::Round) {
            let mut depth = 1;
            let close = (at + 1..tokens.len()).find(|place| {
                match tokens[*place].tok {
                    Tok::Open(Bracket::Round) => depth += 1,
                    Tok::Close(Bracket::Round) => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            if let Some(close) = close {
                tokens[at - 1].tok = Tok::Mod(true);
                tokens[at].tok = Tok::Open(Bracket::Group);
                tokens[close].tok = Tok::Close(Bracket::Group);
            }
        }
    }
}

/// Rows outside environments and wide spaces before an assignment separate elements; `&` before a relation and in
/// environments that only align does nothing.
fn separated(tokens: Vec<Token>) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut environments: Vec<String> = Vec::new();
    for at in 0..tokens.len() {
        let token = &tokens[at];
        let aligning = environments.last().is_some_and(|name| {
            matches!(name.as_str(), "aligned" | "align" | "gathered" | "gather" | "split" | "equation")
        });
        match &token.tok {
            Tok::Begin(name) => environments.push(name.clone()),
            Tok::End(_) => {
                environments.pop();
            }
            Tok::Ampersand if aligning => continue,
            Tok::Row if environments.is_empty() => {
                if at + 1 < tokens.len() {
                    out.push(Token { tok: Tok::Comma, space: false });
                }
                continue;
            }
            Tok::WideSpace => {
                let assigns = matches!(
                    (tokens.get(at + 1).map(|token| &token.tok), tokens.get(at + 2).map(|token| &token.tok)),
                    (Some(Tok::Var(_)), Some(Tok::Rel(Relation::Equal)))
                );
                if assigns
                    && out.last().is_some_and(|last| matches!(last.tok, Tok::Num(_) | Tok::Var(_) | Tok::Close(_)))
                {
                    out.push(Token { tok: Tok::Comma, space: true });
                }
                continue;
            }
            _ => {}
        }
        out.push(token.clone());
    }
    out
}

/// `]0, 1[` is `(0, 1)`. Only tokens whose brackets do not match as they stand are changed, two square brackets with a
/// separator between them at a time.
fn french(tokens: &mut [Token]) {
    let straight = |tok: &Tok| match tok {
        Tok::Open(Bracket::Round | Bracket::Square) => 1,
        Tok::Close(Bracket::Round | Bracket::Square) => -1,
        _ => 0,
    };
    let mut depth = 0;
    // `[0, 1[ ∪ ]2, 3]` balances by chance: a bracket that opens nothing gives it away.
    let set_sign =
        |token: Option<&Token>| token.is_none_or(|token| matches!(token.tok, Tok::Cup | Tok::Cap | Tok::SetMinus));
    let opens_nothing = |at: usize| {
        tokens[at].tok == Tok::Open(Bracket::Square) && set_sign(tokens.get(at + 1))
            || tokens[at].tok == Tok::Close(Bracket::Square)
                && set_sign(at.checked_sub(1).and_then(|at| tokens.get(at)))
    };
    let matching = (0..tokens.len()).all(|at| {
        depth += straight(&tokens[at].tok);
        depth >= 0 && !opens_nothing(at)
    }) && depth == 0;
    if matching {
        return;
    }
    let square = |tok: &Tok| matches!(tok, Tok::Open(Bracket::Square) | Tok::Close(Bracket::Square));
    let mut first: Option<(usize, bool)> = None;
    for at in 0..tokens.len() {
        match &tokens[at].tok {
            Tok::Comma | Tok::Semicolon => {
                if let Some((_, separated)) = &mut first {
                    *separated = true;
                }
            }
            tok if square(tok) => match first.take() {
                Some((start, true)) => {
                    let left =
                        if tokens[start].tok == Tok::Open(Bracket::Square) { Bracket::Square } else { Bracket::Round };
                    let right =
                        if tokens[at].tok == Tok::Close(Bracket::Square) { Bracket::Square } else { Bracket::Round };
                    tokens[start].tok = Tok::Open(left);
                    tokens[at].tok = Tok::Close(right);
                }
                _ => first = Some((at, false)),
            },
            _ => {}
        }
    }
}
