//! Attributes and methods of Python's built-in types.

use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Arguments;
use super::characters::{self, is_titled, is_upper_cased, swap_case, title_case};
use super::error::RenderError;
use super::format::str_format;
use super::text::{Text, TextBuilder, is_space};
use super::value::{Dict, Object, Value};

type Evaluated = Result<Value, RenderError>;

const STR: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const DICT: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const LIST: [&str; 3] = ["copy", "count", "index"];
const INT: [&str; 9] = [
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "denominator",
    "imag",
    "numerator",
    "real",
    "to_bytes",
];
const FLOAT: [&str; 6] = ["as_integer_ratio", "conjugate", "hex", "imag", "is_integer", "real"];
/// Methods that change their object, which the sandbox does not allow.
const DICT_CHANGES: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const LIST_CHANGES: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];

/// The attribute that Python's type of `value` has under this name. One that the sandbox forbids is undefined.
pub(crate) fn attribute(value: &Value, name: &str) -> Option<Value> {
    let (methods, changes): (&[&str], &[&str]) = match value {
        Value::Str(_) => (&STR, &[]),
        Value::Dict(_) => (&DICT, &DICT_CHANGES),
        Value::List(_) => (&LIST, &LIST_CHANGES),
        Value::Tuple(_) | Value::Range(..) => (&["count", "index"], &[]),
        Value::Int(_) | Value::Bool(_) => (&INT, &[]),
        Value::Float(_) => (&FLOAT, &[]),
        Value::Object(object) => match &**object {
            Object::Namespace(attributes) => return attributes.borrow().get_str(name).cloned(),
            Object::Group(key, _) if name == "grouper" => return Some(key.clone()),
            Object::Group(_, items) if name == "list" => return Some(items.clone()),
            Object::Macro { definition, .. } if name == "name" => {
                return Some(definition.name.as_deref().map_or(Value::None, Value::from));
            }
            Object::Cycler { items, at } if name == "current" => return Some(items[at.get()].clone()),
            Object::Cycler { .. } => (&["next", "reset"], &[]),
            _ => (&[], &[]),
        },
        _ => (&[], &[]),
    };
    if changes.contains(&name) || (name.starts_with("__") && name.ends_with("__")) {
        let what = format!("access to attribute '{name}' of '{}' object is unsafe", value.type_name());
        return Some(Value::undefined(what));
    }
    let method = || Value::object(Object::Method(value.clone(), Arc::from(name)));
    methods.contains(&name).then(method)
}

/// Calls a method that [`attribute`] found.
pub(crate) fn call(receiver: &Value, name: &str, mut arguments: Arguments) -> Evaluated {
    match receiver {
        Value::Str(text) => call_str(text, name, arguments),
        Value::Dict(dict) => call_dict(dict, name, &mut arguments),
        Value::List(items) | Value::Tuple(items) => match name {
            "copy" => Ok(receiver.clone()),
            "count" => {
                let [item] = arguments.bind(name, ["value"])?;
                let item = required(item, name)?;
                Ok(Value::Int(items.iter().filter(|other| other.same(&item)).count() as i128))
            }
            _ => {
                let [item] = arguments.bind(name, ["value"])?;
                let item = required(item, name)?;
                match items.iter().position(|other| other.same(&item)) {
                    Some(at) => Ok(Value::Int(at as i128)),
                    None => Err(RenderError::new("value is not in list")),
                }
            }
        },
        Value::Float(number) if name == "is_integer" => Ok(Value::Bool(number.fract() == 0.0)),
        _ => Err(refused(receiver, name)),
    }
}

fn refused(receiver: &Value, name: &str) -> RenderError {
    RenderError::refused(format!("method `{name}` of a {}", receiver.type_name()))
}

fn required(value: Option<Value>, method: &str) -> Evaluated {
    value.ok_or_else(|| RenderError::new(format!("{method}() misses an argument")))
}

fn call_dict(dict: &Rc<Dict>, name: &str, arguments: &mut Arguments) -> Evaluated {
    if name == "get" {
        if !arguments.keywords.is_empty() {
            return Err(RenderError::new("dict.get() takes no keyword arguments"));
        }
        let [key, default] = arguments.bind(name, ["key", "default"])?;
        let key = required(key, name)?;
        if !key.is_hashable() {
            return Err(RenderError::new(format!("unhashable type: '{}'", key.type_name())));
        }
        return Ok(dict.get(&key).cloned().or(default).unwrap_or(Value::None));
    }
    let [] = arguments.bind(name, [])?;
    let keys = || dict.0.iter().map(|(key, _)| key.clone()).collect();
    Ok(match name {
        "copy" => Value::Dict(dict.clone()),
        "keys" => Value::View("keys", Rc::new(keys())),
        "values" => Value::View("values", Rc::new(dict.0.iter().map(|(_, value)| value.clone()).collect())),
        "items" => {
            let pair = |(key, value): &(Value, Value)| Value::Tuple(Rc::new(vec![key.clone(), value.clone()]));
            Value::View("items", Rc::new(dict.0.iter().map(pair).collect()))
        }
        _ => return Err(refused(&Value::Dict(dict.clone()), name)),
    })
}

fn call_str(text: &Text, name: &str, mut arguments: Arguments) -> Evaluated {
    let string = text.as_str();
    let receiver = Value::Str(text.clone());
    if text.is_markup() && ["format", "join", "replace", "center", "ljust", "rjust"].contains(&name) {
        return Err(RenderError::refused(format!("method `{name}` of a string marked safe")));
    }
    if name == "format" {
        return str_format(text, &arguments).map(Value::Str);
    }
    if name == "split" || name == "rsplit" {
        let [separator, most] = arguments.bind(name, ["sep", "maxsplit"])?;
        return split(text, optional_str(separator.as_ref(), name)?, most.as_ref(), name == "rsplit");
    }
    if name == "splitlines" {
        let [keep] = arguments.bind(name, ["keepends"])?;
        let keep = keep.is_some_and(|keep| keep.is_true());
        return Ok(Value::list(characters::lines(string, keep).into_iter().map(|line| part(text, line)).collect()));
    }
    if !arguments.keywords.is_empty() {
        return Err(RenderError::new(format!("str.{name}() takes no keyword arguments")));
    }
    let written = |string: String| Ok(Value::Str(Text::written(string, text.origin()).with_markup(text.is_markup())));
    let given: Vec<Value> = std::mem::take(&mut arguments.positional);
    let expect = |most: usize, least: usize| {
        if (least..=most).contains(&given.len()) {
            Ok(())
        } else {
            Err(RenderError::new(format!("str.{name}() takes {least} to {most} arguments ({} given)", given.len())))
        }
    };
    let str_at = |at: usize| match given.get(at) {
        Some(Value::Str(argument)) => Ok(argument),
        other => Err(RenderError::new(format!(
            "str.{name}() takes a string, not {}",
            other.map_or("nothing", Value::type_name)
        ))),
    };
    match name {
        "strip" | "lstrip" | "rstrip" => {
            expect(1, 0)?;
            let set = optional_str(given.first(), name)?;
            Ok(Value::Str(stripped(text, set.map(Text::as_str), name != "rstrip", name != "lstrip")))
        }
        "startswith" | "endswith" | "find" | "rfind" | "index" | "rindex" | "count" => {
            expect(3, 1)?;
            let (inside, offset) = within(text, given.get(1), given.get(2))?;
            if let (Value::Tuple(affixes), "startswith" | "endswith") = (&given[0], name) {
                let found = affixes.iter().filter_map(Value::as_str).any(|affix| match name {
                    "startswith" => inside.starts_with(affix),
                    _ => inside.ends_with(affix),
                });
                return Ok(Value::Bool(found));
            }
            let wanted = str_at(0)?.as_str();
            let place = |at: Option<usize>| match at {
                Some(at) => Ok(Value::Int((offset + inside[..at].chars().count()) as i128)),
                None if name.ends_with("index") => Err(RenderError::new("substring not found")),
                None => Ok(Value::Int(-1)),
            };
            match name {
                "startswith" => Ok(Value::Bool(inside.starts_with(wanted))),
                "endswith" => Ok(Value::Bool(inside.ends_with(wanted))),
                "count" if wanted.is_empty() => Ok(Value::Int(inside.chars().count() as i128 + 1)),
                "count" => Ok(Value::Int(inside.matches(wanted).count() as i128)),
                "find" | "index" => place(inside.find(wanted)),
                _ => place(inside.rfind(wanted)),
            }
        }
        "replace" => {
            expect(3, 2)?;
            let most = given.get(2).and_then(Value::as_int).unwrap_or(-1);
            Ok(Value::Str(replaced(text, str_at(0)?.as_str(), str_at(1)?, most)))
        }
        "partition" | "rpartition" => {
            expect(1, 1)?;
            let separator = str_at(0)?.as_str();
            if separator.is_empty() {
                return Err(RenderError::new("empty separator"));
            }
            let found = if name == "partition" { string.find(separator) } else { string.rfind(separator) };
            let whole = string.len();
            let (first, second) = match found {
                Some(at) => (at, at + separator.len()),
                None if name == "partition" => (whole, whole),
                None => (0, 0),
            };
            let parts = [0..first, first..second, second..whole];
            Ok(Value::Tuple(Rc::new(parts.map(|range| Value::Str(text.slice(range))).to_vec())))
        }
        "removeprefix" => {
            expect(1, 1)?;
            Ok(part(text, string.strip_prefix(str_at(0)?.as_str()).unwrap_or(string)))
        }
        "removesuffix" => {
            expect(1, 1)?;
            Ok(part(text, string.strip_suffix(str_at(0)?.as_str()).unwrap_or(string)))
        }
        "join" => {
            expect(1, 1)?;
            let mut builder = TextBuilder::default();
            for (index, item) in given[0].items()?.iter().enumerate() {
                if index > 0 {
                    builder.push(text);
                }
                let Value::Str(item) = item else {
                    let kind = item.type_name();
                    return Err(RenderError::new(format!(
                        "sequence item {index}: expected str instance, {kind} found"
                    )));
                };
                builder.push(item);
            }
            Ok(Value::Str(builder.finish()))
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            expect(2, 1)?;
            let width = given[0].as_int().ok_or_else(|| RenderError::new("width must be an integer"))?;
            let fill = match (name, given.get(1)) {
                ("zfill", _) => '0',
                (_, None) => ' ',
                (_, Some(fill)) => {
                    let mut characters = fill.as_str().unwrap_or_default().chars();
                    match (characters.next(), characters.next()) {
                        (Some(fill), None) => fill,
                        _ => return Err(RenderError::new("the fill character must be exactly one character long")),
                    }
                }
            };
            padded(text, name, width, fill)
        }
        "expandtabs" | "encode" | "format_map" | "maketrans" | "translate" => Err(refused(&receiver, name)),
        _ => {
            expect(0, 0)?;
            let all = |test: fn(char) -> bool| Ok(Value::Bool(!string.is_empty() && string.chars().all(test)));
            match name {
                "upper" => written(string.to_uppercase()),
                "lower" => written(string.to_lowercase()),
                "casefold" => written(characters::case_folded(string)),
                "title" => written(title_case(string)),
                "swapcase" => written(swap_case(string)),
                "capitalize" => written(characters::capitalized(string)),
                "isalnum" => all(char::is_alphanumeric),
                "isalpha" => all(char::is_alphabetic),
                "isascii" => Ok(Value::Bool(string.is_ascii())),
                "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
                "isspace" => all(is_space),
                "isupper" => Ok(Value::Bool(is_upper_cased(string, true))),
                "islower" => Ok(Value::Bool(is_upper_cased(string, false))),
                "istitle" => Ok(Value::Bool(is_titled(string))),
                _ => Err(refused(&receiver, name)),
            }
        }
    }
}

fn part(text: &Text, slice: &str) -> Value {
    Value::Str(text.part(slice))
}

fn optional_str<'a>(value: Option<&'a Value>, name: &str) -> Result<Option<&'a Text>, RenderError> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(text)) => Ok(Some(text)),
        Some(other) => Err(RenderError::new(format!("{name}() takes a string or None, not {}", other.type_name()))),
    }
}

/// `text` without the characters of `set` (white space when `None`) at its ends.
pub(crate) fn stripped(text: &Text, set: Option<&str>, start: bool, end: bool) -> Text {
    let drop = |c: char| set.map_or_else(|| is_space(c), |set| set.contains(c));
    let mut kept = text.as_str();
    if start {
        kept = kept.trim_start_matches(drop);
    }
    if end {
        kept = kept.trim_end_matches(drop);
    }
    text.part(kept)
}

/// `text` with `old` replaced by `new`, at most `most` times unless that is negative.
pub(crate) fn replaced(text: &Text, old: &str, new: &Text, most: i128) -> Text {
    let string = text.as_str();
    let mut builder = TextBuilder::default();
    let mut done = 0;
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    for (at, found) in string.match_indices(old).take(limit) {
        builder.push_slice(text, done..at);
        builder.push(new);
        done = at + found.len();
    }
    builder.push_slice(text, done..string.len());
    builder.finish()
}

fn split(text: &Text, separator: Option<&Text>, most: Option<&Value>, from_right: bool) -> Evaluated {
    let string = text.as_str();
    let most = match most {
        None => None,
        Some(most) => match most.as_int() {
            Some(most) => usize::try_from(most).ok(),
            None => return Err(RenderError::new("maxsplit must be an integer")),
        },
    };
    let parts: Vec<&str> = match separator {
        Some(separator) if separator.as_str().is_empty() => return Err(RenderError::new("empty separator")),
        Some(separator) => {
            let count = most.map_or(usize::MAX, |most| most.saturating_add(1));
            if from_right {
                let mut parts: Vec<&str> = string.rsplitn(count, separator.as_str()).collect();
                parts.reverse();
                parts
            } else {
                string.splitn(count, separator.as_str()).collect()
            }
        }
        None => characters::words(string, most.unwrap_or(usize::MAX), from_right),
    };
    Ok(Value::list(parts.into_iter().map(|slice| part(text, slice)).collect()))
}

/// The part of a string between two character positions, as slices clamp them, and where it begins.
fn within<'a>(text: &'a Text, start: Option<&Value>, stop: Option<&Value>) -> Result<(&'a str, usize), RenderError> {
    let string = text.as_str();
    if start.is_none() && stop.is_none() {
        return Ok((string, 0));
    }
    let length = string.chars().count() as i128;
    let bound = |value: Option<&Value>, default: i128| match value {
        None | Some(Value::None) => Ok(default),
        Some(value) => {
            let index = value.as_int().ok_or_else(|| RenderError::new("slice indices must be integers or None"))?;
            Ok((if index < 0 { index + length } else { index }).clamp(0, length))
        }
    };
    let (start, stop) = (bound(start, 0)? as usize, bound(stop, length)? as usize);
    let offset = |index: usize| string.char_indices().nth(index).map_or(string.len(), |(at, _)| at);
    Ok((if start < stop { &string[offset(start)..offset(stop)] } else { "" }, start))
}

fn padded(text: &Text, name: &str, width: i128, fill: char) -> Evaluated {
    let length = text.as_str().chars().count();
    let missing = usize::try_from(width).unwrap_or_default().saturating_sub(length);
    if missing > super::operators::LARGEST / 4 {
        return Err(RenderError::limit("a string grows too long"));
    }
    let filling = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    let (before, after) = match name {
        "ljust" => (0, missing),
        "rjust" | "zfill" => (missing, 0),
        // CPython puts the odd one on the left when the width is odd, too.
        _ => {
            let left = missing / 2 + (missing & (width as usize) & 1);
            (left, missing - left)
        }
    };
    let mut builder = TextBuilder::default();
    let signed = name == "zfill" && text.as_str().starts_with(['+', '-']);
    if signed {
        builder.push_slice(text, 0..1);
    }
    builder.push_str(&filling(before));
    builder.push_slice(text, usize::from(signed)..text.as_str().len());
    builder.push_str(&filling(after));
    Ok(Value::Str(builder.finish()))
}
