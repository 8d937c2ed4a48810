//! Filters that make numbers.

use super::arguments::Arguments;
use super::error::RenderError;
use super::operators;
use super::text::is_space;
use super::value::Value;

type Evaluated = Result<Value, RenderError>;

pub(crate) fn apply(name: &str, value: &Value, mut arguments: Arguments) -> Evaluated {
    let wrong = || RenderError::new(format!("bad operand type for {name}: '{}'", value.type_name()));
    match name {
        "abs" => {
            let [] = arguments.bind(name, [])?;
            match value {
                Value::Float(number) => Ok(Value::Float(number.abs())),
                _ => value.as_int().map(|number| Value::Int(number.saturating_abs())).ok_or_else(wrong),
            }
        }
        "int" => {
            let [default, base] = arguments.bind(name, ["default", "base"])?;
            let base = match base {
                None => 10,
                Some(base) => base.as_int().and_then(|base| u32::try_from(base).ok()).unwrap_or(10),
            };
            Ok(whole(value, base)?.unwrap_or_else(|| default.unwrap_or(Value::Int(0))))
        }
        "float" => {
            let [default] = arguments.bind(name, ["default"])?;
            let number = match value {
                Value::Undefined(what) => return Err(operators::undefined(what)),
                Value::Str(text) => parsed(text.as_str()),
                _ => value.as_float(),
            };
            Ok(number.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
        }
        _ => {
            let [precision, method] = arguments.bind(name, ["precision", "method"])?;
            let precision = precision.map_or(Some(0), |precision| precision.as_int());
            let precision = precision.ok_or_else(|| RenderError::new("precision must be an integer"))?;
            let precision = usize::try_from(precision)
                .ok()
                .filter(|&places| places <= 100)
                .ok_or_else(|| RenderError::refused("`round` to a negative number of places"))?;
            let method = method.as_ref().map_or(Some("common"), Value::as_str);
            if let Value::Undefined(what) = value {
                return Err(operators::undefined(what));
            }
            let number = value.as_float().ok_or_else(wrong)?;
            let scale = 10f64.powi(precision as i32);
            match method {
                Some("common") => match value {
                    Value::Float(number) => {
                        let text = format!("{number:.precision$}");
                        Ok(Value::Float(text.parse().unwrap_or(*number)))
                    }
                    _ => Ok(Value::Int(value.as_int().unwrap_or_default())),
                },
                Some("ceil") => Ok(Value::Float((number * scale).ceil() / scale)),
                Some("floor") => Ok(Value::Float((number * scale).floor() / scale)),
                _ => Err(RenderError::new("method must be common, ceil or floor")),
            }
        }
    }
}

fn whole(value: &Value, base: u32) -> Result<Option<Value>, RenderError> {
    let truncated = |number: f64| (number.is_finite() && number.abs() < 1e38).then_some(Value::Int(number as i128));
    Ok(match value {
        Value::Undefined(what) => return Err(operators::undefined(what)),
        Value::Float(number) => truncated(*number),
        Value::Str(text) => {
            let string = text.as_str().trim_matches(is_space);
            let digits = if base == 10 { string.replace('_', "") } else { without_prefix(string, base) };
            let whole = (2..=36).contains(&base).then(|| i128::from_str_radix(&digits, base).ok()).flatten();
            whole.map(Value::Int).or_else(|| parsed(string).and_then(truncated))
        }
        _ => value.as_int().map(Value::Int),
    })
}

fn without_prefix(text: &str, base: u32) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let prefix = match base {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        _ => "",
    };
    let lower = digits.to_lowercase();
    format!("{sign}{}", lower.strip_prefix(prefix).unwrap_or(&lower))
}

/// Python's `float` of a string.
fn parsed(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space).replace('_', "");
    text.parse().ok()
}
