//! The functions that every template may call.

use std::cell::{Cell, RefCell};

use super::arguments::Arguments;
use super::error::RenderError;
use super::operators;
use super::strftime::{Date, strftime};
use super::value::{Dict, Function, Object, Value, range_length};

/// Items that `range` may have (Jinja's sandbox has the same bound).
const LONGEST_RANGE: usize = 100_000;

pub(crate) fn global(name: &str) -> Option<Value> {
    let function = match name {
        "range" => Function::Range,
        "dict" => Function::Dict,
        "namespace" => Function::Namespace,
        "joiner" => Function::Joiner,
        "cycler" => Function::Cycler,
        "raise_exception" => Function::Raise,
        "strftime_now" => Function::Now,
        "lipsum" => Function::Lipsum,
        _ => return None,
    };
    Some(Value::object(Object::Function(function)))
}

pub(crate) fn call(function: Function, mut arguments: Arguments) -> Result<Value, RenderError> {
    match function {
        Function::Range => range(arguments),
        Function::Dict => dict(arguments),
        Function::Namespace => {
            let Value::Dict(attributes) = dict(arguments)? else { return Ok(Value::None) };
            for name in attributes.0.iter().filter_map(|(name, _)| name.as_str()) {
                check_attribute(name)?;
            }
            Ok(Value::object(Object::Namespace(RefCell::new(Dict(attributes.0.clone())))))
        }
        Function::Joiner => {
            let [separator] = arguments.bind("joiner", ["sep"])?;
            let separator = separator.unwrap_or_else(|| Value::from(", "));
            Ok(Value::object(Object::Joiner { separator, used: Cell::new(false) }))
        }
        Function::Cycler if arguments.positional.is_empty() => {
            Err(RenderError::new("at least one item has to be provided"))
        }
        Function::Cycler => {
            let items = std::mem::take(&mut arguments.positional);
            Ok(Value::object(Object::Cycler { items, at: Cell::new(0) }))
        }
        Function::Raise => {
            let [message] = arguments.bind("raise_exception", ["message"])?;
            let message = message.unwrap_or_else(|| Value::from(""));
            Err(RenderError::new(message.to_text()?.as_str().to_owned()))
        }
        Function::Now => Err(RenderError::new("strftime_now() needs a date")),
        Function::Lipsum => Err(RenderError::refused("`lipsum`, which writes random text")),
    }
}

/// `strftime_now(format)`.
pub(crate) fn now(date: Date, mut arguments: Arguments) -> Result<Value, RenderError> {
    let [format] = arguments.bind("strftime_now", ["format"])?;
    match format.as_ref().and_then(Value::as_str) {
        Some(format) => strftime(date, format).map(Value::from),
        None => Err(RenderError::new("strftime_now() takes a format")),
    }
}

fn range(arguments: Arguments) -> Result<Value, RenderError> {
    let number = |value: &Value| -> Result<i64, RenderError> {
        if let Value::Undefined(what) = value {
            return Err(operators::undefined(what));
        }
        let number = value.as_int().and_then(|number| i64::try_from(number).ok());
        number.ok_or_else(|| RenderError::new(format!("'{}' object cannot be an integer", value.type_name())))
    };
    let numbers: Vec<i64> = arguments.positional.iter().map(number).collect::<Result<_, _>>()?;
    let (start, stop, step) = match numbers.as_slice() {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [start, stop, step] if *step != 0 => (*start, *stop, *step),
        [_, _, _] => return Err(RenderError::new("range() arg 3 must not be zero")),
        _ => return Err(RenderError::new("range expected 1 to 3 arguments")),
    };
    if range_length(start, stop, step) > LONGEST_RANGE {
        return Err(RenderError::new(format!("range too big, the sandbox blocks ranges larger than {LONGEST_RANGE}")));
    }
    Ok(Value::Range(start, stop, step))
}

/// `dict(mapping or pairs, **items)`.
fn dict(arguments: Arguments) -> Result<Value, RenderError> {
    let mut pairs = Vec::new();
    match arguments.positional.as_slice() {
        [] => {}
        [Value::Dict(dict)] => pairs.extend(dict.0.iter().cloned()),
        [Value::Undefined(_)] => {}
        [items] => {
            for pair in items.items()? {
                match pair.items()?.as_slice() {
                    [key, value] => pairs.push((key.clone(), value.clone())),
                    _ => return Err(RenderError::new("dictionary update sequence element has not length 2")),
                }
            }
        }
        _ => return Err(RenderError::new("dict expected at most 1 argument")),
    }
    pairs.extend(arguments.keywords.into_iter().map(|(name, value)| (Value::from(&*name), value)));
    operators::dict(pairs)
}

/// Refuses attributes of a namespace that begin with an underscore, as `transformers` does.
pub(crate) fn check_attribute(name: &str) -> Result<(), RenderError> {
    if name.starts_with('_') {
        return Err(RenderError::new(format!("a namespace cannot have the attribute '{name}'")));
    }
    Ok(())
}
