//! Answers as trees: what the parser makes, and what evaluation and comparison read.

use std::collections::BTreeSet;

use num_rational::BigRational;
use num_traits::Zero;

/// A function with a fixed meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Func {
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Tangent.
    Tan,
    /// Cotangent.
    Cot,
    /// Secant.
    Sec,
    /// Cosecant.
    Csc,
    /// Arc sine.
    Asin,
    /// Arc cosine.
    Acos,
    /// Arc tangent.
    Atan,
    /// Arc cotangent, in (0, π).
    Acot,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Hyperbolic tangent.
    Tanh,
    /// Hyperbolic cotangent.
    Coth,
    /// Inverse hyperbolic sine.
    Asinh,
    /// Inverse hyperbolic cosine.
    Acosh,
    /// Inverse hyperbolic tangent.
    Atanh,
    /// Natural logarithm.
    Ln,
    /// Logarithm without a base: to base 10, though many write it for the natural one.
    Log,
    /// Logarithm of the second argument to the base of the first.
    LogBase,
    /// Exponential.
    Exp,
    /// Absolute value.
    Abs,
    /// Largest integer not above.
    Floor,
    /// Smallest integer not below.
    Ceil,
    /// Greatest common divisor.
    Gcd,
    /// Least common multiple.
    Lcm,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// Remainder with the sign of the divisor.
    Mod,
    /// Remainder that stands for all numbers congruent to it: `3 (mod 7)`.
    Residue,
    /// Binomial coefficient.
    Binom,
    /// Factorial.
    Factorial,
}

/// A symbol with a fixed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Const {
    /// π.
    Pi,
    /// Euler's number.
    E,
    /// The imaginary unit.
    I,
    /// Infinity.
    Infinity,
}

/// A bracket. Left and right may differ, as in `[0, 1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bracket {
    /// `(`
    Round,
    /// `[`
    Square,
    /// `\{`: a set.
    Curly,
    /// `{`: LaTeX grouping, which does not show.
    Group,
    /// `\langle`: a vector.
    Angle,
    /// `\lfloor`
    Floor,
    /// `\lceil`
    Ceil,
}

/// A relation between two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// `=`
    Equal,
    /// `≈`
    Approx,
    /// `≠`
    NotEqual,
    /// `<`
    Less,
    /// `≤`
    LessEqual,
    /// `>`
    Greater,
    /// `≥`
    GreaterEqual,
    /// `∈`
    In,
    /// `∉`
    NotIn,
    /// Any other: `⊂`, `≡`, `∼`, `→`, `⊥`, `∥`, compared by its name.
    Other(&'static str),
}

impl Relation {
    /// The same relation read from right to left.
    pub fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            other => other,
        }
    }

    /// Whether it is `<`, `≤`, `>` or `≥`.
    pub fn orders(self) -> bool {
        matches!(self, Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual)
    }
}

/// An operation on sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetOp {
    /// `∪`
    Union,
    /// `∩`
    Intersection,
    /// `∖`
    Difference,
}

/// How the elements of a list without brackets are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Join {
    /// Commas or semicolons only.
    Comma,
    /// A word for "and".
    And,
    /// A word for "or".
    Or,
}

/// A sum or a product over an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fold {
    /// `Σ`
    Sum,
    /// `Π`
    Product,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expr {
    /// A number as written: its value and its digits after the decimal point.
    Num(BigRational, u32),
    /// A constant.
    Const(Const),
    /// A variable, with its subscript and accents in its name.
    Var(String),
    /// The negative.
    Neg(Box<Expr>),
    /// A sum.
    Add(Vec<Expr>),
    /// A product.
    Mul(Vec<Expr>),
    /// A quotient.
    Div(Box<Expr>, Box<Expr>),
    /// A power.
    Pow(Box<Expr>, Box<Expr>),
    /// A root: degree and radicand.
    Root(Box<Expr>, Box<Expr>),
    /// A known function of its arguments.
    Call(Func, Vec<Expr>),
    /// An unknown function or an indexed sequence, such as `f(2)` or `a_{n-1}`.
    Apply(String, Vec<Expr>),
    /// `a ± b`, or `a ∓ b` when the flag is set.
    PlusMinus(Box<Expr>, Box<Expr>, bool),
    /// Sum or product: index, first and last value, body.
    Fold(Fold, String, Box<Expr>, Box<Expr>, Box<Expr>),
    /// Something that is only compared by its writing, such as an integral.
    Opaque(String),
    /// Bracketed elements: tuples, intervals, sets.
    Seq(Bracket, Vec<Expr>, Bracket),
    /// Elements without brackets.
    List(Vec<Expr>, Join),
    /// An operation on two sets.
    SetOp(SetOp, Box<Expr>, Box<Expr>),
    /// The set of all elements for which the conditions hold.
    Builder(Box<Expr>, Box<Expr>),
    /// `∅`
    EmptySet,
    /// `ℕ`, `ℤ`, `ℚ`, `ℝ` or `ℂ`, with its decoration such as `+`.
    NumberSet(String),
    /// Rows of a matrix; the flag marks a determinant.
    Matrix(Vec<Vec<Expr>>, bool),
    /// A chain of relations: one side more than there are relations.
    Chain(Vec<Expr>, Vec<Relation>),
    /// Words.
    Text(String),
    /// `a : b : c`
    Ratio(Vec<Expr>),
    /// A value and its unit.
    Quantity(Box<Expr>, String),
    /// `x %`
    Percent(Box<Expr>),
    /// `x °`
    Degree(Box<Expr>),
    /// Digits and base.
    Base(String, u32),
}

impl Expr {
    /// An integer.
    pub fn int(value: i64) -> Self {
        Self::Num(BigRational::from_integer(value.into()), 0)
    }

    /// A known function of one argument.
    pub fn call(func: Func, argument: Self) -> Self {
        Self::Call(func, vec![argument])
    }

    /// The negative, folded into number literals.
    pub fn negative(self) -> Self {
        match self {
            Self::Num(value, places) if !value.is_zero() => Self::Num(-value, places),
            Self::Quantity(value, unit) => Self::Quantity(Box::new(value.negative()), unit),
            Self::Percent(value) => Self::Percent(Box::new(value.negative())),
            Self::Degree(value) => Self::Degree(Box::new(value.negative())),
            other => Self::Neg(Box::new(other)),
        }
    }

    /// The elements directly below.
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Num(..)
            | Self::Const(_)
            | Self::Var(_)
            | Self::Opaque(_)
            | Self::EmptySet
            | Self::NumberSet(_)
            | Self::Text(_)
            | Self::Base(..) => Vec::new(),
            Self::Neg(a) | Self::Quantity(a, _) | Self::Percent(a) | Self::Degree(a) => vec![a],
            Self::Div(a, b)
            | Self::Pow(a, b)
            | Self::Root(a, b)
            | Self::PlusMinus(a, b, _)
            | Self::SetOp(_, a, b)
            | Self::Builder(a, b) => vec![a, b],
            Self::Fold(_, _, a, b, c) => vec![a, b, c],
            Self::Add(items)
            | Self::Mul(items)
            | Self::Call(_, items)
            | Self::Apply(_, items)
            | Self::Seq(_, items, _)
            | Self::List(items, _)
            | Self::Chain(items, _)
            | Self::Ratio(items) => items.iter().collect(),
            Self::Matrix(rows, _) => rows.iter().flatten().collect(),
        }
    }

    /// The same tree with every element directly below replaced.
    pub fn map(&self, change: &dyn Fn(&Self) -> Self) -> Self {
        let one = |item: &Self| Box::new(change(item));
        let all = |items: &[Self]| items.iter().map(change).collect();
        match self {
            Self::Num(..)
            | Self::Const(_)
            | Self::Var(_)
            | Self::Opaque(_)
            | Self::EmptySet
            | Self::NumberSet(_)
            | Self::Text(_)
            | Self::Base(..) => self.clone(),
            Self::Neg(a) => Self::Neg(one(a)),
            Self::Quantity(a, unit) => Self::Quantity(one(a), unit.clone()),
            Self::Percent(a) => Self::Percent(one(a)),
            Self::Degree(a) => Self::Degree(one(a)),
            Self::Div(a, b) => Self::Div(one(a), one(b)),
            Self::Pow(a, b) => Self::Pow(one(a), one(b)),
            Self::Root(a, b) => Self::Root(one(a), one(b)),
            Self::PlusMinus(a, b, minus) => Self::PlusMinus(one(a), one(b), *minus),
            Self::SetOp(op, a, b) => Self::SetOp(*op, one(a), one(b)),
            Self::Builder(a, b) => Self::Builder(one(a), one(b)),
            Self::Fold(fold, index, a, b, c) => Self::Fold(*fold, index.clone(), one(a), one(b), one(c)),
            Self::Add(items) => Self::Add(all(items)),
            Self::Mul(items) => Self::Mul(all(items)),
            Self::Call(func, items) => Self::Call(*func, all(items)),
            Self::Apply(name, items) => Self::Apply(name.clone(), all(items)),
            Self::Seq(open, items, close) => Self::Seq(*open, all(items), *close),
            Self::List(items, join) => Self::List(all(items), *join),
            Self::Chain(items, relations) => Self::Chain(all(items), relations.clone()),
            Self::Ratio(items) => Self::Ratio(all(items)),
            Self::Matrix(rows, determinant) => Self::Matrix(rows.iter().map(|row| all(row)).collect(), *determinant),
        }
    }

    /// The tree with every occurrence of a variable replaced.
    pub fn with(&self, name: &str, value: &Self) -> Self {
        match self {
            Self::Var(found) if found == name => value.clone(),
            Self::Fold(_, index, ..) if index == name => self.clone(),
            other => other.map(&|child| child.with(name, value)),
        }
    }

    /// Whether the predicate holds here or anywhere below.
    pub fn any(&self, predicate: &dyn Fn(&Self) -> bool) -> bool {
        predicate(self) || self.children().into_iter().any(|child| child.any(predicate))
    }

    /// The names of all variables, indices of sums excepted.
    pub fn variables(&self) -> BTreeSet<String> {
        match self {
            Self::Var(name) => BTreeSet::from([name.clone()]),
            Self::Fold(_, index, ..) => {
                let mut names: BTreeSet<_> = self.children().iter().flat_map(|child| child.variables()).collect();
                names.remove(index);
                names
            }
            _ => self.children().iter().flat_map(|child| child.variables()).collect(),
        }
    }

    /// Whether it is a number, an expression or anything else that has one value at every point.
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Num(..) | Self::Const(_) | Self::Var(_) | Self::Opaque(_) => true,
            Self::Neg(_)
            | Self::Add(_)
            | Self::Mul(_)
            | Self::Div(..)
            | Self::Pow(..)
            | Self::Root(..)
            | Self::Call(..)
            | Self::Apply(..)
            | Self::Fold(..)
            | Self::Quantity(..)
            | Self::Percent(_)
            | Self::Degree(_) => self.children().into_iter().all(Self::is_scalar),
            Self::Base(..) => true,
            _ => false,
        }
    }
}
