//! Evaluates expressions.

use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Arguments;
use super::error::RenderError;
use super::interpreter::Interpreter;
use super::scope::Scope;
use super::syntax::{self, Comparison, Expr, ExprKind, Unary};
use super::text::Text;
use super::value::Function;
use super::value::{Object, Value, concatenated};
use super::{filters, globals, methods, operators, predicates};

type Evaluated = Result<Value, RenderError>;

impl Interpreter<'_> {
    pub(super) fn evaluate(&mut self, expression: &Expr, scope: &Rc<Scope>) -> Evaluated {
        self.enter()?;
        let value = self.evaluate_kind(&expression.kind, scope).map_err(|error| error.at(expression.line))?;
        if let Value::Str(text) = &value
            && matches!(
                expression.kind,
                ExprKind::Binary(..) | ExprKind::Concat(_) | ExprKind::Call(..) | ExprKind::Filter(..)
            )
        {
            self.made(text)?;
        }
        Ok(value)
    }

    fn evaluate_kind(&mut self, kind: &ExprKind, scope: &Rc<Scope>) -> Evaluated {
        Ok(match kind {
            ExprKind::None => Value::None,
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::Int(value) => Value::Int(*value),
            ExprKind::Float(value) => Value::Float(*value),
            ExprKind::Str(text) => Value::Str(Text::from(text)),
            ExprKind::Name(name) => self.lookup(name, scope),
            ExprKind::List(items) => Value::list(self.all(items, scope)?),
            ExprKind::Tuple(items) => Value::Tuple(Rc::new(self.all(items, scope)?)),
            ExprKind::Dict(pairs) => {
                let mut values = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    values.push((self.evaluate(key, scope)?, self.evaluate(value, scope)?));
                }
                operators::dict(values)?
            }
            ExprKind::Attribute(value, name) => {
                let value = self.evaluate(value, scope)?;
                self.attribute(&value, name)?
            }
            ExprKind::Item(value, index) => {
                let value = self.evaluate(value, scope)?;
                let index = self.evaluate(index, scope)?;
                self.item(&value, &index)?
            }
            ExprKind::Slice(value, [start, stop, step]) => {
                let value = self.evaluate(value, scope)?;
                let mut bounds = [None, None, None];
                for (bound, part) in bounds.iter_mut().zip([start, stop, step]) {
                    *bound = part.as_ref().map(|part| self.evaluate(part, scope)).transpose()?;
                }
                operators::slice(&value, bounds)?
            }
            ExprKind::Call(function, arguments) => {
                let function = self.evaluate(function, scope)?;
                let arguments = self.arguments(arguments, scope)?;
                self.call(&function, arguments)?
            }
            ExprKind::Filter(value, filter) => {
                let value = self.evaluate(value, scope)?;
                let arguments = self.arguments(&filter.arguments, scope)?;
                filters::apply(&filter.name, value, arguments)?
            }
            ExprKind::Test(value, test) => {
                let value = self.evaluate(value, scope)?;
                let arguments = self.arguments(&test.arguments, scope)?;
                Value::Bool(predicates::apply(&test.name, &value, &arguments)?)
            }
            ExprKind::Unary(Unary::Not, value) => Value::Bool(!self.evaluate(value, scope)?.is_true()),
            ExprKind::Unary(operator, value) => operators::unary(*operator, &self.evaluate(value, scope)?)?,
            ExprKind::Binary(operator, left, right) => {
                let left = self.evaluate(left, scope)?;
                operators::binary(*operator, &left, &self.evaluate(right, scope)?)?
            }
            ExprKind::Concat(parts) => {
                let values = self.all(parts, scope)?;
                let texts: Vec<Text> = values.iter().map(Value::to_text).collect::<Result<_, _>>()?;
                Value::Str(concatenated(&texts))
            }
            ExprKind::Compare(first, rest) => Value::Bool(self.compare(first, rest, scope)?),
            ExprKind::And(left, right) => {
                let left = self.evaluate(left, scope)?;
                if left.is_true() { self.evaluate(right, scope)? } else { left }
            }
            ExprKind::Or(left, right) => {
                let left = self.evaluate(left, scope)?;
                if left.is_true() { left } else { self.evaluate(right, scope)? }
            }
            ExprKind::If { condition, then, otherwise } => {
                if self.evaluate(condition, scope)?.is_true() {
                    self.evaluate(then, scope)?
                } else {
                    match otherwise {
                        Some(otherwise) => self.evaluate(otherwise, scope)?,
                        None => Value::undefined(
                            "the inline if-expression evaluated to false and no else section was defined",
                        ),
                    }
                }
            }
        })
    }

    fn all(&mut self, expressions: &[Expr], scope: &Rc<Scope>) -> Result<Vec<Value>, RenderError> {
        expressions.iter().map(|expression| self.evaluate(expression, scope)).collect()
    }

    fn compare(&mut self, first: &Expr, rest: &[(Comparison, Expr)], scope: &Rc<Scope>) -> Result<bool, RenderError> {
        let mut left = self.evaluate(first, scope)?;
        for (comparison, right) in rest {
            let right = self.evaluate(right, scope)?;
            if !operators::compare(*comparison, &left, &right)? {
                return Ok(false);
            }
            left = right;
        }
        Ok(true)
    }

    pub(super) fn arguments(
        &mut self,
        arguments: &syntax::Arguments,
        scope: &Rc<Scope>,
    ) -> Result<Arguments, RenderError> {
        let mut positional = self.all(&arguments.positional, scope)?;
        let mut keywords = Vec::with_capacity(arguments.keywords.len());
        for (name, value) in &arguments.keywords {
            keywords.push((name.clone(), self.evaluate(value, scope)?));
        }
        if let Some(star) = &arguments.star {
            positional.extend(self.evaluate(star, scope)?.items()?);
        }
        if let Some(double_star) = &arguments.double_star {
            let Value::Dict(dict) = self.evaluate(double_star, scope)? else {
                return Err(RenderError::new("argument after ** must be a mapping"));
            };
            for (key, value) in &dict.0 {
                let Some(name) = key.as_str() else { return Err(RenderError::new("keywords must be strings")) };
                keywords.push((Arc::from(name), value.clone()));
            }
        }
        Ok(Arguments { positional, keywords })
    }

    /// `value.name`: an attribute of the type if it has one of that name, or else an item.
    fn attribute(&mut self, value: &Value, name: &Arc<str>) -> Evaluated {
        if let Value::Object(object) = value
            && let Object::Loop(state) = &**object
        {
            let number = |number: usize| Value::Int(number as i128);
            let index0 = state.borrow().index0;
            return Ok(match &**name {
                "index" => number(index0 + 1),
                "index0" => number(index0),
                "first" => Value::Bool(index0 == 0),
                "last" => Value::Bool(self.next_item(state)?.is_none()),
                "length" => number(self.loop_length(state)?),
                "revindex" => number(self.loop_length(state)? - index0),
                "revindex0" => number(self.loop_length(state)? - index0 - 1),
                "depth" => number(state.borrow().depth0 + 1),
                "depth0" => number(state.borrow().depth0),
                "previtem" => {
                    let previous = state.borrow().previous.clone();
                    previous.unwrap_or_else(|| Value::undefined("there is no previous item"))
                }
                "nextitem" => self.next_item(state)?.unwrap_or_else(|| Value::undefined("there is no next item")),
                "cycle" | "changed" => Value::object(Object::Method(value.clone(), name.clone())),
                _ => Value::undefined(format!("'LoopContext' object has no attribute '{name}'")),
            });
        }
        if let Value::Undefined(what) = value
            && !name.starts_with("__")
        {
            return Err(operators::undefined(what));
        }
        if let Some(found) = methods::attribute(value, name) {
            return Ok(found);
        }
        Ok(operators::item(value, &Value::from(&**name)).unwrap_or_else(|| no_attribute(value, name)))
    }

    /// `value[index]`: an item if there is one, or else an attribute of that name.
    fn item(&mut self, value: &Value, index: &Value) -> Evaluated {
        if let Value::Undefined(what) = value {
            return Err(operators::undefined(what));
        }
        if let Some(found) = operators::item(value, index) {
            return Ok(found);
        }
        match index {
            Value::Str(name)
                if matches!(value, Value::Object(_)) || methods::attribute(value, name.as_str()).is_some() =>
            {
                self.attribute(value, &Arc::from(name.as_str()))
            }
            Value::Str(name) => Ok(no_attribute(value, name.as_str())),
            _ => Ok(Value::undefined(format!("'{}' object has no such element", value.type_name()))),
        }
    }

    pub(super) fn call(&mut self, function: &Value, arguments: Arguments) -> Evaluated {
        self.step()?;
        if let Value::Undefined(what) = function {
            return Err(operators::undefined(what));
        }
        let Value::Object(object) = function else {
            return Err(RenderError::new(format!("'{}' object is not callable", function.type_name())));
        };
        match &**object {
            Object::Macro { definition, scope } => self.call_macro(definition, scope, arguments),
            Object::Function(Function::Now) => globals::now(self.date, arguments),
            Object::Function(function) => globals::call(*function, arguments),
            Object::Method(receiver, name) => call_method(receiver, name, arguments),
            Object::Joiner { separator, used } => {
                Ok(if used.replace(true) { separator.clone() } else { Value::from("") })
            }
            Object::Loop(state) => match arguments.positional.as_slice() {
                [items] => self.recurse(state, items),
                _ => Err(RenderError::new("`loop` takes the items of the next level")),
            },
            _ => Err(RenderError::new(format!("'{}' object is not callable", function.type_name()))),
        }
    }
}

/// Calls a method of a built-in type, or of a loop or a cycler.
fn call_method(receiver: &Value, name: &str, arguments: Arguments) -> Evaluated {
    let Value::Object(object) = receiver else { return methods::call(receiver, name, arguments) };
    match (&**object, name) {
        (Object::Loop(state), "cycle") => {
            let index = state.borrow().index0;
            let count = arguments.positional.len();
            let item = index.checked_rem(count).and_then(|at| arguments.positional.get(at).cloned());
            item.ok_or_else(|| RenderError::new("no items for cycling given"))
        }
        (Object::Loop(state), _) => {
            let mut state = state.borrow_mut();
            let same = state.changed.as_ref().is_some_and(|last| {
                last.len() == arguments.positional.len()
                    && last.iter().zip(&arguments.positional).all(|(a, b)| a.same(b))
            });
            state.changed = Some(arguments.positional);
            Ok(Value::Bool(!same))
        }
        (Object::Cycler { items, at }, "next") => {
            let item = items[at.get()].clone();
            at.set((at.get() + 1) % items.len());
            Ok(item)
        }
        (Object::Cycler { at, .. }, _) => {
            at.set(0);
            Ok(Value::None)
        }
        _ => Err(RenderError::refused(format!("method `{name}` of a {}", receiver.type_name()))),
    }
}

fn no_attribute(value: &Value, name: &str) -> Value {
    Value::undefined(format!("'{}' object has no attribute '{name}'", value.type_name()))
}
