//! Jinja's filters, and `tojson` as `transformers` writes it.

use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Arguments;
use super::characters::{capitalized, lines, title_words};
use super::error::RenderError;
use super::format::percent;
use super::lookup::looked_up;
use super::methods::{self, replaced, stripped};
use super::operators::{self, escaped};
use super::syntax::Binary;
use super::text::{Text, TextBuilder};
use super::value::{Object, Value};
use super::{json, numbers, ordering, predicates};

type Evaluated = Result<Value, RenderError>;

/// Every filter that Jinja has. Some of them are refused by name: their output is for web pages, or random.
pub(crate) const NAMES: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

pub(crate) fn apply(name: &str, value: Value, mut arguments: Arguments) -> Evaluated {
    match name {
        "default" | "d" => {
            let [default, boolean] = arguments.bind(name, ["default_value", "boolean"])?;
            let replace = value.is_undefined() || (boolean.is_some_and(|on| on.is_true()) && !value.is_true());
            Ok(if replace { default.unwrap_or_else(|| Value::from("")) } else { value })
        }
        "tojson" => json::dumps(&value, arguments),
        "upper" | "lower" | "title" | "capitalize" | "trim" | "string" | "safe" | "e" | "escape" | "forceescape"
        | "replace" | "indent" | "center" | "format" | "wordcount" | "truncate" | "urlencode" => {
            text_filter(name, &value, arguments)
        }
        "abs" | "round" | "int" | "float" => numbers::apply(name, &value, arguments),
        "map" => map(&value, arguments),
        "select" | "reject" | "selectattr" | "rejectattr" => select(name, &value, arguments),
        "sort" | "min" | "max" | "unique" | "groupby" | "dictsort" => ordering::apply(name, &value, arguments),
        "filesizeformat" | "pprint" | "random" | "striptags" | "urlize" | "wordwrap" | "xmlattr" => {
            Err(RenderError::refused(format!("the filter `{name}`")))
        }
        _ => sequence_filter(name, &value, arguments),
    }
}

fn text_filter(name: &str, value: &Value, mut arguments: Arguments) -> Evaluated {
    if name == "indent" && value.as_str().is_none() {
        return Err(RenderError::new(format!("indent of a '{}'", value.type_name())));
    }
    if name == "truncate" && value.as_str().is_none() {
        return Err(RenderError::refused(format!("truncate of a {}", value.type_name())));
    }
    let text = value.to_text()?;
    let string = text.as_str();
    let written = |string: String| Value::Str(Text::written(string, text.origin()).with_markup(text.is_markup()));
    Ok(match name {
        "trim" => {
            let [set] = arguments.bind(name, ["chars"])?;
            let set = match &set {
                None | Some(Value::None) => None,
                Some(Value::Str(set)) => Some(set.as_str()),
                Some(_) => return Err(RenderError::new("strip arg must be None or str")),
            };
            Value::Str(stripped(&text, set, true, true))
        }
        "replace" => {
            let [old, new, count] = arguments.bind(name, ["old", "new", "count"])?;
            let (Some(old), Some(new)) = (old, new) else { return Err(RenderError::new("replace needs two texts")) };
            let count = match &count {
                None | Some(Value::None) => -1,
                Some(count) => count.as_int().ok_or_else(|| RenderError::new("count must be an integer"))?,
            };
            Value::Str(replaced(&text.clone().with_markup(false), old.to_text()?.as_str(), &new.to_text()?, count))
        }
        "center" => {
            let [width] = arguments.bind(name, ["width"])?;
            let width = width.unwrap_or(Value::Int(80));
            let arguments = Arguments { positional: vec![width], keywords: Vec::new() };
            return methods::call(&Value::Str(text), "center", arguments);
        }
        "format" => {
            let Arguments { positional, keywords } = arguments;
            let named = keywords.into_iter().map(|(name, value)| (Value::from(&*name), value)).collect::<Vec<_>>();
            let values = match (positional.is_empty(), named.is_empty()) {
                (false, false) => {
                    return Err(RenderError::new("can't handle positional and keyword arguments at the same time"));
                }
                (_, true) => Value::Tuple(Rc::new(positional)),
                _ => operators::dict(named)?,
            };
            Value::Str(percent(&text, &values)?)
        }
        "indent" => indent(&text, arguments)?,
        "truncate" => truncate(&text, arguments)?,
        _ => {
            let [] = arguments.bind(name, [])?;
            match name {
                "upper" => written(string.to_uppercase()),
                "lower" => written(string.to_lowercase()),
                "title" => written(title_words(string)),
                "capitalize" => written(capitalized(string)),
                "string" => Value::Str(text),
                "safe" => Value::Str(text.with_markup(true)),
                "e" | "escape" => Value::Str(escaped(&text)),
                "forceescape" => Value::Str(escaped(&text.with_markup(false))),
                "urlencode" => {
                    if matches!(value, Value::Dict(_) | Value::List(_) | Value::Tuple(_)) {
                        return Err(RenderError::refused("`urlencode` of anything but a string"));
                    }
                    written(url_quoted(string))
                }
                _ => {
                    let is_word = |c: char| c.is_alphanumeric() || c == '_';
                    let count = string.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count();
                    Value::Int(count as i128)
                }
            }
        }
    })
}

fn url_quoted(text: &str) -> String {
    let mut output = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte) {
            output.push(byte as char);
        } else {
            let _ = write!(output, "%{byte:02X}");
        }
    }
    output
}

fn indent(text: &Text, mut arguments: Arguments) -> Evaluated {
    let [width, first, blank] = arguments.bind("indent", ["width", "first", "blank"])?;
    let indention = match &width {
        None => Text::from("    "),
        Some(Value::Str(width)) => width.clone(),
        Some(width) => {
            let width = width.as_int().ok_or_else(|| RenderError::new("width must be a number or a string"))?;
            let width = usize::try_from(width).unwrap_or_default();
            if width > operators::LARGEST / 4 {
                return Err(RenderError::limit("a string grows too long"));
            }
            Text::from(" ".repeat(width))
        }
    };
    let blank = blank.is_some_and(|blank| blank.is_true());
    let string = text.as_str();
    let mut parts = lines(string, false);
    // Jinja appends a line feed before it splits, so that text that ends in one has an empty line behind it.
    if string.is_empty() || string.ends_with('\n') {
        parts.push("");
    }
    let mut builder = TextBuilder::default();
    if first.is_some_and(|first| first.is_true()) {
        builder.push(&indention);
    }
    for (index, line) in parts.into_iter().enumerate() {
        if index > 0 {
            builder.push_str("\n");
            if blank || !line.is_empty() {
                builder.push(&indention);
            }
        }
        if !line.is_empty() {
            builder.push(&text.part(line));
        }
        if builder.len() > operators::LARGEST {
            return Err(RenderError::limit("a string grows too long"));
        }
    }
    Ok(Value::Str(builder.finish().with_markup(text.is_markup())))
}

fn truncate(text: &Text, mut arguments: Arguments) -> Evaluated {
    let [length, kill, end, leeway] = arguments.bind("truncate", ["length", "killwords", "end", "leeway"])?;
    let number = |value: Option<Value>, default: i128| match value {
        None | Some(Value::None) => Ok(default),
        Some(value) => value.as_int().ok_or_else(|| RenderError::new("truncate takes numbers")),
    };
    let (length, leeway) = (number(length, 255)?, number(leeway, 5)?);
    let end = end.map_or(Ok(Text::from("...")), |end| end.to_text())?;
    let string = text.as_str();
    let end_length = end.as_str().chars().count() as i128;
    if length < end_length || leeway < 0 {
        return Err(RenderError::new("truncate: the length is below that of the end"));
    }
    if string.chars().count() as i128 <= length + leeway {
        return Ok(Value::Str(text.clone()));
    }
    let keep = string.char_indices().nth((length - end_length) as usize).map_or(string.len(), |(at, _)| at);
    let mut kept = &string[..keep];
    if !kill.is_some_and(|kill| kill.is_true()) {
        kept = kept.rsplit_once(' ').map_or(kept, |(before, _)| before);
    }
    let mut builder = TextBuilder::default();
    builder.push(&text.part(kept));
    builder.push(&end);
    Ok(Value::Str(builder.finish()))
}

fn sequence_filter(name: &str, value: &Value, mut arguments: Arguments) -> Evaluated {
    let empty = |what: &str| Value::undefined(format!("no {what} item, sequence was empty"));
    match name {
        "attr" => {
            let [attribute] = arguments.bind(name, ["name"])?;
            if let Value::Undefined(what) = value {
                return Err(operators::undefined(what));
            }
            let attribute = attribute.unwrap_or(Value::None).to_text()?;
            let attribute = attribute.as_str();
            let missing = || Value::undefined(format!("'{}' object has no attribute '{attribute}'", value.type_name()));
            if let Value::Object(object) = value
                && matches!(**object, Object::Loop(_))
            {
                return Err(RenderError::refused("the filter `attr` of `loop`"));
            }
            Ok(methods::attribute(value, attribute).unwrap_or_else(missing))
        }
        "join" => {
            let [separator, attribute] = arguments.bind(name, ["d", "attribute"])?;
            let separator = separator.map_or(Ok(Text::from("")), |separator| separator.to_text())?;
            let mut builder = TextBuilder::default();
            for (index, item) in value.items()?.into_iter().enumerate() {
                if index > 0 {
                    builder.push(&separator);
                }
                let item = match &attribute {
                    None | Some(Value::None) => item,
                    Some(attribute) => looked_up(&item, attribute, None)?,
                };
                builder.push(&item.to_text()?);
                if builder.len() > operators::LARGEST {
                    return Err(RenderError::limit("a string grows too long"));
                }
            }
            Ok(Value::Str(builder.finish()))
        }
        "sum" => {
            let [attribute, start] = arguments.bind(name, ["attribute", "start"])?;
            value.items()?.into_iter().try_fold(start.unwrap_or(Value::Int(0)), |sum, item| {
                let item = match &attribute {
                    None | Some(Value::None) => item,
                    Some(attribute) => looked_up(&item, attribute, None)?,
                };
                operators::binary(Binary::Add, &sum, &item)
            })
        }
        "batch" | "slice" => pieces(name, value, arguments),
        _ => {
            let [] = arguments.bind(name, [])?;
            match name {
                "length" | "count" => match value.length() {
                    Some(length) => Ok(Value::Int(length as i128)),
                    None => Err(RenderError::new(format!("object of type '{}' has no len()", value.type_name()))),
                },
                "list" => Ok(Value::list(value.items()?)),
                "first" => {
                    if let Value::Generator(rest) = value {
                        return Ok(rest.borrow_mut().pop_front().unwrap_or_else(|| empty("first")));
                    }
                    Ok(value.items()?.into_iter().next().unwrap_or_else(|| empty("first")))
                }
                "last" => match value {
                    Value::Generator(_) => Err(RenderError::new("'generator' object is not reversible")),
                    _ => Ok(value.items()?.pop().unwrap_or_else(|| empty("last"))),
                },
                "reverse" => {
                    if matches!(value, Value::Str(_)) {
                        return operators::slice(value, [None, None, Some(Value::Int(-1))]);
                    }
                    let mut items = value.items()?;
                    items.reverse();
                    let list = matches!(value, Value::Generator(_));
                    Ok(if list { Value::list(items) } else { Value::generator(items) })
                }
                "items" => match value {
                    Value::Undefined(_) => Ok(Value::generator(Vec::new())),
                    Value::Dict(_) => {
                        methods::call(value, "items", Arguments::default())?.items().map(Value::generator)
                    }
                    _ => Err(RenderError::new("can only get item pairs from a mapping")),
                },
                _ => Err(RenderError::new(format!("no filter named '{name}'"))),
            }
        }
    }
}

fn pieces(name: &str, value: &Value, mut arguments: Arguments) -> Evaluated {
    let [count, fill] = arguments.bind(name, [if name == "batch" { "linecount" } else { "slices" }, "fill_with"])?;
    let count = count.and_then(|count| count.as_int()).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|&count| count > 0).ok_or_else(|| RenderError::new(format!("{name} needs a number")))?;
    let fill = fill.filter(|fill| !matches!(fill, Value::None));
    let items = value.items()?;
    let mut output: Vec<Vec<Value>> = Vec::new();
    if name == "batch" {
        output.extend(items.chunks(count).map(<[Value]>::to_vec));
        if let (Some(fill), Some(last)) = (fill, output.last_mut()) {
            last.resize(count.min(1 << 20), fill);
        }
    } else {
        if count > 1 << 20 {
            return Err(RenderError::limit("a list grows too long"));
        }
        let (each, longer) = (items.len() / count, items.len() % count);
        let mut rest = items.into_iter();
        for index in 0..count {
            let mut piece: Vec<Value> = rest.by_ref().take(each + usize::from(index < longer)).collect();
            if index >= longer {
                piece.extend(fill.clone());
            }
            output.push(piece);
        }
    }
    Ok(Value::generator(output.into_iter().map(Value::list).collect()))
}

fn keyword(arguments: &mut Arguments, name: &str) -> Option<Value> {
    let at = arguments.keywords.iter().position(|(other, _)| &**other == name)?;
    Some(arguments.keywords.remove(at).1)
}

fn map(value: &Value, mut arguments: Arguments) -> Evaluated {
    if !value.is_true() {
        return Ok(Value::generator(Vec::new()));
    }
    let items = value.items()?;
    if arguments.positional.is_empty() {
        let attribute = keyword(&mut arguments, "attribute");
        let attribute = attribute.ok_or_else(|| RenderError::new("map requires a filter argument"))?;
        let default = keyword(&mut arguments, "default").filter(|default| !matches!(default, Value::None));
        if let Some((name, _)) = arguments.keywords.first() {
            return Err(RenderError::new(format!("unexpected keyword argument '{name}'")));
        }
        let found = items.iter().map(|item| looked_up(item, &attribute, default.as_ref()));
        return Ok(Value::generator(found.collect::<Result<_, _>>()?));
    }
    let name = arguments.positional.remove(0).to_text()?;
    if !NAMES.contains(&name.as_str()) {
        return Err(RenderError::new(format!("no filter named '{}'", name.as_str())));
    }
    let applied = items.into_iter().map(|item| apply(name.as_str(), item, copied(&arguments)));
    Ok(Value::generator(applied.collect::<Result<_, _>>()?))
}

fn copied(arguments: &Arguments) -> Arguments {
    let keywords: Vec<(Arc<str>, Value)> = arguments.keywords.clone();
    Arguments { positional: arguments.positional.clone(), keywords }
}

fn select(name: &str, value: &Value, mut arguments: Arguments) -> Evaluated {
    let wanted = name.starts_with("select");
    if !value.is_true() {
        return Ok(Value::generator(Vec::new()));
    }
    let items = value.items()?;
    let attribute = if name.ends_with("attr") {
        if arguments.positional.is_empty() {
            return Err(RenderError::new("missing parameter for attribute name"));
        }
        Some(arguments.positional.remove(0))
    } else {
        None
    };
    let test = if arguments.positional.is_empty() { None } else { Some(arguments.positional.remove(0).to_text()?) };
    let mut kept = Vec::new();
    for item in items {
        let subject = match &attribute {
            Some(attribute) => looked_up(&item, attribute, None)?,
            None => item.clone(),
        };
        let passes = match &test {
            Some(test) => predicates::apply(test.as_str(), &subject, &arguments)?,
            None => subject.is_true(),
        };
        if passes == wanted {
            kept.push(item);
        }
    }
    Ok(Value::generator(kept))
}
