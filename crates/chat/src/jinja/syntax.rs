//! The syntax tree of a template.

use std::sync::Arc;

/// A statement or a stretch of text.
#[derive(Debug)]
pub(crate) enum Node {
    Data(Arc<str>),
    Print(Expr),
    For(Arc<For>),
    If {
        branches: Vec<(Expr, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    Set {
        target: Target,
        value: Expr,
    },
    SetBlock {
        target: Target,
        filters: Vec<Call>,
        body: Vec<Node>,
    },
    Macro(Arc<Macro>),
    /// `{% call(x) f() %}`: the body is handed to `f` as `caller`.
    CallBlock {
        call: Expr,
        caller: Arc<Macro>,
    },
    FilterBlock {
        filters: Vec<Call>,
        body: Vec<Node>,
    },
    With {
        assignments: Vec<(Target, Expr)>,
        body: Vec<Node>,
    },
    /// `{% generation %}` and `{% block %}`: the body has names of its own.
    Scope(Vec<Node>),
    Break,
    Continue,
    /// A statement that needs a loader, which chat templates do not have: it fails when it is reached.
    Loads(&'static str),
}

#[derive(Debug)]
pub(crate) struct For {
    pub target: Target,
    pub iterable: Expr,
    pub condition: Option<Expr>,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
    pub recursive: bool,
}

#[derive(Debug)]
pub(crate) struct Macro {
    /// `None` for the body of a call block.
    pub name: Option<Arc<str>>,
    /// Names of the parameters, and the defaults of the last of them.
    pub parameters: Vec<Arc<str>>,
    pub defaults: Vec<Expr>,
    pub body: Vec<Node>,
    /// Whether the body reads `varargs`, `kwargs` or `caller`, which decides what a call may give.
    pub varargs: bool,
    pub kwargs: bool,
    pub caller: bool,
}

/// What an assignment writes to.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Arc<str>),
    /// `namespace.attribute`
    Attribute(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

/// An expression with the line it stands on.
#[derive(Debug)]
pub(crate) struct Expr {
    pub line: u32,
    /// Levels of the tree below, itself included: bounded, so that no template overflows the stack.
    pub height: u16,
    pub kind: ExprKind,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attribute(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Arguments),
    Filter(Box<Expr>, Box<Call>),
    Test(Box<Expr>, Box<Call>),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    If { condition: Box<Expr>, then: Box<Expr>, otherwise: Option<Box<Expr>> },
}

impl ExprKind {
    /// The height of the highest part.
    pub(crate) fn inner_height(&self) -> u16 {
        let highest = |parts: &[Expr]| parts.iter().map(|part| part.height).max().unwrap_or(0);
        let option = |part: &Option<Box<Expr>>| part.as_ref().map_or(0, |part| part.height);
        match self {
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Str(_) | Self::Name(_) => 0,
            Self::List(items) | Self::Tuple(items) | Self::Concat(items) => highest(items),
            Self::Dict(pairs) => pairs.iter().map(|(key, value)| key.height.max(value.height)).max().unwrap_or(0),
            Self::Attribute(value, _) | Self::Unary(_, value) => value.height,
            Self::Item(a, b) | Self::Binary(_, a, b) | Self::And(a, b) | Self::Or(a, b) => a.height.max(b.height),
            Self::Slice(value, bounds) => bounds.iter().map(option).max().unwrap_or(0).max(value.height),
            Self::Call(value, arguments) => value.height.max(arguments.height()),
            Self::Filter(value, call) | Self::Test(value, call) => value.height.max(call.arguments.height()),
            Self::Compare(first, rest) => rest.iter().map(|(_, part)| part.height).max().unwrap_or(0).max(first.height),
            Self::If { condition, then, otherwise } => condition.height.max(then.height).max(option(otherwise)),
        }
    }
}

impl Arguments {
    fn height(&self) -> u16 {
        let named = self.keywords.iter().map(|(_, value)| value);
        let stars = self.star.iter().chain(&self.double_star).map(|value| &**value);
        self.positional.iter().chain(named).chain(stars).map(|value| value.height).max().unwrap_or(0)
    }
}

/// A filter or a test with its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub name: Arc<str>,
    pub arguments: Arguments,
}

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub positional: Vec<Expr>,
    pub keywords: Vec<(Arc<str>, Expr)>,
    pub star: Option<Box<Expr>>,
    pub double_star: Option<Box<Expr>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Negative,
    Positive,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}
