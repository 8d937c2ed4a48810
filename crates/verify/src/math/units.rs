//! Units of measure: what they are called, what they convert to, and what a missing one means.

use std::{collections::HashMap, sync::LazyLock};

use num_rational::BigRational;

/// How two units stand to each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Units {
    /// The same, or one is missing.
    Agree,
    /// One of the first is so many of the second.
    Factor(BigRational),
    /// Of different kinds, such as metres and seconds.
    Differ,
    /// Nobody here knows.
    Unclear,
}

/// Names, kind, and size in the kind's base unit as a fraction.
const TABLE: &[(&[&str], &str, i64, i64)] = &[
    (&["mm", "millimeter", "millimetre", "毫米"], "length", 1, 1000),
    (&["cm", "centimeter", "centimetre", "厘米"], "length", 1, 100),
    (&["dm", "decimeter", "decimetre", "分米"], "length", 1, 10),
    (&["m", "meter", "metre", "米"], "length", 1, 1),
    (&["km", "kilometer", "kilometre", "千米", "公里"], "length", 1000, 1),
    (&["in", "inch", "inches"], "length", 254, 10000),
    (&["ft", "foot", "feet"], "length", 3048, 10000),
    (&["yd", "yard"], "length", 9144, 10000),
    (&["mi", "mile"], "length", 1609344, 1000),
    (&["mg", "milligram", "毫克"], "mass", 1, 1000),
    (&["g", "gram", "gramme", "克"], "mass", 1, 1),
    (&["kg", "kilogram", "千克", "公斤"], "mass", 1000, 1),
    (&["t", "ton", "tonne", "吨"], "mass", 1_000_000, 1),
    (&["oz", "ounce"], "weight", 1, 16),
    (&["lb", "lbs", "pound weight"], "weight", 1, 1),
    (&["ms", "millisecond"], "time", 1, 1000),
    (&["s", "sec", "second", "秒"], "time", 1, 1),
    (&["min", "minute", "分钟"], "time", 60, 1),
    (&["h", "hr", "hour", "小时"], "time", 3600, 1),
    (&["day", "天"], "time", 86400, 1),
    (&["week", "周"], "time", 604_800, 1),
    (&["ml", "milliliter", "millilitre", "毫升"], "volume", 1, 1000),
    (&["l", "liter", "litre", "升"], "volume", 1, 1),
    (&["cent", "cents", "¢"], "dollar", 1, 100),
    (&["dollar", "usd", "bucks", "美元"], "dollar", 1, 1),
    (&["euro", "eur", "欧元"], "euro", 1, 1),
    (&["pound", "gbp"], "pound", 1, 1),
    (&["yuan", "rmb", "cny", "元"], "yuan", 1, 1),
    (&["jiao", "角"], "yuan", 1, 10),
    (&["radian", "rad"], "angle", 1, 1),
    (&["degree c"], "celsius", 1, 1),
    (&["degree f"], "fahrenheit", 1, 1),
    (&["degree k", "kelvin"], "kelvin", 1, 1),
    (&["am"], "before noon", 1, 1),
    (&["pm"], "after noon", 1, 1),
];

/// The table by plain names.
static KNOWN: LazyLock<HashMap<String, (&'static str, BigRational)>> = LazyLock::new(|| {
    let sizes = TABLE.iter().flat_map(|(names, kind, numer, denom)| {
        let size = BigRational::new((*numer).into(), (*denom).into());
        names.iter().map(move |name| (plain(name), (*kind, size.clone())))
    });
    sizes.collect()
});

/// A unit without plural, case and filler words.
fn plain(unit: &str) -> String {
    let mut words = Vec::new();
    for word in unit.split(|c: char| c.is_whitespace() || matches!(c, '.' | '(' | ')' | ',')) {
        let lower = word.to_lowercase();
        if lower.is_empty()
            || matches!(lower.as_str(), "of" | "the" | "a" | "an" | "in" | "total" | "approximately" | "about")
        {
            // `in` alone is the inch.
            if lower == "in" && unit.trim().eq_ignore_ascii_case("in") {
                words.push(lower);
            }
            continue;
        }
        let singular = lower.strip_suffix('s').filter(|stem| stem.len() > 2 && !stem.ends_with('s')).map(str::to_owned);
        words.push(singular.unwrap_or(lower));
    }
    let unit = words.join(" ").replace(" per ", "/").replace(" /", "/").replace("/ ", "/");
    match unit.as_str() {
        "mph" => "mile/hour".to_owned(),
        "kph" | "kmh" | "kmph" => "km/hour".to_owned(),
        _ => unit,
    }
}

/// A simple unit's kind and size, and the power it is raised to.
fn known(plain: &str) -> Option<(&'static str, BigRational, u32)> {
    let (name, power) = match plain.split_once('^') {
        Some((name, power)) => (name.trim(), power.trim().parse().ok()?),
        None => match plain.split_once(' ') {
            Some(("square" | "sq", name)) => (name, 2),
            Some(("cubic" | "cu", name)) => (name, 3),
            _ => (plain, 1),
        },
    };
    let (kind, size) = KNOWN.get(name)?;
    Some((kind, size.clone(), power))
}

/// Whether a word names a unit of the table.
pub fn is_known(word: &str) -> bool {
    known(&plain(word)).is_some()
}

/// What the first word of a unit multiplies by, and the rest of the unit: `million dollars`, `万元`. A currency sign may
/// stand before it.
pub fn magnitude(unit: &str) -> Option<(i64, String)> {
    const SIZES: [(&str, i64); 6] = [
        ("thousand", 1000),
        ("million", 1_000_000),
        ("billion", 1_000_000_000),
        ("trillion", 1_000_000_000_000),
        ("万", 10_000),
        ("亿", 100_000_000),
    ];
    let unit = unit.trim();
    let (currency, words) = match unit.split_once(' ') {
        Some((first @ ("dollar" | "euro" | "pound" | "yuan" | "rupee"), rest)) => (first, rest.trim_start()),
        _ => ("", unit),
    };
    let (name, size) = SIZES.into_iter().find(|(name, _)| words.starts_with(name))?;
    let rest = words[name.len()..].trim_start_matches('s').trim();
    let separate = words[name.len()..].starts_with(|c: char| c.is_ascii_alphabetic() && c != 's');
    let known = |rest: &str| if rest.is_empty() { currency.to_owned() } else { rest.to_owned() };
    (!separate).then(|| (size, known(rest)))
}

/// Compares two units.
pub fn compare(a: &str, b: &str) -> Units {
    let (a, b) = (plain(a), plain(b));
    if a == b {
        return Units::Agree;
    }
    // `m/s` against `km/h`: part by part.
    if let (Some((a_over, a_under)), Some((b_over, b_under))) = (a.split_once('/'), b.split_once('/')) {
        let factor = |units| match units {
            Units::Agree => Ok(BigRational::from_integer(1.into())),
            Units::Factor(factor) => Ok(factor),
            other => Err(other),
        };
        return match (factor(compare(a_over, b_over)), factor(compare(a_under, b_under))) {
            (Ok(over), Ok(under)) if over == under => Units::Agree,
            (Ok(over), Ok(under)) => Units::Factor(over / under),
            (Err(Units::Unclear), _) | (_, Err(Units::Unclear)) => Units::Unclear,
            _ => Units::Differ,
        };
    }
    match (known(&a), known(&b)) {
        (Some((a_kind, a_size, a_power)), Some((b_kind, b_size, b_power))) => {
            if a_kind != b_kind || a_power != b_power {
                return Units::Differ;
            }
            let ratio = a_size / b_size;
            let factor = (0..a_power).fold(BigRational::from_integer(1.into()), |product, _| product * &ratio);
            if factor == BigRational::from_integer(1.into()) { Units::Agree } else { Units::Factor(factor) }
        }
        _ => Units::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_convert_or_differ() {
        let factor = |n: i64, d: i64| Units::Factor(BigRational::new(n.into(), d.into()));
        assert_eq!(compare("meters", "m"), Units::Agree);
        assert_eq!(compare("cm", "m"), factor(1, 100));
        assert_eq!(compare("square cm", "cm ^2"), Units::Agree);
        assert_eq!(compare("cm ^2", "m ^2"), factor(1, 10000));
        assert_eq!(compare("cm ^2", "cm"), Units::Differ);
        assert_eq!(compare("cents", "dollar"), factor(1, 100));
        assert_eq!(compare("hours", "km"), Units::Differ);
        assert_eq!(compare("apples", "oranges"), Units::Unclear);
        assert_eq!(compare("in", "inches"), Units::Agree);
    }
}
