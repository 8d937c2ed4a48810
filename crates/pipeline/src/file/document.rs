//! A YAML file as JSON values plus the place of every value, so that problems found later can point at the text.

use crate::problem::Problem;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// A parsed file.
#[derive(Debug)]
pub struct Document {
    /// The text.
    pub text: String,
    /// The content.
    pub value: Value,
    places: BTreeMap<String, Place>,
}

#[derive(Debug, Clone, Default)]
struct Place {
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

impl Document {
    /// Parses `text`. Syntax errors end the parse; repeated keys are all reported.
    pub fn parse(text: String) -> Result<Self, Vec<Problem>> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            strict_booleans: true,
        };
        let root: Spanned<Node> = serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
            let span = error.location().and_then(|location| range_of(location, &text));
            let mut problem = Problem::new(format!("not valid YAML: {}", first_line(&error.to_string())), span.clone());
            let line_start =
                span.as_ref().map_or(0, |span| text[..span.start.min(text.len())].rfind('\n').map_or(0, |at| at + 1));
            if text[line_start..].lines().next().is_some_and(|line| line.trim_start_matches(' ').starts_with('\t')) {
                problem = problem.with_help("indent with spaces: YAML does not allow tabs");
            }
            vec![problem]
        })?;
        let mut builder = Builder { text: &text, places: BTreeMap::new(), problems: Vec::new() };
        let value = builder.build(root, String::new(), None);
        let Builder { places, problems, .. } = builder;
        if problems.is_empty() { Ok(Self { text, value, places }) } else { Err(problems) }
    }

    /// Where the value at a JSON pointer stands, or its nearest parent that has a place.
    pub fn span(&self, pointer: &str) -> Option<Range<usize>> {
        self.nearest(pointer, |place| place.value.clone().or(place.key.clone()))
    }

    /// Where the key of the value at a JSON pointer stands, or its nearest parent.
    pub fn key_span(&self, pointer: &str) -> Option<Range<usize>> {
        self.nearest(pointer, |place| place.key.clone().or(place.value.clone()))
    }

    fn nearest(&self, pointer: &str, of: impl Fn(&Place) -> Option<Range<usize>>) -> Option<Range<usize>> {
        let mut pointer = pointer;
        loop {
            if let Some(span) = self.places.get(pointer).and_then(&of) {
                return Some(span);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// Escapes one step of a JSON pointer.
pub fn pointer_step(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

struct Builder<'a> {
    text: &'a str,
    places: BTreeMap<String, Place>,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    /// Line of a key that was met before, from 1.
    fn line_of(&self, pointer: &str) -> usize {
        let start = self.places.get(pointer).and_then(|place| place.key.as_ref()).map_or(0, |span| span.start);
        1 + self.text[..start].matches('\n').count()
    }

    fn build(&mut self, node: Spanned<Node>, pointer: String, key: Option<Range<usize>>) -> Value {
        let value = range_of(node.referenced, self.text);
        self.places.insert(pointer.clone(), Place { key, value });
        match node.value {
            Node::Scalar(value) => value,
            Node::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| self.build(item, format!("{pointer}/{index}"), None))
                .collect(),
            Node::Map(entries) => {
                let mut map = Map::new();
                for (key, item) in entries {
                    let span = range_of(key.referenced, self.text);
                    if map.contains_key(&key.value) {
                        self.problems.push(
                            Problem::new(format!("key `{}` is given twice", key.value), span).with_help(format!(
                                "rename or delete one of them; the first is in line {}",
                                self.line_of(&format!("{pointer}/{}", pointer_step(&key.value)))
                            )),
                        );
                        continue;
                    }
                    let step = format!("{pointer}/{}", pointer_step(&key.value));
                    let value = self.build(item, step, span);
                    map.insert(key.value, value);
                }
                Value::Object(map)
            }
        }
    }
}

fn range_of(location: Location, text: &str) -> Option<Range<usize>> {
    if location.line() == 0 {
        return None;
    }
    let span = location.span();
    let start = match span.byte_offset() {
        Some(offset) => (offset as usize).min(text.len()),
        // Syntax errors know only line and column.
        None => {
            let line_start = text.split_inclusive('\n').take(location.line() as usize - 1).map(str::len).sum::<usize>();
            let column = location.column().saturating_sub(1) as usize;
            let within = text[line_start..].char_indices().nth(column).map_or(0, |(at, _)| at);
            line_start + within
        }
    };
    let end = (start + span.byte_len().unwrap_or(1).max(1) as usize).min(text.len());
    // A block collection's span may run over many lines: its first line is what a person looks at.
    let end = text[start..end].find('\n').map_or(end, |newline| start + newline.max(1));
    Some(start..end)
}

fn first_line(message: &str) -> &str {
    message
        .lines()
        .map(|line| line.trim_start_matches("error:").trim())
        .find(|line| !line.is_empty())
        .unwrap_or(message)
}

/// A YAML node whose children keep their places.
#[derive(Debug)]
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Number::from_f64(value)
            .map(|number| Node::Scalar(number.into()))
            .ok_or_else(|| E::custom("infinite and undefined numbers are not allowed"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}
