//! Python's operators.

use std::cmp::Ordering;
use std::rc::Rc;

use super::error::RenderError;
use super::format::percent;
use super::syntax::{Binary, Comparison, Unary};
use super::text::{Text, TextBuilder};
use super::value::{Dict, Object, Value};

type Evaluated = Result<Value, RenderError>;

/// Bytes that one string, and items that one list, may have.
pub(crate) const LARGEST: usize = 64 << 20;
const MOST_ITEMS: usize = 1 << 20;

/// The error of an undefined value that is used for something.
pub(crate) fn undefined(what: &str) -> RenderError {
    RenderError::new(what.to_owned())
}

pub(crate) fn unary(operator: Unary, value: &Value) -> Evaluated {
    match (operator, value) {
        (Unary::Not, _) => Ok(Value::Bool(!value.is_true())),
        (_, Value::Undefined(what)) => Err(undefined(what)),
        (Unary::Negative, Value::Float(number)) => Ok(Value::Float(-number)),
        (Unary::Positive, Value::Float(number)) => Ok(Value::Float(*number)),
        _ => match value.as_int() {
            Some(number) if operator == Unary::Positive => Ok(Value::Int(number)),
            Some(number) => number.checked_neg().map(Value::Int).ok_or_else(overflow),
            None => Err(RenderError::new(format!("bad operand type for unary operator: '{}'", value.type_name()))),
        },
    }
}

pub(crate) fn binary(operator: Binary, left: &Value, right: &Value) -> Evaluated {
    if let Value::Undefined(what) = left {
        return Err(undefined(what));
    }
    // Python asks the string first, which prints an undefined value as nothing.
    if let (Binary::Modulo, Value::Str(format)) = (operator, left) {
        return percent(format, right).map(Value::Str);
    }
    if let Value::Undefined(what) = right {
        return Err(undefined(what));
    }
    match (operator, left, right) {
        (Binary::Add, Value::Str(a), Value::Str(b)) => added(a, b),
        (Binary::Add, Value::List(a), Value::List(b)) => many([&a[..], &b[..]].concat()).map(Value::List),
        (Binary::Add, Value::Tuple(a), Value::Tuple(b)) => many([&a[..], &b[..]].concat()).map(Value::Tuple),
        (Binary::Multiply, Value::Str(text), count) | (Binary::Multiply, count, Value::Str(text))
            if count.as_int().is_some() =>
        {
            repeated(text, count.as_int().unwrap_or_default())
        }
        (Binary::Multiply, Value::List(items), count) | (Binary::Multiply, count, Value::List(items))
            if count.as_int().is_some() =>
        {
            again(items, count).map(Value::List)
        }
        (Binary::Multiply, Value::Tuple(items), count) | (Binary::Multiply, count, Value::Tuple(items))
            if count.as_int().is_some() =>
        {
            again(items, count).map(Value::Tuple)
        }
        _ => arithmetic(operator, left, right),
    }
}

fn many(items: Vec<Value>) -> Result<Rc<Vec<Value>>, RenderError> {
    if items.len() > MOST_ITEMS { Err(RenderError::limit("a list grows too long")) } else { Ok(Rc::new(items)) }
}

fn again(items: &[Value], count: &Value) -> Result<Rc<Vec<Value>>, RenderError> {
    let count = usize::try_from(count.as_int().unwrap_or_default().max(0)).unwrap_or(usize::MAX);
    if items.len().saturating_mul(count) > MOST_ITEMS {
        return Err(RenderError::limit("a list grows too long"));
    }
    Ok(Rc::new((0..count).flat_map(|_| items.iter().cloned()).collect()))
}

/// `+` of two strings; where one is markup, the other is escaped.
fn added(left: &Text, right: &Text) -> Evaluated {
    let markup = left.is_markup() || right.is_markup();
    let mut builder = TextBuilder::default();
    for text in [left, right] {
        if markup && !text.is_markup() { builder.push(&escaped(text)) } else { builder.push(text) }
    }
    if builder.len() > LARGEST {
        return Err(RenderError::limit("a string grows too long"));
    }
    Ok(Value::Str(builder.finish().with_markup(markup)))
}

/// HTML-escaped text, as `markupsafe.escape` writes it.
pub(crate) fn escaped(text: &Text) -> Text {
    if text.is_markup() {
        return text.clone();
    }
    let mut builder = TextBuilder::default();
    let mut done = 0;
    for (at, character) in text.as_str().char_indices() {
        let entity = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&#34;",
            '\'' => "&#39;",
            _ => continue,
        };
        builder.push_slice(text, done..at);
        builder.push_str(entity);
        done = at + 1;
    }
    builder.push_slice(text, done..text.as_str().len());
    builder.finish().with_markup(true)
}

fn repeated(text: &Text, count: i128) -> Evaluated {
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    if text.as_str().len().saturating_mul(count) > LARGEST {
        return Err(RenderError::limit("a string grows too long"));
    }
    let mut builder = TextBuilder::default();
    if !text.as_str().is_empty() {
        for _ in 0..count {
            builder.push(text);
        }
    }
    Ok(Value::Str(builder.finish().with_markup(text.is_markup())))
}

fn arithmetic(operator: Binary, left: &Value, right: &Value) -> Evaluated {
    let unsupported = || {
        RenderError::new(match (operator, left, right) {
            (Binary::Add, Value::Str(_), _) => {
                format!("can only concatenate str (not \"{}\") to str", right.type_name())
            }
            _ => format!(
                "unsupported operand types for {}: '{}' and '{}'",
                symbol(operator),
                left.type_name(),
                right.type_name()
            ),
        })
    };
    let by_zero = || RenderError::new("division by zero");
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return Ok(match operator {
            Binary::Add => Value::Int(a.checked_add(b).ok_or_else(overflow)?),
            Binary::Subtract => Value::Int(a.checked_sub(b).ok_or_else(overflow)?),
            Binary::Multiply => Value::Int(a.checked_mul(b).ok_or_else(overflow)?),
            Binary::Divide if b == 0 => return Err(by_zero()),
            Binary::Divide => Value::Float(a as f64 / b as f64),
            Binary::FloorDivide | Binary::Modulo if b == 0 => return Err(by_zero()),
            Binary::FloorDivide => Value::Int(floor_divide(a, b).ok_or_else(overflow)?),
            Binary::Modulo => {
                let rest = a.checked_rem(b).ok_or_else(overflow)?;
                Value::Int(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
            }
            Binary::Power => match u32::try_from(b) {
                Ok(power) => Value::Int(a.checked_pow(power).ok_or_else(overflow)?),
                Err(_) if a == 0 => return Err(RenderError::new("0.0 cannot be raised to a negative power")),
                Err(_) => Value::Float((a as f64).powf(b as f64)),
            },
        });
    }
    let (Some(a), Some(b)) = (left.as_float(), right.as_float()) else { return Err(unsupported()) };
    Ok(Value::Float(match operator {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide | Binary::FloorDivide | Binary::Modulo if b == 0.0 => return Err(by_zero()),
        Binary::Divide => a / b,
        Binary::FloorDivide => (a / b).floor(),
        Binary::Modulo => {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
        }
        Binary::Power => a.powf(b),
    }))
}

fn overflow() -> RenderError {
    RenderError::refused("an integer of more than 127 bits")
}

fn floor_divide(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}

fn symbol(operator: Binary) -> &'static str {
    match operator {
        Binary::Add => "+",
        Binary::Subtract => "-",
        Binary::Multiply => "*",
        Binary::Divide => "/",
        Binary::FloorDivide => "//",
        Binary::Modulo => "%",
        Binary::Power => "** or pow()",
    }
}

pub(crate) fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, RenderError> {
    let ordered = |wanted: fn(Ordering) -> bool| order(left, right).map(|found| found.is_some_and(wanted));
    match comparison {
        Comparison::Equal => Ok(left.same(right)),
        Comparison::NotEqual => Ok(!left.same(right)),
        Comparison::Less => ordered(Ordering::is_lt),
        Comparison::LessEqual => ordered(Ordering::is_le),
        Comparison::Greater => ordered(Ordering::is_gt),
        Comparison::GreaterEqual => ordered(Ordering::is_ge),
        Comparison::In => contains(right, left),
        Comparison::NotIn => contains(right, left).map(|found| !found),
    }
}

/// Python's order; `None` when a number is not a number.
pub(crate) fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, RenderError> {
    match (left, right) {
        (Value::Undefined(what), _) | (_, Value::Undefined(what)) => return Err(undefined(what)),
        // Code points and bytes of UTF-8 sort alike.
        (Value::Str(a), Value::Str(b)) => return Ok(Some(a.as_str().cmp(b.as_str()))),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (x, y) in a.iter().zip(b.iter()) {
                if !x.same(y) {
                    return order(x, y);
                }
            }
            return Ok(Some(a.len().cmp(&b.len())));
        }
        _ => {}
    }
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return Ok(Some(a.cmp(&b)));
    }
    match (left.as_float(), right.as_float()) {
        (Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
        _ => Err(RenderError::new(format!(
            "instances of '{}' and '{}' have no order",
            left.type_name(),
            right.type_name()
        ))),
    }
}

/// Python's `item in container`.
pub(crate) fn contains(container: &Value, item: &Value) -> Result<bool, RenderError> {
    match container {
        Value::Str(text) => match item {
            Value::Str(part) => Ok(text.as_str().contains(part.as_str())),
            _ => Err(RenderError::new(format!(
                "'in <string>' requires string as left operand, not {}",
                item.type_name()
            ))),
        },
        Value::Dict(dict) => Ok(hashable(item)? && dict.get(item).is_some()),
        Value::Object(object) if matches!(**object, Object::Namespace(_)) => {
            Err(RenderError::new("argument of type 'Namespace' is not iterable"))
        }
        _ if container.is_iterable() => Ok(container.items()?.iter().any(|other| other.same(item))),
        _ => Err(RenderError::new(format!("argument of type '{}' is not iterable", container.type_name()))),
    }
}

fn hashable(key: &Value) -> Result<bool, RenderError> {
    if key.is_hashable() { Ok(true) } else { Err(RenderError::new(format!("unhashable type: '{}'", key.type_name()))) }
}

/// A dict of pairs; a later key takes the place of an earlier one.
pub(crate) fn dict(pairs: Vec<(Value, Value)>) -> Evaluated {
    let mut dict = Dict::default();
    for (key, value) in pairs {
        hashable(&key)?;
        dict.insert(key, value);
    }
    Ok(Value::Dict(Rc::new(dict)))
}

/// `value[index]`, or `None` where Python raises `TypeError` or `LookupError`.
pub(crate) fn item(value: &Value, index: &Value) -> Option<Value> {
    let at = |length: usize| {
        let index = index.as_int()?;
        let index = if index < 0 { index + length as i128 } else { index };
        usize::try_from(index).ok().filter(|&index| index < length)
    };
    match value {
        Value::Dict(dict) => dict.get(index).cloned(),
        Value::List(items) | Value::Tuple(items) => at(items.len()).map(|index| items[index].clone()),
        Value::Str(text) => {
            let string = text.as_str();
            let index = at(value.length()?)?;
            let (start, character) = string.char_indices().nth(index)?;
            Some(Value::Str(text.slice(start..start + character.len_utf8())))
        }
        Value::Range(start, _, step) => {
            at(value.length()?).map(|index| Value::Int(i128::from(start + index as i64 * step)))
        }
        Value::Object(object) => match &**object {
            Object::Group(key, items) => at(2).map(|index| if index == 0 { key.clone() } else { items.clone() }),
            _ => None,
        },
        _ => None,
    }
}

/// `value[start:stop:step]`.
pub(crate) fn slice(value: &Value, bounds: [Option<Value>; 3]) -> Evaluated {
    let number = |bound: &Option<Value>| match bound {
        None | Some(Value::None) => Ok(None),
        Some(Value::Undefined(_)) => Err(RenderError::new("slice indices must be integers or None")),
        Some(bound) => {
            bound.as_int().map(Some).ok_or_else(|| RenderError::new("slice indices must be integers or None"))
        }
    };
    if let Value::Undefined(what) = value {
        return Err(undefined(what));
    }
    let length = match value {
        Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Range(..) => value.length().unwrap_or_default(),
        _ => return Err(RenderError::new(format!("'{}' object is not subscriptable", value.type_name()))),
    };
    let step = number(&bounds[2])?.unwrap_or(1);
    if step == 0 {
        return Err(RenderError::new("slice step cannot be zero"));
    }
    // A longer step leads nowhere else.
    let step = step.clamp(-(length as i128) - 1, length as i128 + 1);
    let (low, high) = if step > 0 { (0, length as i128) } else { (-1, length as i128 - 1) };
    let clamp = |bound: Option<i128>, default: i128| match bound {
        None => default,
        Some(bound) => (if bound < 0 { bound + length as i128 } else { bound }).clamp(low, high),
    };
    let start = clamp(number(&bounds[0])?, if step > 0 { low } else { high });
    let stop = clamp(number(&bounds[1])?, if step > 0 { high } else { low });
    let mut indices = Vec::new();
    let mut at = start;
    while if step > 0 { at < stop } else { at > stop } {
        indices.push(at as usize);
        at += step;
    }
    Ok(match value {
        Value::Str(text) => {
            let offsets: Vec<usize> =
                text.as_str().char_indices().map(|(at, _)| at).chain([text.as_str().len()]).collect();
            if step == 1 {
                let range = indices.first().map_or(0..0, |&first| offsets[first]..offsets[first + indices.len()]);
                return Ok(Value::Str(text.slice(range)));
            }
            let mut builder = TextBuilder::default();
            for index in indices {
                builder.push_slice(text, offsets[index]..offsets[index + 1]);
            }
            Value::Str(builder.finish())
        }
        Value::Tuple(items) => Value::Tuple(Rc::new(indices.into_iter().map(|index| items[index].clone()).collect())),
        Value::List(items) => Value::list(indices.into_iter().map(|index| items[index].clone()).collect()),
        _ => {
            let items = value.items()?;
            Value::list(indices.into_iter().map(|index| items[index].clone()).collect())
        }
    })
}
