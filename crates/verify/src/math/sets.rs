//! Sets of real numbers: intervals, points, unions, inequalities. Two sets are compared on the pieces into which all
//! their ends cut the line: each piece lies in a set as a whole or not at all.

use std::cmp::Ordering;

use super::{
    expr::{Bracket, Const, Expr, Join, Relation, SetOp},
    identity::{Same, is_constant, order},
    limits::Budget,
    relations::{isolated, plus_minus},
};

/// Largest number of ends.
const MAX_ENDS: usize = 64;

/// Compares two sets; `None` when one is no set of real numbers that is understood here.
pub fn equal(a: &Expr, b: &Expr, budget: &mut Budget) -> Option<Same> {
    let (a_subject, b_subject) = (Subject::of(a)?, Subject::of(b)?);
    let mut line = Line { ends: Vec::new(), budget };
    line.collect(a)?;
    line.collect(b)?;
    let same = line.members(a)? == line.members(b)?;
    Some(match same {
        true if a_subject.universe != b_subject.universe => Same::Unknown("sets of different kinds of numbers"),
        true if a_subject.differs(&b_subject) => Same::Unknown("conditions on different variables"),
        true => Same::Equal("sets of numbers"),
        // `1 ≤ x ≤ 3` and `0 < x < 4` are one set of integers.
        false if a_subject.universe != "R" || b_subject.universe != "R" => {
            Same::Unknown("sets of numbers that are not all real numbers")
        }
        false => Same::Different("sets of numbers"),
    })
}

/// What a set's conditions are about.
struct Subject {
    /// The free unknown, if any.
    name: Option<Expr>,
    /// The numbers that are looked at.
    universe: String,
}

impl Subject {
    fn differs(&self, other: &Self) -> bool {
        matches!((&self.name, &other.name), (Some(a), Some(b)) if a != b)
    }

    /// `None` when the conditions are about several unknowns, or about an expression of one.
    fn of(set: &Expr) -> Option<Self> {
        let mut subject = Self { name: None, universe: "R".into() };
        subject.read(set)?;
        Some(subject)
    }

    fn read(&mut self, set: &Expr) -> Option<()> {
        match set {
            Expr::Chain(sides, relations) => {
                if let ([name, range], [Relation::In | Relation::NotIn]) = (sides.as_slice(), relations.as_slice()) {
                    self.found(name.clone())?;
                    return self.ranges(range);
                }
                let applied = sides.iter().find(|side| matches!(side, Expr::Apply(..)));
                let mut names: Vec<_> = match applied {
                    Some(name) => vec![name.clone()],
                    None => sides.iter().flat_map(Expr::variables).map(Expr::Var).collect(),
                };
                names.dedup();
                names.into_iter().try_for_each(|name| self.found(name))
            }
            Expr::Builder(head, condition) => {
                let mut inner = Self::of(condition)?;
                match &**head {
                    Expr::Chain(..) => inner.read(head)?,
                    name @ Expr::Var(_) => inner.found(name.clone())?,
                    _ => return None,
                }
                // Its name is bound: `{t | t > 3}` is `{x | x > 3}`.
                self.numbers(&inner.universe)
            }
            Expr::List(items, _) => items.iter().try_for_each(|item| self.read(item)),
            Expr::SetOp(_, a, b) => {
                self.read(a)?;
                self.read(b)
            }
            _ => Some(()),
        }
    }

    fn found(&mut self, name: Expr) -> Option<()> {
        match &self.name {
            Some(known) => (*known == name).then_some(()),
            None => {
                self.name = Some(name);
                Some(())
            }
        }
    }

    fn ranges(&mut self, range: &Expr) -> Option<()> {
        match range {
            Expr::NumberSet(name) if !name.starts_with('R') => self.numbers(name),
            other => self.read(other),
        }
    }

    fn numbers(&mut self, name: &str) -> Option<()> {
        if name != "R" && self.universe != "R" && self.universe != name {
            return None;
        }
        if name != "R" {
            name.clone_into(&mut self.universe);
        }
        Some(())
    }
}

/// The line cut at all ends: piece 0 is everything below the first, piece 2i+1 the i-th end, piece 2i+2 what follows it.
struct Line<'b> {
    ends: Vec<Expr>,
    budget: &'b mut Budget,
}

fn infinite(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Const(Const::Infinity) => Some(false),
        Expr::Neg(inner) => infinite(inner).map(|negative| !negative),
        Expr::Add(items) if items.len() == 1 => infinite(&items[0]),
        _ => None,
    }
}

impl Line<'_> {
    fn insert(&mut self, end: &Expr) -> Option<()> {
        if infinite(end).is_some() {
            return Some(());
        }
        if !is_constant(end) || self.ends.len() >= MAX_ENDS {
            return None;
        }
        for at in 0..self.ends.len() {
            match order(end, &self.ends[at], self.budget)? {
                Ordering::Equal => return Some(()),
                Ordering::Less => {
                    self.ends.insert(at, end.clone());
                    return Some(());
                }
                Ordering::Greater => {}
            }
        }
        self.ends.push(end.clone());
        Some(())
    }

    /// The piece that an end is.
    fn piece(&mut self, end: &Expr) -> Option<usize> {
        for at in 0..self.ends.len() {
            if order(end, &self.ends[at], self.budget)? == Ordering::Equal {
                return Some(2 * at + 1);
            }
        }
        None
    }

    /// Gathers the ends of a set.
    fn collect(&mut self, set: &Expr) -> Option<()> {
        match set {
            Expr::EmptySet => Some(()),
            Expr::NumberSet(name) => match name.as_str() {
                "R" => Some(()),
                "R+" | "R-" => self.insert(&Expr::int(0)),
                _ => None,
            },
            Expr::Seq(Bracket::Curly, items, _) => {
                for item in items {
                    for point in plus_minus(item)? {
                        self.insert(&point)?;
                    }
                }
                Some(())
            }
            Expr::Seq(open @ (Bracket::Round | Bracket::Square), items, close) if items.len() == 2 => {
                // `[-∞, 2)` is no interval: infinity is not in it.
                let closed = [*open == Bracket::Square, *close == Bracket::Square];
                if items.iter().zip(closed).any(|(end, closed)| closed && infinite(end).is_some()) {
                    return None;
                }
                items.iter().try_for_each(|item| self.insert(item))
            }
            Expr::SetOp(_, a, b) => {
                self.collect(a)?;
                self.collect(b)
            }
            Expr::Add(parts) => match parts.as_slice() {
                [a, Expr::Neg(b)] => {
                    self.collect(a)?;
                    self.collect(b)
                }
                _ => None,
            },
            Expr::List(items, _) if items.iter().all(|item| matches!(item, Expr::Chain(..))) => {
                items.iter().try_for_each(|item| self.collect(item))
            }
            Expr::Builder(head, condition) => {
                if matches!(**head, Expr::Chain(..)) {
                    self.collect(head)?;
                }
                self.collect(condition)
            }
            Expr::Chain(sides, relations) => match (sides.as_slice(), relations.as_slice()) {
                ([_, Expr::NumberSet(name)], [Relation::In]) if !name.starts_with('R') => Some(()),
                ([_, set], [Relation::In | Relation::NotIn]) => self.collect(set),
                _ => {
                    for (_, bounds) in isolated(sides, relations, self.budget)? {
                        for bound in bounds {
                            self.insert(&bound)?;
                        }
                    }
                    Some(())
                }
            },
            _ => None,
        }
    }

    fn none(&self) -> Vec<bool> {
        vec![false; 2 * self.ends.len() + 1]
    }

    fn ray(&mut self, relation: Relation, bound: &Expr) -> Option<Vec<bool>> {
        let mut members = self.none();
        if let Some(negative) = infinite(bound) {
            let everything = negative == matches!(relation, Relation::Greater | Relation::GreaterEqual);
            members.fill(everything);
            return Some(members);
        }
        let at = self.piece(bound)?;
        for (piece, member) in members.iter_mut().enumerate() {
            *member = match relation {
                Relation::Less => piece < at,
                Relation::LessEqual => piece <= at,
                Relation::Greater => piece > at,
                Relation::GreaterEqual => piece >= at,
                Relation::Equal => piece == at,
                Relation::NotEqual => piece != at,
                _ => return None,
            };
        }
        Some(members)
    }

    /// Which pieces lie in a set.
    fn members(&mut self, set: &Expr) -> Option<Vec<bool>> {
        let join = |a: Vec<bool>, b: Vec<bool>, op: SetOp| {
            let both = |(a, b): (bool, bool)| match op {
                SetOp::Union => a || b,
                SetOp::Intersection => a && b,
                SetOp::Difference => a && !b,
            };
            a.into_iter().zip(b).map(both).collect::<Vec<_>>()
        };
        match set {
            Expr::EmptySet => Some(self.none()),
            Expr::NumberSet(name) => match name.as_str() {
                "R" => Some(vec![true; 2 * self.ends.len() + 1]),
                "R+" => self.ray(Relation::Greater, &Expr::int(0)),
                "R-" => self.ray(Relation::Less, &Expr::int(0)),
                _ => None,
            },
            Expr::Seq(Bracket::Curly, items, _) => {
                let mut members = self.none();
                for item in items {
                    for point in plus_minus(item)? {
                        let at = self.piece(&point)?;
                        members[at] = true;
                    }
                }
                Some(members)
            }
            Expr::Seq(open @ (Bracket::Round | Bracket::Square), items, close) => {
                let [low, high] = items.as_slice() else { return None };
                let above = if *open == Bracket::Square { Relation::GreaterEqual } else { Relation::Greater };
                let below = if *close == Bracket::Square { Relation::LessEqual } else { Relation::Less };
                let (above, below) = (self.ray(above, low)?, self.ray(below, high)?);
                let members = join(above, below, SetOp::Intersection);
                // `(3, 1)` is no interval.
                members.contains(&true).then_some(members)
            }
            Expr::SetOp(op, a, b) => Some(join(self.members(a)?, self.members(b)?, *op)),
            Expr::Add(parts) => match parts.as_slice() {
                [a, Expr::Neg(b)] => Some(join(self.members(a)?, self.members(b)?, SetOp::Difference)),
                _ => None,
            },
            Expr::List(items, list) => {
                let mut all = Vec::new();
                for item in items {
                    all.push(self.members(item)?);
                }
                let fold = |op| all.iter().cloned().reduce(|a, b| join(a, b, op));
                match list {
                    Join::Or => fold(SetOp::Union),
                    Join::And => fold(SetOp::Intersection),
                    // Conditions side by side hold together, unless nothing could meet them all.
                    Join::Comma => {
                        fold(SetOp::Intersection).filter(|both| both.contains(&true)).or_else(|| fold(SetOp::Union))
                    }
                }
            }
            Expr::Builder(head, condition) => {
                let within = match **head {
                    Expr::Chain(..) => self.members(head)?,
                    _ => vec![true; 2 * self.ends.len() + 1],
                };
                Some(join(self.members(condition)?, within, SetOp::Intersection))
            }
            Expr::Chain(sides, relations) => match (sides.as_slice(), relations.as_slice()) {
                // Which numbers these are is compared apart.
                ([_, Expr::NumberSet(name)], [Relation::In]) if !name.starts_with('R') => {
                    Some(vec![true; 2 * self.ends.len() + 1])
                }
                ([_, set], [Relation::In]) => self.members(set),
                ([_, set], [Relation::NotIn]) => Some(self.members(set)?.into_iter().map(|member| !member).collect()),
                _ => {
                    let mut members = vec![true; 2 * self.ends.len() + 1];
                    for (relation, bounds) in isolated(sides, relations, self.budget)? {
                        // `x ≠ ±1` excludes both, `x = ±1` allows either.
                        let op = if relation == Relation::NotEqual { SetOp::Intersection } else { SetOp::Union };
                        let rays = bounds.iter().map(|bound| self.ray(relation, bound)).collect::<Option<Vec<_>>>()?;
                        let ray = rays.into_iter().reduce(|a, b| join(a, b, op))?;
                        members = join(members, ray, SetOp::Intersection);
                    }
                    Some(members)
                }
            },
            _ => None,
        }
    }
}
