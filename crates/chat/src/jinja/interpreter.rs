//! Runs a template's statements.
//!
//! Names behave as in Jinja: a loop's pass, a macro, a call block, a `set` or `filter` block and a `generation` block
//! have names of their own and see those around them; an `if` has none. A macro sees the names around its definition
//! as they stand when it is called.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Arguments;
use super::error::RenderError;
use super::filters;
use super::globals;
use super::operators::LARGEST;
use super::scope::{LoopState, Scope};
use super::strftime::Date;
use super::syntax::{Call, Expr, For, Macro, Node, Target};
use super::text::{Text, TextBuilder};
use super::value::{Dict, Object, Value};

/// Steps that one rendering may take; a turn of a real template takes some hundred.
const FUEL: u64 = 5_000_000;
/// Bytes that one rendering may copy or write in all.
const BYTES: usize = 4 << 30;
/// Bytes of the stack that one rendering may use, of the 2 MiB that threads usually have.
const STACK: usize = 1 << 20;

/// Whether a loop's pass goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    Break,
    Continue,
}

pub(crate) struct Interpreter<'a> {
    /// The variables that the template is given.
    context: &'a Dict,
    pub(super) date: Date,
    fuel: u64,
    bytes: usize,
    /// Where the stack was when rendering began.
    stack: usize,
    /// Scopes that macros hold on to, which hold the macros: emptied at the end, so that nothing is leaked.
    closures: Vec<Rc<Scope>>,
    loop_name: Arc<str>,
}

impl Drop for Interpreter<'_> {
    fn drop(&mut self) {
        for scope in &self.closures {
            scope.names.borrow_mut().clear();
        }
    }
}

impl<'a> Interpreter<'a> {
    pub(crate) fn new(context: &'a Dict, date: Date) -> Self {
        let loop_name = Arc::from("loop");
        Self { context, date, fuel: FUEL, bytes: BYTES, stack: stack_address(), closures: Vec::new(), loop_name }
    }

    /// Renders a whole template; variables of the `hidden` names are not seen until the template sets its own.
    pub(crate) fn render(&mut self, nodes: &[Node], hidden: &[Arc<str>]) -> Result<Text, RenderError> {
        let scope = Rc::new(Scope::default());
        for name in hidden {
            scope.set(name, Value::undefined(format!("'{name}' is undefined")));
        }
        self.rendered(nodes, &scope)
    }

    pub(super) fn step(&mut self) -> Result<(), RenderError> {
        self.fuel = self.fuel.checked_sub(1).ok_or_else(|| RenderError::limit("the template runs too long"))?;
        Ok(())
    }

    /// Goes one level deeper, if the stack allows it.
    pub(super) fn enter(&mut self) -> Result<(), RenderError> {
        if self.stack.abs_diff(stack_address()) > STACK {
            return Err(RenderError::limit("the template nests too deeply"));
        }
        self.step()
    }

    /// Accounts for a string that was made.
    pub(super) fn made(&mut self, text: &Text) -> Result<(), RenderError> {
        let length = text.as_str().len();
        self.bytes =
            self.bytes.checked_sub(length).ok_or_else(|| RenderError::limit("the template writes too much"))?;
        if length > LARGEST { Err(RenderError::limit("a string grows too long")) } else { Ok(()) }
    }

    pub(super) fn lookup(&self, name: &str, scope: &Scope) -> Value {
        scope
            .get(name)
            .or_else(|| self.context.get_str(name).cloned())
            .or_else(|| globals::global(name))
            .unwrap_or_else(|| Value::undefined(format!("'{name}' is undefined")))
    }

    /// The text of a block.
    fn rendered(&mut self, nodes: &[Node], scope: &Rc<Scope>) -> Result<Text, RenderError> {
        let mut output = TextBuilder::default();
        self.run(nodes, scope, &mut output)?;
        let text = output.finish();
        self.made(&text)?;
        Ok(text)
    }

    fn run(&mut self, nodes: &[Node], scope: &Rc<Scope>, output: &mut TextBuilder) -> Result<Flow, RenderError> {
        for node in nodes {
            self.enter()?;
            let flow = self.statement(node, scope, output)?;
            if flow != Flow::On {
                return Ok(flow);
            }
            if output.len() > LARGEST {
                return Err(RenderError::limit("the template writes too much"));
            }
        }
        Ok(Flow::On)
    }

    fn statement(&mut self, node: &Node, scope: &Rc<Scope>, output: &mut TextBuilder) -> Result<Flow, RenderError> {
        match node {
            Node::Data(text) => output.push_str(text),
            Node::Print(expression) => {
                let text = self.evaluate(expression, scope)?.to_text().map_err(|error| error.at(expression.line))?;
                output.push(&text);
            }
            Node::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.evaluate(condition, scope)?.is_true() {
                        return self.run(body, scope, output);
                    }
                }
                return self.run(otherwise, scope, output);
            }
            Node::For(node) => {
                let items = self.evaluate(&node.iterable, scope)?;
                self.for_loop(node, &items, scope, 0, output)?;
            }
            Node::Set { target, value } => {
                let value_of = self.evaluate(value, scope)?;
                assign(target, value_of, scope).map_err(|error| error.at(value.line))?;
            }
            Node::SetBlock { target, filters, body } => {
                let text = self.rendered(body, &Scope::inside(scope))?;
                let value = self.filtered(Value::Str(text), filters, scope)?;
                assign(target, value, scope)?;
            }
            Node::FilterBlock { filters, body } => {
                let text = self.rendered(body, &Scope::inside(scope))?;
                output.push(&self.filtered(Value::Str(text), filters, scope)?.to_text()?);
            }
            Node::Macro(definition) => {
                let value = self.closure(definition, scope);
                if let Some(name) = &definition.name {
                    scope.set(name, value);
                }
            }
            Node::CallBlock { call, caller } => {
                let caller = self.closure(caller, scope);
                let text = self.call_block(call, caller, scope)?.to_text()?;
                output.push(&text);
            }
            Node::With { assignments, body } => {
                let inner = Scope::inside(scope);
                for (target, value) in assignments {
                    assign(target, self.evaluate(value, scope)?, &inner)?;
                }
                return self.run(body, &inner, output);
            }
            Node::Scope(body) => return self.run(body, &Scope::inside(scope), output),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Loads(statement) => {
                return Err(RenderError::new(format!("`{{% {statement} %}}` has no loader to load from")));
            }
        }
        Ok(Flow::On)
    }

    fn closure(&mut self, definition: &Arc<Macro>, scope: &Rc<Scope>) -> Value {
        self.closures.push(scope.clone());
        Value::object(Object::Macro { definition: definition.clone(), scope: scope.clone() })
    }

    fn filtered(&mut self, value: Value, filters: &[Call], scope: &Rc<Scope>) -> Result<Value, RenderError> {
        filters.iter().try_fold(value, |value, filter| {
            let arguments = self.arguments(&filter.arguments, scope)?;
            filters::apply(&filter.name, value, arguments)
        })
    }

    fn for_loop(
        &mut self,
        node: &Arc<For>,
        items: &Value,
        scope: &Rc<Scope>,
        depth0: usize,
        output: &mut TextBuilder,
    ) -> Result<(), RenderError> {
        let waiting: VecDeque<Value> = items.items().map_err(|error| error.at(node.iterable.line))?.into();
        let sized = node.condition.is_none() && items.length().is_some();
        let state = LoopState {
            node: node.clone(),
            scope: scope.clone(),
            length: sized.then_some(waiting.len()),
            waiting,
            ready: VecDeque::new(),
            index0: 0,
            depth0,
            previous: None,
            current: None,
            changed: None,
        };
        let object = Rc::new(Object::Loop(RefCell::new(state)));
        let Object::Loop(state) = &*object else { return Ok(()) };
        let mut any = false;
        while self.fetch(state)? {
            self.step()?;
            let item = {
                let mut state = state.borrow_mut();
                let item = state.ready.pop_front().unwrap_or(Value::None);
                state.index0 = if any { state.index0 + 1 } else { 0 };
                state.previous = state.current.replace(item.clone());
                item
            };
            any = true;
            let inner = Scope::inside(scope);
            inner.set(&self.loop_name, Value::Object(object.clone()));
            assign(&node.target, item, &inner).map_err(|error| error.at(node.iterable.line))?;
            if self.run(&node.body, &inner, output)? == Flow::Break {
                break;
            }
        }
        if !any {
            self.run(&node.otherwise, &Scope::inside(scope), output)?;
        }
        Ok(())
    }

    /// Makes sure that the loop's next item is ready; false when there is none.
    pub(super) fn fetch(&mut self, state: &RefCell<LoopState>) -> Result<bool, RenderError> {
        while state.borrow().ready.is_empty() {
            let (item, node, scope) = {
                let mut state = state.borrow_mut();
                let Some(item) = state.waiting.pop_front() else { return Ok(false) };
                (item, state.node.clone(), state.scope.clone())
            };
            let keep = match &node.condition {
                None => true,
                Some(condition) => {
                    self.step()?;
                    let inner = Scope::inside(&scope);
                    assign(&node.target, item.clone(), &inner)?;
                    self.evaluate(condition, &inner)?.is_true()
                }
            };
            if keep {
                state.borrow_mut().ready.push_back(item);
            }
        }
        Ok(true)
    }

    /// The item after the current one, if there is one.
    pub(super) fn next_item(&mut self, state: &RefCell<LoopState>) -> Result<Option<Value>, RenderError> {
        self.fetch(state)?;
        Ok(state.borrow().ready.front().cloned())
    }

    /// How many items the loop has in all.
    pub(super) fn loop_length(&mut self, state: &RefCell<LoopState>) -> Result<usize, RenderError> {
        if let Some(length) = state.borrow().length {
            return Ok(length);
        }
        let mut coming = VecDeque::new();
        while self.fetch(state)? {
            coming.extend(state.borrow_mut().ready.pop_front());
        }
        let mut state = state.borrow_mut();
        let length = state.index0 + 1 + coming.len();
        state.ready = coming;
        state.length = Some(length);
        Ok(length)
    }

    /// `loop(items)` in a recursive loop.
    pub(super) fn recurse(&mut self, state: &RefCell<LoopState>, items: &Value) -> Result<Value, RenderError> {
        let (node, scope, depth0) = {
            let state = state.borrow();
            (state.node.clone(), state.scope.clone(), state.depth0 + 1)
        };
        if !node.recursive {
            return Err(RenderError::new("the loop must have the 'recursive' marker to be called recursively"));
        }
        let mut output = TextBuilder::default();
        self.for_loop(&node, items, &scope, depth0, &mut output)?;
        Ok(Value::Str(output.finish()))
    }

    /// Calls a macro, or the body of a call block.
    pub(super) fn call_macro(
        &mut self,
        definition: &Arc<Macro>,
        scope: &Rc<Scope>,
        arguments: Arguments,
    ) -> Result<Value, RenderError> {
        let name = definition.name.as_deref().unwrap_or("caller");
        let Arguments { mut positional, mut keywords } = arguments;
        let inner = Scope::inside(scope);
        let count = definition.parameters.len();
        let extra = positional.split_off(positional.len().min(count));
        if !extra.is_empty() && !definition.varargs {
            return Err(RenderError::new(format!("macro '{name}' takes not more than {count} argument(s)")));
        }
        let caller = keywords.iter().position(|(given, _)| &**given == "caller");
        let explicit = definition.parameters.iter().any(|parameter| &**parameter == "caller");
        if definition.caller && !explicit {
            let caller = caller.map(|at| keywords.remove(at).1);
            let caller = caller.filter(|caller| !matches!(caller, Value::None));
            inner.set(&"caller".into(), caller.unwrap_or_else(|| Value::undefined("No caller defined")));
        }
        let mut given = positional.into_iter();
        let mut missing = Vec::new();
        for (index, parameter) in definition.parameters.iter().enumerate() {
            let named = keywords.iter().position(|(other, _)| other == parameter);
            match (given.next(), named) {
                (Some(value), _) => inner.set(parameter, value),
                (None, Some(at)) => inner.set(parameter, keywords.remove(at).1),
                (None, None) => missing.push((index, parameter)),
            }
        }
        for (index, parameter) in missing {
            let default = (index + definition.defaults.len()).checked_sub(count);
            let value = match default {
                Some(default) => self.evaluate(&definition.defaults[default], &inner)?,
                None => Value::undefined(format!("parameter '{parameter}' was not provided")),
            };
            inner.set(parameter, value);
        }
        if definition.kwargs {
            let pairs = keywords.into_iter().map(|(name, value)| (Value::from(&*name), value)).collect();
            inner.set(&"kwargs".into(), Value::Dict(Rc::new(Dict(pairs))));
        } else if let Some((keyword, _)) = keywords.first() {
            return Err(RenderError::new(format!("macro '{name}' takes no keyword argument '{keyword}'")));
        }
        if definition.varargs {
            inner.set(&"varargs".into(), Value::Tuple(Rc::new(extra)));
        }
        self.rendered(&definition.body, &inner).map(Value::Str)
    }

    fn call_block(&mut self, call: &Expr, caller: Value, scope: &Rc<Scope>) -> Result<Value, RenderError> {
        let super::syntax::ExprKind::Call(function, arguments) = &call.kind else {
            return Err(RenderError::new("a call block needs a call"));
        };
        let function = self.evaluate(function, scope)?;
        let mut arguments = self.arguments(arguments, scope)?;
        arguments.keywords.push(("caller".into(), caller));
        self.call(&function, arguments).map_err(|error| error.at(call.line))
    }
}

fn assign(target: &Target, value: Value, scope: &Scope) -> Result<(), RenderError> {
    match target {
        Target::Name(name) => scope.set(name, value),
        Target::Attribute(name, attribute) => {
            let namespace = scope.get(name);
            let Some(Value::Object(object)) = &namespace else {
                return Err(RenderError::new("cannot assign attribute on non-namespace object"));
            };
            let Object::Namespace(attributes) = &**object else {
                return Err(RenderError::new("cannot assign attribute on non-namespace object"));
            };
            globals::check_attribute(attribute)?;
            attributes.borrow_mut().insert(Value::from(&**attribute), value);
        }
        Target::Tuple(targets) => {
            let items = value
                .items()
                .map_err(|_| RenderError::new(format!("cannot unpack non-iterable {} object", value.type_name())))?;
            if items.len() != targets.len() {
                let found = if items.len() > targets.len() { "too many" } else { "not enough" };
                return Err(RenderError::new(format!("{found} values to unpack (expected {})", targets.len())));
            }
            for (target, item) in targets.iter().zip(items) {
                assign(target, item, scope)?;
            }
        }
    }
    Ok(())
}

/// An address near the top of the stack.
#[inline(never)]
fn stack_address() -> usize {
    let marker = 0u8;
    std::ptr::from_ref(std::hint::black_box(&marker)).addr()
}
