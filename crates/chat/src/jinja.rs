//! The Jinja environment in which `transformers` renders chat templates, rebuilt on minijinja.
//!
//! A template comes with a downloaded model, so it is bounded: fuel, recursion depth and output size have limits, and
//! it can neither load another template nor read a file, the environment or the clock. (A template that doubles a
//! string in memory without printing it is not bounded; minijinja has no limit for that.)

use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use crate::ChatError;

const TEMPLATE: &str = "chat";
/// Instructions that one rendering may execute; a turn of a real template takes some hundred.
const FUEL: u64 = 10_000_000;
const RECURSION: usize = 200;
/// Bytes that one rendering may write.
const OUTPUT: usize = 64 << 20;

/// The day that `strftime_now` reports to templates which print the date. The clock is never read, because the same
/// run must give the same bytes tomorrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Year of the Gregorian calendar.
    pub year: u16,
    /// Month, 1–12.
    pub month: u8,
    /// Day of the month, 1–31.
    pub day: u8,
}

impl Default for Date {
    /// 26 July 2024: the date that Llama 3's template prints when it is told none.
    fn default() -> Self {
        Self { year: 2024, month: 7, day: 26 }
    }
}

/// Compiles `source` in a fresh environment.
pub(crate) fn environment(source: &str, date: Date) -> Result<Environment<'static>, ChatError> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(|error| ChatError::TemplateSyntax { reason: describe(&error) })?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_unknown_method_callback(python_methods);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: String| strftime(date, &format));
    environment
        .add_template_owned(TEMPLATE, without_generation_tags(source))
        .map_err(|error| ChatError::TemplateSyntax { reason: describe(&error) })?;
    Ok(environment)
}

/// Renders the environment's template.
pub(crate) fn render(environment: &Environment<'_>, context: Value) -> Result<String, ChatError> {
    let fails = |error: &Error| ChatError::TemplateFails { reason: describe(error) };
    let template = environment.get_template(TEMPLATE).map_err(|error| fails(&error))?;
    let mut output = Capped(Vec::new());
    template.render_captured_to(context, &mut output).map_err(|error| fails(&error))?;
    String::from_utf8(output.0).map_err(|error| ChatError::TemplateFails { reason: error.to_string() })
}

fn describe(error: &Error) -> String {
    let text = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    match error.line() {
        Some(line) => format!("{text} (line {line} of the template)"),
        None => text,
    }
}

/// A buffer that refuses to grow beyond [`OUTPUT`] bytes.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT {
            return Err(io::Error::other(format!("the template wrote more than {OUTPUT} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces `{% generation %}…{% endgeneration %}`, which only `transformers` knows, by `{% if true %}…{% endif %}`,
/// so that white space is trimmed around it as around any block.
fn without_generation_tags(source: &str) -> String {
    let mut output = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        output.push_str(before);
        let inner = tag.trim_start_matches(['-', '+']).trim_start();
        let head = &tag[..tag.len() - inner.len()];
        let word_len = inner.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(inner.len());
        output.push_str(head);
        output.push_str(match &inner[..word_len] {
            "generation" => "if true",
            "endgeneration" => "endif",
            word => word,
        });
        rest = &inner[word_len..];
    }
    output.push_str(rest);
    output
}

/// Methods of Python's `str`, `dict` and `list` that templates call.
fn python_methods(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let (Some(text), [argument]) = (value.as_str(), args)
        && let Some(affix) = argument.as_str()
    {
        match method {
            "removeprefix" => return Ok(text.strip_prefix(affix).unwrap_or(text).into()),
            "removesuffix" => return Ok(text.strip_suffix(affix).unwrap_or(text).into()),
            "partition" | "rpartition" => {
                let found = if method == "partition" { text.split_once(affix) } else { text.rsplit_once(affix) };
                let parts = match (found, method) {
                    (Some((before, after)), _) => [before, affix, after],
                    (None, "partition") => [text, "", ""],
                    (None, _) => ["", "", text],
                };
                return Ok(parts.into_iter().map(Value::from).collect());
            }
            _ => {}
        }
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=…)`: the filter that `transformers` puts in place of
/// Jinja's HTML-safe one. Other keyword arguments of `json.dumps` are accepted and ignored where they change nothing.
fn to_json(value: &Value, args: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    if !args.is_empty() {
        return Err(Error::new(ErrorKind::TooManyArguments, "tojson takes keyword arguments only"));
    }
    let indent: Option<usize> = kwargs.get("indent")?;
    let ensure_ascii: Option<bool> = kwargs.get("ensure_ascii")?;
    let _: Option<Value> = kwargs.get("separators")?;
    let _: Option<bool> = kwargs.get("sort_keys")?;
    kwargs.assert_all_used()?;
    let mut output = String::new();
    write_json(&mut output, value, indent, 0)?;
    if ensure_ascii == Some(true) {
        let mut units = [0; 2];
        output = output.chars().fold(String::new(), |mut text, character| {
            if character.is_ascii() {
                text.push(character);
            } else {
                text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
            text
        });
    }
    Ok(output)
}

fn write_json(output: &mut String, value: &Value, indent: Option<usize>, depth: usize) -> Result<(), Error> {
    if depth > RECURSION {
        return Err(Error::new(ErrorKind::InvalidOperation, "value is nested too deeply for tojson"));
    }
    let newline = |output: &mut String, depth: usize| {
        if let Some(width) = indent {
            output.push('\n');
            output.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match value.kind() {
        ValueKind::Undefined => {
            return Err(Error::new(ErrorKind::UndefinedError, "tojson of an undefined value"));
        }
        ValueKind::None => output.push_str("null"),
        ValueKind::Bool => output.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => output.push_str(&value.to_string()),
        ValueKind::Seq | ValueKind::Iterable => {
            output.push('[');
            let mut any = false;
            for item in value.try_iter()?.checked() {
                output.push_str(if any { comma } else { "" });
                any = true;
                newline(output, depth + 1);
                write_json(output, &item?, indent, depth + 1)?;
            }
            if any {
                newline(output, depth);
            }
            output.push(']');
        }
        ValueKind::Map => {
            output.push('{');
            let mut any = false;
            for key in value.try_iter()?.checked() {
                let key = key?;
                output.push_str(if any { comma } else { "" });
                any = true;
                newline(output, depth + 1);
                output.push_str(&quoted(&key.to_string()));
                output.push_str(": ");
                write_json(output, &value.get_item(&key)?, indent, depth + 1)?;
            }
            if any {
                newline(output, depth);
            }
            output.push('}');
        }
        _ => output.push_str(&quoted(&value.to_string())),
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Python's `strftime` at midnight of `date`, for the directives that templates use.
fn strftime(date: Date, format: &str) -> Result<String, Error> {
    let Date { year, month, day } = date;
    let (Some(month_name), 1..=31) = (MONTHS.get(usize::from(month).wrapping_sub(1)), day) else {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("`{year}-{month}-{day}` is not a date")));
    };
    let mut output = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            output.push(character);
            continue;
        }
        let mut directive = characters.next().unwrap_or('%');
        let padded = directive != '-';
        if !padded {
            directive = characters.next().unwrap_or('%');
        }
        let number = |value: u16, width: usize| {
            if padded { format!("{value:0width$}") } else { value.to_string() }
        };
        let weekday = WEEKDAYS[weekday(date)];
        let part = match directive {
            'Y' => year.to_string(),
            'y' => number(year % 100, 2),
            'm' => number(month.into(), 2),
            'd' => number(day.into(), 2),
            'B' => (*month_name).to_owned(),
            'b' | 'h' => month_name[..3].to_owned(),
            'A' => weekday.to_owned(),
            'a' => weekday[..3].to_owned(),
            'H' | 'M' | 'S' => number(0, 2),
            'I' => number(12, 2),
            'p' => "AM".to_owned(),
            'F' => format!("{year}-{month:02}-{day:02}"),
            '%' => "%".to_owned(),
            other => {
                let reason = format!("strftime_now does not know `%{other}`");
                return Err(Error::new(ErrorKind::InvalidOperation, reason));
            }
        };
        output.push_str(&part);
    }
    Ok(output)
}

/// Days after Sunday (Sakamoto's method).
fn weekday(date: Date) -> usize {
    const SHIFT: [usize; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let month = usize::from(date.month);
    let year = usize::from(date.year) - usize::from(month < 3 && date.year > 0);
    (year + year / 4 - year / 100 + year / 400 + SHIFT[month - 1] + usize::from(date.day)) % 7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str, context: Value) -> Result<String, ChatError> {
        render(&environment(source, Date::default())?, context)
    }

    fn nothing() -> Value {
        Value::from_pairs(std::iter::empty::<(&str, Value)>())
    }

    #[test]
    fn dates_are_fixed() {
        let text = rendered("{{ strftime_now('%d %b %Y|%A|%-m|%y|%H:%M') }}", nothing()).expect("renders");
        assert_eq!(text, "26 Jul 2024|Friday|7|24|00:00");
        assert_eq!(weekday(Date { year: 2000, month: 1, day: 1 }), 6);
        assert_eq!(weekday(Date { year: 2024, month: 2, day: 29 }), 4);
    }

    #[test]
    fn exceptions_carry_the_templates_words() {
        let error = rendered("{{ raise_exception('no system role') }}", nothing()).expect_err("raises");
        assert_eq!(
            error.to_string(),
            "chat template fails on this conversation: no system role (line 1 of the template)"
        );
        assert_eq!(error.drop_reason(), Some("template_fails"));
    }

    #[test]
    fn python_idioms_render() {
        let context = || Value::from_pairs([("text", Value::from("a</think>b")), ("list", Value::from(vec![1, 2, 3]))]);
        for (source, expected) in [
            ("{{ text.split('</think>')[-1] }}", "b"),
            ("{% for x in list[::-1] %}{{ x }}{% endfor %}", "321"),
            ("{{ text[::-1] }}", "b>kniht/<a"),
            ("{{ 'xab'.removeprefix('x') }}{{ 'abx'.removesuffix('x') }}", "abab"),
            ("{{ text.partition('</think>')[2] }}{{ text.rpartition('?')[2] }}", "ba</think>b"),
            ("{%- set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}", "2"),
            ("{% if text is string and 'think' in text %}y{% endif %}", "y"),
            ("{% if missing is defined and missing is not none %}n{% else %}y{% endif %}", "y"),
            ("{%- generation -%} a {%- endgeneration -%}", "a"),
            ("{% for x in list %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "1"),
            ("  {% if true %}\n  a\n  {% endif %}\nb", "  a\nb"),
            ("{{ text | trim | upper }}", "A</THINK>B"),
        ] {
            assert_eq!(rendered(source, context()).expect(source), expected, "{source}");
        }
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let inner = Value::from_pairs([("b", Value::from(1.5)), ("a", Value::from("é<\"\n"))]);
        let context =
            || Value::from_pairs([("x", Value::from(vec![inner.clone(), Value::from(()), Value::from(true)]))]);
        assert_eq!(
            rendered("{{ x | tojson }}", context()).expect("renders"),
            r#"[{"b": 1.5, "a": "é<\"\n"}, null, true]"#
        );
        assert_eq!(
            rendered("{{ x[0] | tojson(indent=2) }}", context()).expect("renders"),
            "{\n  \"b\": 1.5,\n  \"a\": \"é<\\\"\\n\"\n}"
        );
        assert_eq!(rendered("{{ [] | tojson(indent=2) }}", context()).expect("renders"), "[]");
        assert_eq!(
            rendered("{{ 'é😀' | tojson(ensure_ascii=true) }}", context()).expect("renders"),
            r#""\u00e9\ud83d\ude00""#
        );
    }

    #[test]
    fn runaway_templates_stop() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(matches!(rendered(endless, nothing()), Err(ChatError::TemplateFails { .. })));
        let deep = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
        assert!(matches!(rendered(deep, nothing()), Err(ChatError::TemplateFails { .. })));
        let wide = "{% set a = 'x' * 1000000 %}{% for i in range(100) %}{{ a }}{% endfor %}";
        assert!(matches!(rendered(wide, nothing()), Err(ChatError::TemplateFails { .. })));
    }
}
