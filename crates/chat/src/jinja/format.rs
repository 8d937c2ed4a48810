//! Python's two ways to format a string: `'%s' % value` and `'{}'.format(value)`.

use super::arguments::Arguments;
use super::error::RenderError;
use super::operators::{self, LARGEST};
use super::text::{Text, TextBuilder};
use super::value::{Value, float};

type Formatted = Result<Text, RenderError>;

/// What stands between `%` or `:` and the type.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    /// `<`, `>`, `^` or `=`.
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// `format % values`.
pub(crate) fn percent(format: &Text, values: &Value) -> Formatted {
    let string = format.as_str();
    let mut builder = TextBuilder::default();
    let positional: &[Value] = match values {
        Value::Tuple(items) => items,
        other => std::slice::from_ref(other),
    };
    let mut given = positional.iter();
    let mut done = 0;
    let mut named = false;
    while let Some(at) = string[done..].find('%').map(|at| done + at) {
        builder.push_slice(format, done..at);
        let mut rest = string[at + 1..].chars();
        let peek = |rest: &std::str::Chars<'_>| rest.clone().next();
        let mut key = None;
        if peek(&rest) == Some('(') {
            let (name, behind) =
                rest.as_str()[1..].split_once(')').ok_or_else(|| RenderError::new("incomplete format key"))?;
            key = Some(name);
            rest = behind.chars();
        }
        let mut spec = Spec::default();
        while let Some(flag) = peek(&rest).filter(|flag| "-+ 0#".contains(*flag)) {
            rest.next();
            match flag {
                '-' => spec.align = Some('<'),
                '+' => spec.sign = Some('+'),
                ' ' => spec.sign = spec.sign.or(Some(' ')),
                '0' => spec.fill = Some('0'),
                _ => spec.alternate = true,
            }
        }
        let digits = |rest: &mut std::str::Chars<'_>| {
            let mut number = 0usize;
            while let Some(digit) = peek(rest).and_then(|c| c.to_digit(10)) {
                rest.next();
                number = number.saturating_mul(10).saturating_add(digit as usize);
            }
            number
        };
        spec.width = digits(&mut rest);
        if peek(&rest) == Some('.') {
            rest.next();
            spec.precision = Some(digits(&mut rest));
        }
        while peek(&rest).is_some_and(|c| "hlL".contains(c)) {
            rest.next();
        }
        let Some(kind) = rest.next() else { return Err(RenderError::new("incomplete format")) };
        done = string.len() - rest.as_str().len();
        if kind == '%' {
            builder.push_str("%");
            continue;
        }
        let value = match key {
            Some(key) => {
                named = true;
                let Value::Dict(dict) = values else { return Err(RenderError::new("format requires a mapping")) };
                dict.get_str(key).cloned().ok_or_else(|| RenderError::new(format!("KeyError: '{key}'")))?
            }
            None => given.next().cloned().ok_or_else(|| RenderError::new("not enough arguments for format string"))?,
        };
        builder.push(&conversion(&value, kind, spec)?);
        check(builder.len())?;
    }
    builder.push_slice(format, done..string.len());
    let may_be_left =
        named || matches!(values, Value::Dict(_) | Value::List(_) | Value::Range(..) | Value::Undefined(_));
    if given.next().is_some() && !may_be_left {
        return Err(RenderError::new("not all arguments converted during string formatting"));
    }
    if format.is_markup() {
        return Err(RenderError::refused("formatting a string marked safe"));
    }
    Ok(builder.finish())
}

fn check(length: usize) -> Result<(), RenderError> {
    if length > LARGEST { Err(RenderError::limit("a string grows too long")) } else { Ok(()) }
}

/// One `%` conversion.
fn conversion(value: &Value, kind: char, mut spec: Spec) -> Formatted {
    let wanted =
        |what: &str| RenderError::new(format!("%{kind} format: {what} is required, not {}", value.type_name()));
    if let (Value::Undefined(what), false) = (value, "sra".contains(kind)) {
        return Err(operators::undefined(what));
    }
    let left = spec.align == Some('<');
    let text = match kind {
        's' => value.to_text()?,
        'r' | 'a' => Text::written(value.repr()?, value.origin()),
        'c' => match value {
            Value::Str(text) if text.as_str().chars().count() == 1 => text.clone(),
            _ => return Err(wanted("a character")),
        },
        'd' | 'i' | 'u' => {
            let number = match value {
                Value::Float(number) if number.is_finite() => *number as i128,
                _ => value.as_int().ok_or_else(|| wanted("a real number"))?,
            };
            spec.kind = Some('d');
            return numeric(&Value::Int(number), &percent_spec(spec, left));
        }
        'x' | 'X' | 'o' => {
            if value.as_int().is_none() {
                return Err(wanted("an integer"));
            }
            spec.kind = Some(kind);
            return numeric(value, &percent_spec(spec, left));
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let number = value.as_float().ok_or_else(|| wanted("a real number"))?;
            spec.kind = Some(kind);
            return numeric(&Value::Float(number), &percent_spec(spec, left));
        }
        _ => return Err(RenderError::new(format!("unsupported format character '{kind}'"))),
    };
    spec.fill = Some(' ');
    spec.align = Some(if left { '<' } else { '>' });
    pad(cut(&text, spec.precision), &spec)
}

/// The spec of a number in `%` formatting: zeros go behind the sign, unless it is aligned to the left.
fn percent_spec(mut spec: Spec, left: bool) -> Spec {
    if left {
        spec.fill = Some(' ');
        spec.align = Some('<');
    } else {
        spec.align = Some(if spec.fill == Some('0') { '=' } else { '>' });
    }
    spec
}

fn cut(text: &Text, precision: Option<usize>) -> Text {
    let end = precision.and_then(|precision| text.as_str().char_indices().nth(precision));
    end.map_or_else(|| text.clone(), |(at, _)| text.slice(0..at))
}

fn pad(text: Text, spec: &Spec) -> Formatted {
    let missing = spec.width.saturating_sub(text.as_str().chars().count());
    if missing == 0 {
        return Ok(text);
    }
    check(missing)?;
    let (before, after) = match spec.align {
        Some('>' | '=') => (missing, 0),
        Some('^') => (missing / 2, missing - missing / 2),
        _ => (0, missing),
    };
    let fill = |count: usize| std::iter::repeat_n(spec.fill.unwrap_or(' '), count).collect::<String>();
    let mut builder = TextBuilder::default();
    builder.push_str(&fill(before));
    builder.push(&text);
    builder.push_str(&fill(after));
    Ok(builder.finish())
}

/// A number by its spec, sign and all.
fn numeric(value: &Value, spec: &Spec) -> Formatted {
    let kind = spec.kind.unwrap_or(if matches!(value, Value::Float(_)) { 'r' } else { 'd' });
    let (negative, digits) = match (value, kind) {
        (_, 'd' | 'x' | 'X' | 'o' | 'b') => {
            let number = value.as_int().unwrap_or_default();
            let size = number.unsigned_abs();
            let (prefix, digits) = match kind {
                'd' => ("", size.to_string()),
                'x' => ("0x", format!("{size:x}")),
                'X' => ("0X", format!("{size:X}")),
                'o' => ("0o", format!("{size:o}")),
                _ => ("0b", format!("{size:b}")),
            };
            (number < 0, if spec.alternate { format!("{prefix}{digits}") } else { digits })
        }
        _ => {
            let number = value.as_float().unwrap_or_default();
            (number.is_sign_negative() && !number.is_nan(), real(number.abs(), kind, spec.precision)?)
        }
    };
    let digits = match spec.grouping {
        Some(separator) => grouped(&digits, separator),
        None => digits,
    };
    let sign = if negative {
        "-".to_owned()
    } else {
        spec.sign.filter(|sign| *sign != '-').map_or(String::new(), String::from)
    };
    if spec.align == Some('=') {
        let missing = spec.width.saturating_sub(sign.len() + digits.chars().count());
        check(missing)?;
        let fill: String = std::iter::repeat_n(spec.fill.unwrap_or(' '), missing).collect();
        return Ok(Text::from(format!("{sign}{fill}{digits}")));
    }
    pad(Text::from(format!("{sign}{digits}")), spec)
}

fn real(number: f64, kind: char, precision: Option<usize>) -> Result<String, RenderError> {
    if !number.is_finite() {
        return Ok(float(number));
    }
    let places = precision.unwrap_or(6);
    if places > 1000 {
        return Err(RenderError::limit("a number has too many places"));
    }
    let exponent = |text: String, letter: char| {
        let (mantissa, power) = text.split_once('e').map_or((text.as_str(), "0"), |parts| parts);
        let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
        format!("{mantissa}{letter}{sign}{power:0>2}")
    };
    Ok(match kind {
        'r' if precision.is_none() => float(number),
        'f' | 'F' => format!("{number:.places$}"),
        '%' => format!("{:.places$}%", number * 100.0),
        'e' | 'E' => exponent(format!("{number:.places$e}"), kind),
        _ => {
            let digits = places.max(1);
            let scientific = format!("{number:.*e}", digits - 1);
            let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or_default();
            let trim = |text: &str| {
                if text.contains('.') {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                } else {
                    text.to_owned()
                }
            };
            if number != 0.0 && (power < -4 || power >= digits as i32) {
                let (mantissa, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
                exponent(format!("{}e{power}", trim(mantissa)), if kind == 'G' { 'E' } else { 'e' })
            } else {
                let text = format!("{number:.*}", usize::try_from(digits as i32 - 1 - power).unwrap_or_default());
                if kind == 'r' && !trim(&text).contains('.') { format!("{}.0", trim(&text)) } else { trim(&text) }
            }
        }
    })
}

fn grouped(digits: &str, separator: char) -> String {
    let (whole, rest) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
    let mut output = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            output.push(separator);
        }
        output.push(digit);
    }
    output + rest
}

/// `format.format(*positional, **keywords)`.
pub(crate) fn str_format(format: &Text, arguments: &Arguments) -> Formatted {
    let string = format.as_str();
    let mut builder = TextBuilder::default();
    let mut done = 0;
    let mut automatic = 0;
    while let Some(at) = string[done..].find(['{', '}']).map(|at| done + at) {
        builder.push_slice(format, done..at);
        let rest = &string[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            builder.push_slice(format, at..at + 1);
            done = at + 2;
            continue;
        }
        if rest.starts_with('}') {
            return Err(RenderError::new("single '}' encountered in format string"));
        }
        let end = rest.find('}').ok_or_else(|| RenderError::new("expected '}' before end of string"))?;
        let field = &rest[1..end];
        if field.contains('{') {
            return Err(RenderError::refused("nested fields in `format`"));
        }
        let (name, spec) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = name.split_once('!').map_or((name, None), |(name, kind)| (name, Some(kind)));
        let value = if name.is_empty() {
            automatic += 1;
            arguments.positional.get(automatic - 1)
        } else if let Ok(index) = name.parse::<usize>() {
            arguments.positional.get(index)
        } else if name.contains(['.', '[']) {
            return Err(RenderError::refused("attributes in a field of `format`"));
        } else {
            arguments.keywords.iter().find(|(given, _)| **given == *name).map(|(_, value)| value)
        };
        let value = value.ok_or_else(|| RenderError::new(format!("replacement field '{name}' is not given")))?;
        let value = match conversion {
            None => value.clone(),
            Some("s") => Value::Str(value.to_text()?),
            Some("r") => Value::Str(Text::written(value.repr()?, value.origin())),
            Some(_) => return Err(RenderError::new("unknown conversion specifier")),
        };
        builder.push(&formatted(&value, spec)?);
        check(builder.len())?;
        done = at + end + 1;
    }
    builder.push_slice(format, done..string.len());
    Ok(builder.finish())
}

/// Python's `format(value, spec)`.
fn formatted(value: &Value, text: &str) -> Formatted {
    if text.is_empty() {
        return value.to_text();
    }
    let spec = parse(text)?;
    match value {
        Value::Str(text) => match spec.kind {
            None | Some('s') => pad(cut(text, spec.precision), &spec),
            Some(kind) => Err(RenderError::new(format!("unknown format code '{kind}' for object of type 'str'"))),
        },
        Value::Int(_) | Value::Bool(_) | Value::Float(_) => {
            let bare = matches!(value, Value::Bool(_)) && spec.kind.is_none();
            let integral = matches!(spec.kind, Some('d' | 'x' | 'X' | 'o' | 'b'));
            if bare || (integral && matches!(value, Value::Float(_))) || spec.kind == Some('s') {
                return Err(RenderError::refused(format!("the format `{text}` of a {}", value.type_name())));
            }
            let number = match spec.kind {
                Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => Value::Float(value.as_float().unwrap_or_default()),
                _ => value.clone(),
            };
            let spec = Spec { align: spec.align.or(Some('>')), ..spec };
            numeric(&number, &spec)
        }
        _ => Err(RenderError::new(format!("unsupported format string passed to {}.__format__", value.type_name()))),
    }
}

fn parse(text: &str) -> Result<Spec, RenderError> {
    let mut spec = Spec::default();
    let characters: Vec<char> = text.chars().collect();
    let mut at = 0;
    let aligns = |c: Option<&char>| c.is_some_and(|c| "<>^=".contains(*c));
    if aligns(characters.get(1)) {
        spec.fill = Some(characters[0]);
        spec.align = Some(characters[1]);
        at = 2;
    } else if aligns(characters.first()) {
        spec.align = Some(characters[0]);
        at = 1;
    }
    if let Some(sign) = characters.get(at).filter(|c| "+- ".contains(**c)) {
        spec.sign = Some(*sign);
        at += 1;
    }
    if characters.get(at) == Some(&'#') {
        spec.alternate = true;
        at += 1;
    }
    if characters.get(at) == Some(&'0') {
        spec.fill = spec.fill.or(Some('0'));
        spec.align = spec.align.or(Some('='));
        at += 1;
    }
    let digits = |at: &mut usize| {
        let mut number = None;
        while let Some(digit) = characters.get(*at).and_then(|c| c.to_digit(10)) {
            number = Some(number.unwrap_or(0usize).saturating_mul(10).saturating_add(digit as usize));
            *at += 1;
        }
        number
    };
    spec.width = digits(&mut at).unwrap_or_default();
    if let Some(grouping) = characters.get(at).filter(|c| ",_".contains(**c)) {
        spec.grouping = Some(*grouping);
        at += 1;
    }
    if characters.get(at) == Some(&'.') {
        at += 1;
        spec.precision = digits(&mut at);
    }
    spec.kind = characters.get(at).copied();
    if characters.len() > at + 1 || spec.kind.is_some_and(|kind| !"bdoxXeEfFgGs%".contains(kind)) {
        return Err(RenderError::new(format!("invalid format specifier '{text}'")));
    }
    Ok(spec)
}
