//! Lists, sets, tuples and vectors: what holds their elements, and whether their order counts.

use super::{
    super::{
        expr::{Bracket, Expr, Join},
        identity::Same,
        limits::MAX_ITEMS,
        relations::{assigned, plus_minus},
        settings::ListOrder,
    },
    Comparer, DIFFERENT, is_inequality,
};

/// The elements of an answer of several, and what holds them.
pub(super) struct Elements {
    items: Vec<Expr>,
    kind: Kind,
    join: Join,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No brackets: `1, 2`.
    Bare,
    /// LaTeX braces that do not show: `{1, 2}`.
    Group,
    Set,
    Tuple(Bracket, Bracket),
}

impl Comparer<'_> {
    /// The elements of a list, set or tuple, with each `±` as two elements.
    pub(super) fn elements(expr: &Expr) -> Option<Elements> {
        let mut join = Join::Comma;
        let (items, kind) = match expr {
            Expr::List(items, how) => {
                join = *how;
                (items.clone(), Kind::Bare)
            }
            Expr::Seq(Bracket::Group, items, _) => (items.clone(), Kind::Group),
            Expr::Seq(Bracket::Curly, items, _) => (items.clone(), Kind::Set),
            Expr::Seq(..) if has_signs(expr) => {
                return plus_minus(expr).map(|values| Elements { items: values, kind: Kind::Bare, join });
            }
            Expr::Seq(open, items, close) => {
                return Some(Elements { items: items.clone(), kind: Kind::Tuple(*open, *close), join });
            }
            other => match plus_minus(other) {
                Some(values) if values.len() > 1 => return Some(Elements { items: values, kind: Kind::Bare, join }),
                _ => return None,
            },
        };
        let mut flat = Vec::new();
        for item in items {
            let (name, value) = assigned(&item);
            let expanded =
                if is_inequality(&item) { None } else { plus_minus(&value).filter(|values| values.len() > 1) };
            match (expanded, name) {
                (Some(values), _) => flat.extend(values),
                (None, _) => flat.push(item),
            }
        }
        (flat.len() <= MAX_ITEMS).then_some(Elements { items: flat, kind, join })
    }

    pub(super) fn sequences(&mut self, a: Elements, b: Elements) -> Same {
        use Kind::{Bare, Group, Set, Tuple};
        let mismatch = |same: Same, reason| if same.is_equal() { Same::Unknown(reason) } else { same };
        let conditions = |items: &[Expr]| names(items).is_some_and(|names| names.iter().any(|name| name != &names[0]));
        if (a.join == Join::Or) != (b.join == Join::Or) && conditions(&a.items) && conditions(&b.items) {
            return Same::Unknown("conditions that hold together or one by one");
        }
        match (a.kind, b.kind) {
            (Tuple(a_open, a_close), Tuple(b_open, b_close)) => {
                let same = self.ordered(&a.items, &b.items);
                let vector = |open| open == Bracket::Angle || open == Bracket::Round;
                if (a_open, a_close) == (b_open, b_close) {
                    same
                } else if a_open != b_open && vector(a_open) && vector(b_open) && a_close == a_open && b_close == b_open
                {
                    // ⟨1, 2⟩ and (1, 2) are one vector.
                    same
                } else if a.items.len() == 2 {
                    Same::Different("the brackets differ")
                } else {
                    mismatch(same, "the brackets differ")
                }
            }
            // Without brackets the order may be meant, and against a tuple it is.
            (Bare | Group, Tuple(open, close)) | (Tuple(open, close), Bare | Group) => {
                let same = self.ordered(&a.items, &b.items);
                if open == Bracket::Round && close == Bracket::Round {
                    same
                } else {
                    mismatch(same, "brackets on one side only")
                }
            }
            (Set, Tuple(..)) | (Tuple(..), Set) => Same::Different("a set and a tuple or interval"),
            (Set, Set) => {
                let (a, b) = (self.distinct(a.items), self.distinct(b.items));
                self.unordered(&a, &b)
            }
            (Bare | Group, Bare | Group) => self.lists(&a.items, &b.items),
            (Bare | Group | Set, Bare | Group | Set) => self.unordered(&a.items, &b.items),
        }
    }

    /// Lists without brackets: names first, if all elements have them.
    fn lists(&mut self, a: &[Expr], b: &[Expr]) -> Same {
        if self.settings.list_order == ListOrder::Fixed {
            return self.ordered(a, b);
        }
        let (a_names, b_names) = (names(a), names(b));
        match (&a_names, &b_names) {
            (Some(_), Some(_)) => self.unordered(a, b),
            // `x = 1, y = 2` against `1, 2`: the names give the order.
            (Some(names), None) | (None, Some(names)) if names.len() == a.len() && names.len() > 1 => {
                let same = self.ordered(a, b);
                if same.is_equal() || !self.unordered(a, b).is_equal() {
                    same
                } else if names.iter().all(|name| indexed(name) == indexed(&names[0]) && indexed(name).is_some()) {
                    // `x_1 = 2, x_2 = 1`: the roots of an equation, or the terms of a sequence.
                    Same::Unknown("the values of indexed names stand in another order")
                } else {
                    Same::Different("the values stand in another order")
                }
            }
            _ => self.unordered(a, b),
        }
    }

    /// One answer against several.
    pub(super) fn one_and_many(&mut self, one: &Expr, many: Elements) -> Same {
        if many.kind == Kind::Set && self.depth > 1 {
            return Same::Different("an element and a set");
        }
        if let (Expr::Matrix(rows, false), Kind::Tuple(open, close)) = (one, many.kind) {
            let vector = open == close && (rows.len() == 1 || rows.iter().all(|row| row.len() == 1));
            return if vector { self.ordered(&rows.concat(), &many.items) } else { DIFFERENT };
        }
        if let Kind::Tuple(..) = many.kind
            && one.any(&|part| matches!(part, Expr::Var(name) if name.ends_with(['i', 'j', 'k'])))
        {
            return Same::Unknown("a sum of unit vectors, and a tuple");
        }
        match many.items.as_slice() {
            // `{x}` may be the fraction of x.
            [only] if many.kind == Kind::Set && !only.variables().is_empty() => {
                let same = self.answers(one, only);
                if same.is_equal() { Same::Unknown("a set of one, or the fraction of a number") } else { same }
            }
            [only] => self.answers(one, only),
            // `\frac34 or 0.75` is one value in two forms.
            items
                if many.kind == Kind::Bare
                    && many.join == Join::Or
                    && items.iter().all(|item| self.answers(one, item).is_equal()) =>
            {
                Same::Equal("every alternative")
            }
            // `x = 1, 2` names the first element only.
            _ => Same::Different("a different number of elements"),
        }
    }

    /// Elements in order.
    pub(super) fn ordered(&mut self, a: &[Expr], b: &[Expr]) -> Same {
        if a.len() != b.len() {
            return Same::Different("a different number of elements");
        }
        let mut worst = Same::Equal("element by element");
        for (a, b) in a.iter().zip(b) {
            match self.answers(a, b) {
                Same::Equal(_) => {}
                Same::Different(_) => return Same::Different("an element differs"),
                unknown @ Same::Unknown(_) => worst = unknown,
            }
        }
        worst
    }

    /// Elements in any order: a greedy matching is enough, since equality is transitive but for roundings.
    pub(super) fn unordered(&mut self, a: &[Expr], b: &[Expr]) -> Same {
        if a.len() != b.len() {
            return Same::Different("a different number of elements");
        }
        let mut left: Vec<&Expr> = b.iter().collect();
        let mut doubt = None;
        let mut unmatched = Vec::new();
        for item in a {
            let mut found = None;
            for (at, other) in left.iter().enumerate() {
                match self.answers(item, other) {
                    Same::Equal(_) => {
                        found = Some(at);
                        break;
                    }
                    Same::Different(_) => {}
                    unknown @ Same::Unknown(_) => doubt = Some(unknown),
                }
            }
            match found {
                Some(at) => {
                    left.remove(at);
                }
                None => unmatched.push(item),
            }
        }
        match (unmatched.is_empty(), doubt) {
            (true, _) => Same::Equal("elements in any order"),
            (false, Some(unknown)) => unknown,
            (false, None) => Same::Different("an element differs"),
        }
    }

    /// The elements without repetitions.
    fn distinct(&mut self, items: Vec<Expr>) -> Vec<Expr> {
        let mut kept: Vec<Expr> = Vec::new();
        for item in items {
            if !kept.iter().any(|other| self.answers(&item, other).is_equal()) {
                kept.push(item);
            }
        }
        kept
    }
}

/// Whether a `±` stands anywhere in an answer.
fn has_signs(expr: &Expr) -> bool {
    expr.any(&|inner| matches!(inner, Expr::PlusMinus(..)))
}

/// The letter of a name with an index.
fn indexed(name: &Expr) -> Option<&str> {
    match name {
        Expr::Var(name) => name.split_once('_').map(|(letter, _)| letter),
        _ => None,
    }
}

/// The names of a list of assignments, if all elements are assignments of different names.
fn names(items: &[Expr]) -> Option<Vec<Expr>> {
    let mut names = Vec::new();
    for item in items {
        let name = assigned(item).0?.clone();
        if names.contains(&name) {
            return None;
        }
        names.push(name);
    }
    Some(names)
}
