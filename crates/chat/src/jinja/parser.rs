//! Tokens to a syntax tree: statements.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::SyntaxError;
use super::lexer::{Token, TokenKind, tokens};
use super::syntax::{Call, Expr, ExprKind, For, Macro, Node, Target};

/// Statements nested this deep are refused, so that no template overflows the stack.
const DEPTH: usize = 100;

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    pub(super) depth: usize,
    /// Whether the statement stands directly in a branch of an `if`. There Jinja puts off its complaint about a filter
    /// that it does not know until it is used.
    pub(super) soft: bool,
    /// The first complaint about an unknown filter or test in the statement at hand.
    pub(super) unknown: Option<SyntaxError>,
    /// The names that macro bodies read, to learn whether they use `varargs`, `kwargs` or `caller`.
    pub(super) names_read: Vec<Vec<Arc<str>>>,
    loops: usize,
    /// How many blocks with names of their own stand around the statement.
    scopes: usize,
    /// Names that are read or set outside of such blocks, and those that are read inside of them.
    pub(super) outer_names: BTreeSet<Arc<str>>,
    pub(super) inner_names: BTreeSet<Arc<str>>,
    hidden: Vec<Arc<str>>,
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub body: Vec<Node>,
    /// Names that the template sets outside of all blocks, having read them only inside of some before. Jinja takes
    /// them for its own from the start: until they are set, they hide variables of the same name.
    pub hidden: Vec<Arc<str>>,
}

/// Parses a template.
pub(crate) fn parse(source: &str) -> Result<Parsed, SyntaxError> {
    let tokens = tokens(source)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        soft: false,
        unknown: None,
        names_read: Vec::new(),
        loops: 0,
        scopes: 0,
        outer_names: BTreeSet::new(),
        inner_names: BTreeSet::new(),
        hidden: Vec::new(),
    };
    let (body, _) = parser.body(&[])?;
    Ok(Parsed { body, hidden: parser.hidden })
}

impl Parser {
    pub(super) fn peek(&self) -> &TokenKind {
        self.look(0)
    }

    pub(super) fn look(&self, ahead: usize) -> &TokenKind {
        self.tokens.get(self.at + ahead).map_or(&TokenKind::End, |token| &token.kind)
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    pub(super) fn next(&mut self) -> TokenKind {
        let kind = self.peek().clone();
        self.at += 1;
        kind
    }

    pub(super) fn is_op(&self, operator: &str) -> bool {
        matches!(self.peek(), TokenKind::Op(found) if *found == operator)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), TokenKind::Name(found) if &**found == name)
    }

    pub(super) fn skip_op(&mut self, operator: &str) -> bool {
        let found = self.is_op(operator);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_op(&mut self, operator: &str) -> Result<(), SyntaxError> {
        if self.skip_op(operator) { Ok(()) } else { Err(self.unexpected(&format!("`{operator}`"))) }
    }

    pub(super) fn name(&mut self) -> Result<Arc<str>, SyntaxError> {
        match self.peek() {
            TokenKind::Name(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line(), reason: reason.into() }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> SyntaxError {
        let found = match self.peek() {
            TokenKind::Data(_) => "text".to_owned(),
            TokenKind::VariableBegin => "`{{`".to_owned(),
            TokenKind::VariableEnd => "`}}`".to_owned(),
            TokenKind::BlockBegin => "`{%`".to_owned(),
            TokenKind::BlockEnd => "`%}`".to_owned(),
            TokenKind::Name(name) => format!("`{name}`"),
            TokenKind::Str(_) => "a string".to_owned(),
            TokenKind::Int(_) | TokenKind::Float(_) => "a number".to_owned(),
            TokenKind::Op(operator) => format!("`{operator}`"),
            TokenKind::End => "the end of the template".to_owned(),
        };
        self.error(format!("expected {wanted}, found {found}"))
    }

    fn block_end(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            TokenKind::BlockEnd => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.unexpected("`%}`")),
        }
    }

    /// Statements up to a tag that begins with one of `ends` (whose name is passed and returned), or to the end of the
    /// template when there are none.
    fn body(&mut self, ends: &[&str]) -> Result<(Vec<Node>, Arc<str>), SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.error("statements are nested too deeply"));
        }
        let mut nodes = Vec::new();
        loop {
            if let Some(error) = self.unknown.take() {
                return Err(error);
            }
            match self.next() {
                TokenKind::Data(text) => nodes.push(Node::Data(text)),
                TokenKind::VariableBegin => {
                    nodes.push(Node::Print(self.tuple(true)?));
                    if self.next() != TokenKind::VariableEnd {
                        self.at -= 1;
                        return Err(self.unexpected("`}}`"));
                    }
                }
                TokenKind::BlockBegin => {
                    let TokenKind::Name(name) = self.peek().clone() else {
                        return Err(self.unexpected("the name of a tag"));
                    };
                    if ends.contains(&&*name) {
                        self.at += 1;
                        self.depth -= 1;
                        return Ok((nodes, name));
                    }
                    self.statement(&name, &mut nodes)?;
                    self.block_end()?;
                }
                TokenKind::End if ends.is_empty() => {
                    self.depth -= 1;
                    return Ok((nodes, Arc::from("")));
                }
                _ => {
                    self.at -= 1;
                    return Err(self.unexpected(&format!("`{{% {} %}}`", ends.join(" %}` or `{% "))));
                }
            }
        }
    }

    /// The body of a statement: behind the rest of its opening tag, up to one of `ends`.
    fn block(&mut self, ends: &[&str]) -> Result<(Vec<Node>, Arc<str>), SyntaxError> {
        self.skip_op(":");
        self.block_end()?;
        self.body(ends)
    }

    /// The body of a statement that has names of its own.
    fn scope(&mut self, ends: &[&str]) -> Result<(Vec<Node>, Arc<str>), SyntaxError> {
        let soft = std::mem::take(&mut self.soft);
        self.scopes += 1;
        let body = self.block(ends);
        self.scopes -= 1;
        self.soft = soft;
        body
    }

    /// Notes that a name is read.
    pub(super) fn reads(&mut self, name: &Arc<str>) {
        for read in &mut self.names_read {
            read.push(name.clone());
        }
        let names = if self.scopes == 0 { &mut self.outer_names } else { &mut self.inner_names };
        names.insert(name.clone());
    }

    /// Notes that a name is set.
    fn sets(&mut self, target: &Target) {
        match target {
            Target::Name(name) if self.scopes == 0 => {
                let first = self.outer_names.insert(name.clone());
                if first && !self.soft && self.inner_names.contains(name) {
                    self.hidden.push(name.clone());
                }
            }
            Target::Tuple(targets) => targets.iter().for_each(|target| self.sets(target)),
            _ => {}
        }
    }

    fn statement(&mut self, name: &str, nodes: &mut Vec<Node>) -> Result<(), SyntaxError> {
        self.at += 1;
        let node = match name {
            "for" => self.for_statement()?,
            "if" => self.if_statement()?,
            "set" => self.set_statement()?,
            "macro" => {
                let name = self.name()?;
                Node::Macro(Arc::new(self.macro_rest(Some(name), "endmacro")?))
            }
            "call" => {
                let (parameters, defaults) = if self.is_op("(") { self.signature()? } else { Default::default() };
                let call = self.expression()?;
                if !matches!(call.kind, ExprKind::Call(..)) {
                    return Err(self.error("`{% call %}` needs a call of a macro"));
                }
                let caller = self.macro_body(None, parameters, defaults, "endcall")?;
                Node::CallBlock { call, caller: Arc::new(caller) }
            }
            "filter" => {
                let filters = self.filters(true)?;
                Node::FilterBlock { filters, body: self.scope(&["endfilter"])?.0 }
            }
            "with" => {
                let mut assignments = Vec::new();
                while !matches!(self.peek(), TokenKind::BlockEnd) {
                    if !assignments.is_empty() {
                        self.expect_op(",")?;
                    }
                    let target = self.target(false)?;
                    self.expect_op("=")?;
                    assignments.push((target, self.expression()?));
                }
                Node::With { assignments, body: self.scope(&["endwith"])?.0 }
            }
            "generation" => Node::Scope(self.scope(&["endgeneration"])?.0),
            "block" => {
                let name = self.name()?;
                while self.skip_name("scoped") || self.skip_name("required") {}
                let body = self.scope(&["endblock"])?.0;
                self.skip_name(&name);
                Node::Scope(body)
            }
            "autoescape" => return Err(self.error("`{% autoescape %}` is not supported")),
            "print" => {
                while !matches!(self.peek(), TokenKind::BlockEnd) {
                    if matches!(nodes.last(), Some(Node::Print(_))) && self.is_op(",") {
                        self.at += 1;
                    }
                    nodes.push(Node::Print(self.expression()?));
                }
                return Ok(());
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(self.error(format!("`{{% {name} %}}` outside of a loop")));
                }
                if name == "break" { Node::Break } else { Node::Continue }
            }
            "include" | "import" | "from" | "extends" => {
                while !matches!(self.peek(), TokenKind::BlockEnd | TokenKind::End) {
                    self.at += 1;
                }
                Node::Loads(match name {
                    "include" => "include",
                    "import" => "import",
                    "from" => "from",
                    _ => "extends",
                })
            }
            other => return Err(self.error(format!("unknown tag `{other}`"))),
        };
        nodes.push(node);
        Ok(())
    }

    fn for_statement(&mut self) -> Result<Node, SyntaxError> {
        let target = self.target(false)?;
        if !self.skip_name("in") {
            return Err(self.unexpected("`in`"));
        }
        let iterable = self.tuple(false)?;
        let condition = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.loops += 1;
        let (body, end) = self.scope(&["endfor", "else"])?;
        self.loops -= 1;
        let otherwise = if &*end == "else" { self.scope(&["endfor"])?.0 } else { Vec::new() };
        Ok(Node::For(Arc::new(For { target, iterable, condition, body, otherwise, recursive })))
    }

    fn if_statement(&mut self) -> Result<Node, SyntaxError> {
        let soft = std::mem::replace(&mut self.soft, true);
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = self.tuple(false)?;
            let (body, end) = self.block(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            match &*end {
                "elif" => {}
                "else" => {
                    otherwise = self.block(&["endif"])?.0;
                    break;
                }
                _ => break,
            }
        }
        self.soft = soft;
        Ok(Node::If { branches, otherwise })
    }

    fn set_statement(&mut self) -> Result<Node, SyntaxError> {
        let target = self.target(true)?;
        if self.skip_op("=") {
            let value = self.tuple(true)?;
            self.sets(&target);
            return Ok(Node::Set { target, value });
        }
        let filters = self.filters(false)?;
        self.sets(&target);
        Ok(Node::SetBlock { target, filters, body: self.scope(&["endset"])?.0 })
    }

    fn macro_rest(&mut self, name: Option<Arc<str>>, end: &str) -> Result<Macro, SyntaxError> {
        let (parameters, defaults) = self.signature()?;
        self.macro_body(name, parameters, defaults, end)
    }

    fn signature(&mut self) -> Result<(Vec<Arc<str>>, Vec<Expr>), SyntaxError> {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        self.expect_op("(")?;
        while !self.is_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
            }
            parameters.push(self.name()?);
            if self.skip_op("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return Err(self.error("non-default argument follows default argument"));
            }
        }
        self.expect_op(")")?;
        Ok((parameters, defaults))
    }

    fn macro_body(
        &mut self,
        name: Option<Arc<str>>,
        parameters: Vec<Arc<str>>,
        defaults: Vec<Expr>,
        end: &str,
    ) -> Result<Macro, SyntaxError> {
        self.names_read.push(Vec::new());
        let loops = std::mem::take(&mut self.loops);
        let body = self.scope(&[end])?.0;
        self.loops = loops;
        let read = self.names_read.pop().unwrap_or_default();
        let reads = |name: &str| read.iter().any(|other| &**other == name);
        let free = |name: &str| reads(name) && !parameters.iter().any(|parameter| &**parameter == name);
        let (varargs, kwargs, caller) = (free("varargs"), free("kwargs"), reads("caller"));
        Ok(Macro { name, parameters, defaults, body, varargs, kwargs, caller })
    }

    /// The filters of a block: `| f | g`, or `f | g` when the first stands right behind the tag's name.
    fn filters(&mut self, inline: bool) -> Result<Vec<Call>, SyntaxError> {
        let mut filters = Vec::new();
        while (inline && filters.is_empty()) || self.skip_op("|") {
            filters.push(self.filter_call()?);
        }
        Ok(filters)
    }

    /// What an assignment writes to.
    fn target(&mut self, with_namespace: bool) -> Result<Target, SyntaxError> {
        let mut targets = Vec::new();
        let mut tuple = false;
        loop {
            if matches!(self.peek(), TokenKind::BlockEnd) || self.is_name("in") {
                break;
            }
            targets.push(if self.skip_op("(") {
                let inner = self.target(with_namespace)?;
                self.expect_op(")")?;
                inner
            } else {
                let name = self.name()?;
                if ["true", "false", "none", "True", "False", "None"].contains(&&*name) {
                    return Err(self.error(format!("cannot assign to `{name}`")));
                }
                if with_namespace && self.skip_op(".") {
                    Target::Attribute(name, self.name()?)
                } else {
                    Target::Name(name)
                }
            });
            if !self.skip_op(",") {
                break;
            }
            tuple = true;
        }
        match targets.pop() {
            Some(target) if !tuple => Ok(target),
            Some(target) => {
                targets.push(target);
                Ok(Target::Tuple(targets))
            }
            None => Err(self.unexpected("a name to assign to")),
        }
    }
}
