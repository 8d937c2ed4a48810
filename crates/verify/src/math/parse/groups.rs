//! Brackets, environments, sums over an index, and operators that are compared by their writing.

use super::{
    super::{
        expr::{Bracket, Const, Expr, Fold, Func, Join},
        lexer::Tok,
        limits::MAX_ITEMS,
    },
    Parser, Result,
    atoms::Subscript,
};

impl Parser {
    /// What follows an opening bracket.
    pub(super) fn bracketed(&mut self, open: Bracket) -> Result<Expr> {
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
        if open != close && !half_open {
            return Err("unsupported: brackets that do not match");
        }
        match (open, content) {
            (Bracket::Floor | Bracket::Ceil, Expr::List(..)) => Err("unsupported: a rounding of a list"),
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

    pub(super) fn environment(&mut self, name: &str) -> Result<Expr> {
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
    pub(super) fn fold(&mut self, fold: Fold) -> Result<Expr> {
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
    pub(super) fn opaque(&mut self, name: String) -> Result<Expr> {
        let start = self.at;
        let mut depth = 0;
        while let Some(tok) = self.peek() {
            match tok {
                Tok::Open(_) => depth += 1,
                Tok::Close(_) if depth == 0 => break,
                Tok::Close(_) => depth -= 1,
                Tok::Rel(_) | Tok::Comma | Tok::Semicolon | Tok::And | Tok::Or | Tok::Logic(_) if depth == 0 => break,
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
    pub(super) fn accent(&mut self, accent: &str) -> Result<Expr> {
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
        if matches!(accent, "overline" | "bar") && name.contains(|c: char| c.is_ascii_digit()) {
            // The conjugate of a number, or digits side by side.
            return Err("unsupported: a bar over a number");
        }
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

/// The body of a sum over `i`, in which `i` is no imaginary unit.
fn renamed_unit(expr: &Expr) -> Expr {
    match expr {
        Expr::Const(Const::I) => Expr::Var("i".into()),
        other => other.map(&renamed_unit),
    }
}
