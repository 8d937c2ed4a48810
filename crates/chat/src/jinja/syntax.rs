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
