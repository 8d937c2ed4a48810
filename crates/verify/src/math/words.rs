//! The vocabulary of answers: commands, functions, joining words, Greek letters.

use super::{
    expr::{Bracket, Func, Relation},
    lexer::Tok,
};

/// What a LaTeX command stands for.
pub enum Command {
    /// A token.
    Token(Tok),
    /// White space, or nothing that shows.
    Space,
}

/// The functions by their names.
const FUNCTIONS: &[(&str, Func)] = &[
    ("arcsinh", Func::Asinh),
    ("arccosh", Func::Acosh),
    ("arctanh", Func::Atanh),
    ("arsinh", Func::Asinh),
    ("arcosh", Func::Acosh),
    ("artanh", Func::Atanh),
    ("arcsin", Func::Asin),
    ("arccos", Func::Acos),
    ("arctan", Func::Atan),
    ("arccot", Func::Acot),
    ("asinh", Func::Asinh),
    ("acosh", Func::Acosh),
    ("atanh", Func::Atanh),
    ("asin", Func::Asin),
    ("acos", Func::Acos),
    ("atan", Func::Atan),
    ("arctg", Func::Atan),
    ("arcctg", Func::Acot),
    ("sinh", Func::Sinh),
    ("cosh", Func::Cosh),
    ("tanh", Func::Tanh),
    ("coth", Func::Coth),
    ("sin", Func::Sin),
    ("cos", Func::Cos),
    ("tan", Func::Tan),
    ("cot", Func::Cot),
    ("sec", Func::Sec),
    ("csc", Func::Csc),
    ("tg", Func::Tan),
    ("ctg", Func::Cot),
    ("cosec", Func::Csc),
    ("ln", Func::Ln),
    ("log", Func::Log),
    ("exp", Func::Exp),
    ("abs", Func::Abs),
    ("floor", Func::Floor),
    ("ceil", Func::Ceil),
    ("gcd", Func::Gcd),
    ("lcm", Func::Lcm),
    ("max", Func::Max),
    ("min", Func::Min),
    ("binomial", Func::Binom),
    ("factorial", Func::Factorial),
];

/// The function called `name`.
pub fn function(name: &str) -> Option<Func> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, func)| *func)
}

/// A function with one letter after it, as in `sinx`.
pub fn leading_function(run: &str) -> Option<(Func, &str)> {
    let short = ["sin", "cos", "tan", "cot", "sec", "csc", "ln", "log"];
    let name = short.iter().find(|name| run.len() == name.len() + 1 && run.starts_with(**name))?;
    Some((function(name)?, &run[name.len()..]))
}

const GREEK: &[(&str, char)] = &[
    ("alpha", 'α'),
    ("beta", 'β'),
    ("gamma", 'γ'),
    ("delta", 'δ'),
    ("epsilon", 'ϵ'),
    ("varepsilon", 'ε'),
    ("zeta", 'ζ'),
    ("eta", 'η'),
    ("theta", 'θ'),
    ("vartheta", 'ϑ'),
    ("iota", 'ι'),
    ("kappa", 'κ'),
    ("lambda", 'λ'),
    ("mu", 'μ'),
    ("nu", 'ν'),
    ("xi", 'ξ'),
    ("pi", 'π'),
    ("varpi", 'ϖ'),
    ("rho", 'ρ'),
    ("varrho", 'ϱ'),
    ("sigma", 'σ'),
    ("varsigma", 'ς'),
    ("tau", 'τ'),
    ("upsilon", 'υ'),
    ("phi", 'ϕ'),
    ("varphi", 'φ'),
    ("chi", 'χ'),
    ("psi", 'ψ'),
    ("omega", 'ω'),
    ("Gamma", 'Γ'),
    ("Delta", 'Δ'),
    ("Theta", 'Θ'),
    ("Lambda", 'Λ'),
    ("Xi", 'Ξ'),
    ("Pi", 'Π'),
    ("Sigma", 'Σ'),
    ("Upsilon", 'Υ'),
    ("Phi", 'Φ'),
    ("Psi", 'Ψ'),
    ("Omega", 'Ω'),
];

/// The name of a Greek letter.
pub fn greek_letter(c: char) -> Option<&'static str> {
    let c = if c == 'µ' { 'μ' } else { c };
    GREEK.iter().find(|(_, letter)| *letter == c).map(|(name, _)| *name)
}

/// A run of letters in plain text that has a meaning of its own.
pub fn plain_word(run: &str) -> Option<Tok> {
    if let Some(func) = function(run) {
        return Some(Tok::Func(func));
    }
    if let Some(tok) = joining_word(run) {
        return Some(tok);
    }
    Some(match run {
        "sqrt" => Tok::Sqrt,
        "frac" | "dfrac" | "tfrac" => Tok::Frac,
        "binom" => Tok::Binom,
        "infinity" | "infty" | "inf" | "oo" | "Infinity" => Tok::Infinity,
        "pm" => Tok::PlusMinus(false),
        "cdot" | "times" => Tok::Times,
        "mod" => Tok::Mod(false),
        "percent" | "pct" | "percentage" => Tok::Percent,
        "degrees" | "degree" | "deg" => Tok::Degree,
        "union" | "cup" => Tok::Cup,
        "cap" => Tok::Cap,
        "emptyset" => Tok::EmptySet,
        "lg" => Tok::Func(Func::Log),
        _ if GREEK.iter().any(|(name, _)| *name == run) => Tok::Var(run.to_owned()),
        _ => return None,
    })
}

/// A word that joins elements.
pub fn joining_word(word: &str) -> Option<Tok> {
    match word.trim_matches(|c: char| c == ',' || c.is_whitespace()) {
        "and" | "And" | "AND" | "и" | "und" | "et" | "和" | "与" | "且" | "及" => Some(Tok::And),
        "or" | "Or" | "OR" | "или" | "oder" | "ou" | "或" | "或者" => Some(Tok::Or),
        _ => None,
    }
}

/// A joining word with one capital or variable's letter after it, as in `1orW(x) = 2`.
pub fn leading_join(run: &str) -> Option<(Tok, &str)> {
    let (tok, rest) = match run.strip_prefix("or") {
        Some(rest) => (Tok::Or, rest),
        None => (Tok::And, run.strip_prefix("and")?),
    };
    (rest.len() == 1).then_some((tok, rest))
}

/// Whether a command may be split off the front of an unknown one: `\cotx`, `\lvertx`, `\lbracex`.
pub fn splits(name: &str) -> bool {
    function(name).is_some()
        || matches!(
            name,
            "vert"
                | "lvert"
                | "rvert"
                | "lgroup"
                | "rgroup"
                | "lbrace"
                | "rbrace"
                | "lbrack"
                | "rbrack"
                | "pi"
                | "cdot"
                | "times"
                | "pm"
                | "theta"
                | "alpha"
                | "beta"
                | "lfloor"
                | "lceil"
                | "le"
                | "ge"
                | "leq"
                | "geq"
                | "quad"
        )
}

/// The meaning of `\name`.
pub fn command(name: &str) -> Option<Command> {
    if let Some(func) = function(name) {
        return Some(Command::Token(Tok::Func(func)));
    }
    Some(Command::Token(match name {
        "frac" | "dfrac" | "tfrac" | "cfrac" | "nicefrac" | "sfrac" => Tok::Frac,
        "binom" | "dbinom" | "tbinom" => Tok::Binom,
        "choose" => Tok::Choose,
        "over" => Tok::Over,
        "sqrt" => Tok::Sqrt,
        "times" | "cdot" | "ast" | "bullet" => Tok::Times,
        "div" => Tok::Slash,
        "pm" => Tok::PlusMinus(false),
        "mp" => Tok::PlusMinus(true),
        "lg" => Tok::Func(Func::Log),
        "Pr" => Tok::Var("P".into()),
        "cup" | "bigcup" => Tok::Cup,
        "cap" | "bigcap" => Tok::Cap,
        "setminus" | "backslash" | "smallsetminus" => Tok::SetMinus,
        "emptyset" | "varnothing" => Tok::EmptySet,
        "infty" => Tok::Infinity,
        "N" | "Z" | "Q" | "R" | "C" | "reals" | "natnums" | "Reals" => Tok::NumberSet(match name {
            "reals" | "Reals" => 'R',
            "natnums" => 'N',
            _ => name.chars().next()?,
        }),
        "sum" => Tok::Sum,
        "prod" => Tok::Product,
        "int" | "iint" | "iiint" | "oint" | "lim" | "limsup" | "liminf" | "sup" | "inf" => {
            Tok::Operator(name.to_owned())
        }
        "overline" | "bar" | "hat" | "widehat" | "vec" | "overrightarrow" | "tilde" | "widetilde" | "dot" | "ddot"
        | "overleftrightarrow" | "overarc" | "wideparen" | "angle" | "measuredangle" | "triangle" | "odot"
        | "square" | "nabla" | "partial" | "overset" => Tok::Accent(name.to_owned()),
        "quad" | "qquad" => Tok::WideSpace,
        "mod" | "bmod" => Tok::Mod(false),
        "pmod" | "pod" => Tok::Mod(true),
        "mid" => Tok::SuchThat,
        "vert" | "lvert" | "rvert" => Tok::Bar,
        "Vert" | "lVert" | "rVert" => Tok::DoubleBar,
        "lbrace" => Tok::Open(Bracket::Curly),
        "rbrace" => Tok::Close(Bracket::Curly),
        "lbrack" => Tok::Open(Bracket::Square),
        "rbrack" => Tok::Close(Bracket::Square),
        "lgroup" | "lparen" => Tok::Open(Bracket::Round),
        "rgroup" | "rparen" => Tok::Close(Bracket::Round),
        "langle" => Tok::Open(Bracket::Angle),
        "rangle" => Tok::Close(Bracket::Angle),
        "lfloor" | "llcorner" => Tok::Open(Bracket::Floor),
        "rfloor" | "lrcorner" => Tok::Close(Bracket::Floor),
        "lceil" | "ulcorner" => Tok::Open(Bracket::Ceil),
        "rceil" | "urcorner" => Tok::Close(Bracket::Ceil),
        "circ" | "degree" | "degrees" => Tok::Degree,
        "prime" => Tok::Prime,
        "le" | "leq" | "leqslant" | "leqq" => Tok::Rel(Relation::LessEqual),
        "ge" | "geq" | "geqslant" | "geqq" => Tok::Rel(Relation::GreaterEqual),
        "lt" => Tok::Rel(Relation::Less),
        "gt" => Tok::Rel(Relation::Greater),
        "ne" | "neq" => Tok::Rel(Relation::NotEqual),
        "approx" | "simeq" | "approxeq" | "thickapprox" | "doteq" => Tok::Rel(Relation::Approx),
        "in" => Tok::Rel(Relation::In),
        "notin" => Tok::Rel(Relation::NotIn),
        "subset" | "subseteq" => Tok::Rel(Relation::Other("subset")),
        "supset" | "supseteq" => Tok::Rel(Relation::Other("superset")),
        "equiv" => Tok::Rel(Relation::Other("equiv")),
        "sim" => Tok::Rel(Relation::Other("sim")),
        "cong" => Tok::Rel(Relation::Other("cong")),
        "propto" => Tok::Rel(Relation::Other("propto")),
        "perp" => Tok::Rel(Relation::Other("perp")),
        "parallel" => Tok::Rel(Relation::Other("parallel")),
        "to" | "rightarrow" | "longrightarrow" | "mapsto" => Tok::Rel(Relation::Other("to")),
        "Rightarrow" | "implies" | "Longrightarrow" => Tok::Rel(Relation::Other("implies")),
        "iff" | "Leftrightarrow" | "Longleftrightarrow" => Tok::Rel(Relation::Other("iff")),
        "land" | "wedge" => Tok::Logic(true),
        "lor" | "vee" => Tok::Logic(false),
        "lnot" => Tok::Var("\\neg".into()),
        "colon" => Tok::Colon,
        "dots" | "ldots" | "cdots" | "dotsc" | "dotsb" => Tok::Var("…".into()),
        "exponentialE" => Tok::Var("e".into()),
        "imaginaryI" | "imath" => Tok::Var("i".into()),
        "ell" => Tok::Var("ell".into()),
        "pounds" => Tok::Currency("pound"),
        "euro" => Tok::Currency("euro"),
        "yen" => Tok::Currency("yuan"),
        "cents" => Tok::Word("cents".into()),
        _ if GREEK.iter().any(|(known, _)| *known == name) => Tok::Var(name.to_owned()),
        "displaystyle" | "textstyle" | "scriptstyle" | "limits" | "nolimits" | "thinspace" | "enspace" | "space"
        | "nobreakspace" | "boxed" | "fbox" | "framebox" | "cal" | "bf" | "it" | "sf" | "tt" | "boldmath"
        | "therefore" | "because" | "newline" | "hline" | "hfill" | "medspace" | "thickspace" | "negthinspace"
        | "centering" | "ensuremath" | "bold" | "tiny" | "scriptsize" | "footnotesize" | "small" | "normalsize"
        | "large" | "Large" | "LARGE" | "huge" | "Huge" | "nonumber" | "notag" => {
            return Some(Command::Space);
        }
        _ => return None,
    }))
}
