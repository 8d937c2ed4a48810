//! The values of templates, with the truth, equality and printing that Python gives them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::error::RenderError;
use super::scope::{LoopState, Scope};
use super::syntax::Macro;
use super::text::{Text, TextBuilder, is_space};

/// How deeply values may be nested to be printed.
pub(crate) const DEPTH: usize = 200;

#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing of that name; the text says what was looked for.
    Undefined(Arc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Text),
    List(Rc<Vec<Value>>),
    Tuple(Rc<Vec<Value>>),
    Dict(Rc<Dict>),
    Range(i64, i64, i64),
    /// What `map`, `select` and their like give: it can be read once.
    Generator(Rc<RefCell<VecDeque<Value>>>),
    /// `dict.keys()`, `.values()` and `.items()`, by the name of the method.
    View(&'static str, Rc<Vec<Value>>),
    Object(Rc<Object>),
}

/// The functions that every template may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Range,
    Dict,
    Namespace,
    Joiner,
    Cycler,
    Raise,
    Now,
    Lipsum,
}

#[derive(Debug)]
pub(crate) enum Object {
    Namespace(RefCell<Dict>),
    Macro {
        definition: Arc<Macro>,
        scope: Rc<Scope>,
    },
    Function(Function),
    /// A method of a built-in type, not called yet.
    Method(Value, Arc<str>),
    Joiner {
        separator: Value,
        used: Cell<bool>,
    },
    Cycler {
        items: Vec<Value>,
        at: Cell<usize>,
    },
    Loop(RefCell<LoopState>),
    /// One group of `groupby`: a pair that also answers to `grouper` and `list`.
    Group(Value, Value),
}

/// A mapping that keeps the order of its keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dict(pub Vec<(Value, Value)>);

impl Dict {
    pub(crate) fn get(&self, key: &Value) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other.same(key)).map(|(_, value)| value)
    }

    pub(crate) fn get_str(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other.as_str() == Some(key)).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: Value, value: Value) {
        match self.0.iter_mut().find(|(other, _)| other.same(&key)) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(Text::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(Text::from(text))
    }
}

impl Value {
    pub(crate) fn undefined(what: impl Into<String>) -> Self {
        Self::Undefined(Arc::from(what.into()))
    }

    pub(crate) fn list(items: Vec<Value>) -> Self {
        Self::List(Rc::new(items))
    }

    pub(crate) fn generator(items: Vec<Value>) -> Self {
        Self::Generator(Rc::new(RefCell::new(items.into())))
    }

    pub(crate) fn object(object: Object) -> Self {
        Self::Object(Rc::new(object))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text.as_str()) } else { None }
    }

    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    /// The value as an integer, as Python's `operator.index` takes it.
    pub(crate) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    pub(crate) fn as_float(&self) -> Option<f64> {
        if let Self::Float(value) = self { Some(*value) } else { self.as_int().map(|value| value as f64) }
    }

    /// Python's name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(text) => {
                if text.is_markup() {
                    "Markup"
                } else {
                    "str"
                }
            }
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Range(..) => "range",
            Self::Generator(_) => "generator",
            Self::View(kind, _) => match *kind {
                "keys" => "dict_keys",
                "values" => "dict_values",
                _ => "dict_items",
            },
            Self::Object(object) => match &**object {
                Object::Namespace(_) => "Namespace",
                Object::Macro { .. } => "Macro",
                Object::Function(_) | Object::Method(..) => "builtin_function_or_method",
                Object::Joiner { .. } => "Joiner",
                Object::Cycler { .. } => "Cycler",
                Object::Loop(_) => "LoopContext",
                Object::Group(..) => "tuple",
            },
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.as_str().is_empty(),
            Self::Generator(_) | Self::Object(_) => true,
            _ => self.length().unwrap_or(1) > 0,
        }
    }

    /// Python's `len`, or `None` for what has none.
    pub(crate) fn length(&self) -> Option<usize> {
        match self {
            Self::Undefined(_) => Some(0),
            Self::Str(text) => Some(text.as_str().chars().count()),
            Self::List(items) | Self::Tuple(items) | Self::View(_, items) => Some(items.len()),
            Self::Dict(dict) => Some(dict.0.len()),
            Self::Range(start, stop, step) => Some(range_length(*start, *stop, *step)),
            Self::Object(object) if matches!(**object, Object::Group(..)) => Some(2),
            _ => None,
        }
    }

    /// Whether `iter` takes it.
    pub(crate) fn is_iterable(&self) -> bool {
        match self {
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Float(_) => false,
            Self::Object(object) => matches!(**object, Object::Loop(_) | Object::Group(..)),
            _ => true,
        }
    }

    /// The items that a loop sees.
    pub(crate) fn items(&self) -> Result<Vec<Value>, RenderError> {
        Ok(match self {
            Self::Undefined(_) => Vec::new(),
            Self::Str(text) => {
                let characters = text.as_str().char_indices();
                // (Iterating over markup gives plain characters.)
                characters.map(|(at, c)| Self::Str(text.slice(at..at + c.len_utf8()).with_markup(false))).collect()
            }
            Self::List(items) | Self::Tuple(items) | Self::View(_, items) => items.to_vec(),
            Self::Dict(dict) => dict.0.iter().map(|(key, _)| key.clone()).collect(),
            Self::Range(start, _, step) => {
                let length = self.length().unwrap_or_default() as i64;
                (0..length).map(|index| Self::Int(i128::from(start + index * step))).collect()
            }
            Self::Generator(rest) => rest.borrow_mut().drain(..).collect(),
            Self::Object(object) => match &**object {
                Object::Group(key, items) => vec![key.clone(), items.clone()],
                Object::Loop(_) => return Err(RenderError::refused("iterating over `loop`")),
                _ => return Err(self.not_iterable()),
            },
            _ => return Err(self.not_iterable()),
        })
    }

    fn not_iterable(&self) -> RenderError {
        RenderError::new(format!("'{}' object is not iterable", self.type_name()))
    }

    /// Python's `==`.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined(_), Self::Undefined(_)) | (Self::None, Self::None) => true,
            (Self::Str(a), Self::Str(b)) => a.as_str() == b.as_str(),
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => all_same(a, b),
            (Self::Dict(a), Self::Dict(b)) => {
                a.0.len() == b.0.len()
                    && a.0.iter().all(|(key, value)| b.get(key).is_some_and(|other| value.same(other)))
            }
            (Self::Range(..), Self::Range(..)) => match (self.items(), other.items()) {
                (Ok(a), Ok(b)) => all_same(&a, &b),
                _ => false,
            },
            (Self::View(a, x), Self::View(b, y)) => a == b && *a != "values" && all_same(x, y),
            (Self::Generator(a), Self::Generator(b)) => Rc::ptr_eq(a, b),
            (Self::Object(a), Self::Object(b)) => match (&**a, &**b) {
                (Object::Function(x), Object::Function(y)) => x == y,
                (Object::Method(x, m), Object::Method(y, n)) => m == n && x.same(y),
                (Object::Group(k, x), Object::Group(l, y)) => k.same(l) && x.same(y),
                _ => Rc::ptr_eq(a, b),
            },
            _ => match (self.as_int(), other.as_int()) {
                (Some(a), Some(b)) => a == b,
                _ => match (self.as_float(), other.as_float()) {
                    (Some(a), Some(b)) => a == b,
                    _ => false,
                },
            },
        }
    }

    /// Whether it may be the key of a dict.
    pub(crate) fn is_hashable(&self) -> bool {
        match self {
            Self::List(_) | Self::Dict(_) | Self::View(..) => false,
            Self::Tuple(items) => items.iter().all(Self::is_hashable),
            _ => true,
        }
    }

    /// Python's `str`.
    pub(crate) fn to_text(&self) -> Result<Text, RenderError> {
        Ok(match self {
            Self::Str(text) => text.clone(),
            Self::Undefined(_) => Text::from(""),
            _ => {
                let mut output = String::new();
                let mut origin = None;
                write_repr(self, &mut output, &mut origin, 0)?;
                Text::written(output, origin)
            }
        })
    }

    /// Python's `repr`.
    pub(crate) fn repr(&self) -> Result<String, RenderError> {
        let mut output = String::new();
        write_repr(self, &mut output, &mut None, 0)?;
        Ok(output)
    }

    /// The first origin that any text in it is marked with.
    pub(crate) fn origin(&self) -> Option<u32> {
        match self {
            Self::Str(text) => text.origin(),
            Self::List(items) | Self::Tuple(items) | Self::View(_, items) => items.iter().find_map(Self::origin),
            Self::Dict(dict) => dict.0.iter().find_map(|(key, value)| key.origin().or_else(|| value.origin())),
            _ => None,
        }
    }
}

fn all_same(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.same(y))
}

pub(crate) fn range_length(start: i64, stop: i64, step: i64) -> usize {
    let (low, high) = if step > 0 { (start, stop) } else { (stop, start) };
    let distance = i128::from(high) - i128::from(low);
    let step = i128::from(step).abs().max(1);
    usize::try_from((distance.max(0) + step - 1) / step).unwrap_or(usize::MAX)
}

fn write_repr(value: &Value, output: &mut String, origin: &mut Option<u32>, depth: usize) -> Result<(), RenderError> {
    if depth > DEPTH {
        return Err(RenderError::new("a value is nested too deeply to be printed"));
    }
    let mut many = |output: &mut String, open: &str, items: &[Value], close: &str| -> Result<(), RenderError> {
        output.push_str(open);
        for (index, item) in items.iter().enumerate() {
            output.push_str(if index > 0 { ", " } else { "" });
            write_repr(item, output, origin, depth + 1)?;
        }
        output.push_str(close);
        Ok(())
    };
    match value {
        Value::Undefined(_) => output.push_str("Undefined"),
        Value::None => output.push_str("None"),
        Value::Bool(value) => output.push_str(if *value { "True" } else { "False" }),
        Value::Int(value) => output.push_str(&value.to_string()),
        Value::Float(value) => output.push_str(&float(*value)),
        Value::Str(text) => {
            *origin = origin.or(text.origin());
            if text.is_markup() {
                output.push_str("Markup(");
            }
            quote(text.as_str(), output);
            if text.is_markup() {
                output.push(')');
            }
        }
        Value::List(items) => many(output, "[", items, "]")?,
        Value::Tuple(items) => many(output, "(", items, if items.len() == 1 { ",)" } else { ")" })?,
        Value::View(_, items) => {
            let open = format!("{}([", value.type_name());
            many(output, &open, items, "])")?;
        }
        Value::Dict(dict) => {
            output.push('{');
            for (index, (key, item)) in dict.0.iter().enumerate() {
                output.push_str(if index > 0 { ", " } else { "" });
                write_repr(key, output, origin, depth + 1)?;
                output.push_str(": ");
                write_repr(item, output, origin, depth + 1)?;
            }
            output.push('}');
        }
        Value::Range(start, stop, 1) => write_into(output, format_args!("range({start}, {stop})")),
        Value::Range(start, stop, step) => write_into(output, format_args!("range({start}, {stop}, {step})")),
        Value::Object(object) => match &**object {
            Object::Group(key, items) => many(output, "(", &[key.clone(), items.clone()], ")")?,
            Object::Macro { definition, .. } => match &definition.name {
                Some(name) => write_into(output, format_args!("<Macro '{name}'>")),
                None => output.push_str("<Macro anonymous>"),
            },
            Object::Namespace(_) => return Err(RenderError::refused("printing a namespace")),
            _ => return Err(RenderError::refused(format!("printing a {}", value.type_name()))),
        },
        Value::Generator(_) => return Err(RenderError::refused("printing a generator (add `| list`)")),
    }
    Ok(())
}

/// Python's `repr` of a float.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// Python's `repr` of a string.
fn quote(text: &str, output: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    output.push(mark);
    for character in text.chars() {
        match character {
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            '\\' => output.push_str("\\\\"),
            c if c == mark => output.extend(['\\', c]),
            c if c == ' ' || !(c.is_control() || is_space(c) || is_unprintable(c)) => output.push(c),
            c if (c as u32) < 0x100 => write_into(output, format_args!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x10000 => write_into(output, format_args!("\\u{:04x}", c as u32)),
            c => write_into(output, format_args!("\\U{:08x}", c as u32)),
        }
    }
    output.push(mark);
}

/// Format, private-use and unassigned characters, which Python spells out. (Not every unassigned one is known here.)
fn is_unprintable(character: char) -> bool {
    matches!(character as u32,
        0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f
        | 0xe000..=0xf8ff | 0xfeff | 0xfff9..=0xfffb | 0xfffe..=0xffff | 0xe0000..=0x10ffff)
}

/// Joins texts.
pub(crate) fn concatenated<'a>(texts: impl IntoIterator<Item = &'a Text>) -> Text {
    let mut builder = TextBuilder::default();
    for text in texts {
        builder.push(text);
    }
    builder.finish()
}

/// Appends formatted text; writing to a string does not fail.
fn write_into(output: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = std::fmt::Write::write_fmt(output, text);
}
