//! Filters that compare: `sort`, `min`, `max`, `unique`, `groupby` and `dictsort`.

use std::cmp::Ordering;
use std::rc::Rc;

use super::arguments::Arguments;
use super::error::RenderError;
use super::lookup::looked_up;
use super::operators;
use super::value::{Object, Value};

type Evaluated = Result<Value, RenderError>;

/// Lower case for strings, so that their case does not count.
fn folded(value: Value, case_sensitive: bool) -> Value {
    match value.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value,
    }
}

pub(crate) fn apply(name: &str, value: &Value, mut arguments: Arguments) -> Evaluated {
    let on = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let given = |value: Option<Value>| value.filter(|value| !matches!(value, Value::None));
    let key = |item: &Value, attribute: Option<&Value>, case_sensitive: bool| -> Evaluated {
        let found = attribute.map_or_else(|| Ok(item.clone()), |attribute| looked_up(item, attribute, None))?;
        Ok(folded(found, case_sensitive))
    };
    match name {
        "sort" => {
            let [reverse, case_sensitive, attribute] =
                arguments.bind(name, ["reverse", "case_sensitive", "attribute"])?;
            let case_sensitive = on(case_sensitive);
            let attributes: Vec<Option<Value>> = match given(attribute) {
                Some(Value::Str(names)) => names.as_str().split(',').map(|name| Some(Value::from(name))).collect(),
                other => vec![other],
            };
            let mut keyed = Vec::new();
            for item in value.items()? {
                let keys = attributes.iter().map(|attribute| key(&item, attribute.as_ref(), case_sensitive));
                keyed.push((Value::list(keys.collect::<Result<_, _>>()?), item));
            }
            Ok(Value::list(sorted(keyed, on(reverse))?))
        }
        "dictsort" => {
            let [case_sensitive, by, reverse] = arguments.bind(name, ["case_sensitive", "by", "reverse"])?;
            let at = match by.as_ref().map(Value::as_str) {
                None | Some(Some("key")) => 0,
                Some(Some("value")) => 1,
                _ => return Err(RenderError::new("you can only sort by either \"key\" or \"value\"")),
            };
            let Value::Dict(dict) = value else {
                return Err(RenderError::new(format!("'{}' object has no attribute 'items'", value.type_name())));
            };
            let case_sensitive = on(case_sensitive);
            let pairs = dict.0.iter().map(|(name, item)| {
                let sort_by = if at == 0 { name } else { item };
                let pair = Value::Tuple(Rc::new(vec![name.clone(), item.clone()]));
                (folded(sort_by.clone(), case_sensitive), pair)
            });
            Ok(Value::list(sorted(pairs.collect(), on(reverse))?))
        }
        "groupby" => {
            let [attribute, default, case_sensitive] =
                arguments.bind(name, ["attribute", "default", "case_sensitive"])?;
            let attribute = attribute.ok_or_else(|| RenderError::new("groupby needs an attribute"))?;
            let default = given(default);
            let case_sensitive = on(case_sensitive);
            let mut keyed = Vec::new();
            for item in value.items()? {
                let found = looked_up(&item, &attribute, default.as_ref())?;
                keyed.push((folded(found, case_sensitive), item));
            }
            let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
            for item in sorted(keyed, false)? {
                let found = looked_up(&item, &attribute, default.as_ref())?;
                let same = |(last, _): &&mut (Value, Vec<Value>)| {
                    folded(last.clone(), case_sensitive).same(&folded(found.clone(), case_sensitive))
                };
                match groups.last_mut().filter(same) {
                    Some((_, items)) => items.push(item),
                    None => groups.push((found, vec![item])),
                }
            }
            let group = |(key, items)| Value::object(Object::Group(key, Value::list(items)));
            Ok(Value::list(groups.into_iter().map(group).collect()))
        }
        _ => {
            let [case_sensitive, attribute] = arguments.bind(name, ["case_sensitive", "attribute"])?;
            let (case_sensitive, attribute) = (on(case_sensitive), given(attribute));
            let mut keyed: Vec<(Value, Value)> = Vec::new();
            for item in value.items()? {
                let found = key(&item, attribute.as_ref(), case_sensitive)?;
                if name == "unique" {
                    if !found.is_hashable() {
                        return Err(RenderError::new(format!("unhashable type: '{}'", found.type_name())));
                    }
                    if keyed.iter().all(|(other, _)| !other.same(&found)) {
                        keyed.push((found, item));
                    }
                    continue;
                }
                let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
                match keyed.first() {
                    Some((best, _)) if operators::order(&found, best)? != Some(wanted) => {}
                    _ => keyed = vec![(found, item)],
                }
            }
            if name == "unique" {
                return Ok(Value::generator(keyed.into_iter().map(|(_, item)| item).collect()));
            }
            let best = keyed.pop().map(|(_, item)| item);
            Ok(best.unwrap_or_else(|| Value::undefined("no aggregated item, sequence was empty")))
        }
    }
}

/// The items in the order of their keys; equal ones stay as they stand, also in reverse.
fn sorted(mut keyed: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<Value>, RenderError> {
    let mut failed = None;
    keyed.sort_by(|(a, _), (b, _)| {
        let order = operators::order(a, b).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            None
        });
        let order = order.unwrap_or(Ordering::Equal);
        if reverse { order.reverse() } else { order }
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}
