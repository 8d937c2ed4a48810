//! Reads a teacher in one of its three forms. An untagged enum would answer every mistake with "did not match any
//! variant"; here the form is chosen by the first telling key, and the form's own fields then give their own errors.

use std::{collections::VecDeque, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use super::{EndpointSettings, ReplaySettings, TeacherSettings};

impl<'de> Deserialize<'de> for TeacherSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FormVisitor)
    }
}

struct FormVisitor;

impl<'de> Visitor<'de> for FormVisitor {
    type Value = TeacherSettings;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter
            .write_str("`{ endpoint: URL, model: NAME }`, `{ replay: PATH, model: NAME }` or the name of a checkpoint")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<TeacherSettings, E> {
        if name.trim().is_empty() {
            return Err(E::custom("a teacher's name is empty"));
        }
        if name.starts_with("http://") || name.starts_with("https://") {
            return Err(E::custom("a server is given as `{ endpoint: URL, model: NAME }`"));
        }
        Ok(TeacherSettings::Checkpoint(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TeacherSettings, A::Error> {
        let mut before = VecDeque::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "endpoint" => {
                    let form = Rest { other: "replay", before, first: Some(key), map, value: None };
                    let form = MapAccessDeserializer::new(form);
                    return EndpointSettings::deserialize(form).map(TeacherSettings::Endpoint);
                }
                "replay" => {
                    let form = Rest { other: "endpoint", before, first: Some(key), map, value: None };
                    return ReplaySettings::deserialize(MapAccessDeserializer::new(form)).map(TeacherSettings::Replay);
                }
                _ => {
                    let value: Value = map.next_value()?;
                    before.push_back((key, value));
                }
            }
        }
        Err(de::Error::custom("a teacher needs `endpoint` or `replay`"))
    }
}

/// The entries of a map: those already read, the key that chose the form, and those still to come.
struct Rest<A> {
    /// The key that would choose the other form.
    other: &'static str,
    before: VecDeque<(String, Value)>,
    first: Option<String>,
    map: A,
    /// The value of the key just given out, when it was already read.
    value: Option<Value>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let key = if let Some((key, value)) = self.before.pop_front() {
            self.value = Some(value);
            Some(key)
        } else if let Some(key) = self.first.take() {
            Some(key)
        } else {
            self.map.next_key::<String>()?
        };
        match key {
            Some(key) if key == self.other => Err(de::Error::custom("a teacher has `endpoint` or `replay`, not both")),
            Some(key) => seed.deserialize(de::value::StringDeserializer::new(key)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(value).map_err(de::Error::custom),
            None => self.map.next_value_seed(seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TeacherSettings, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn each_form_is_read_whatever_the_order_of_its_keys() {
        let endpoint = EndpointSettings::new("http://127.0.0.1/v1", "m");
        for text in
            [r#"{"endpoint":"http://127.0.0.1/v1","model":"m"}"#, r#"{"model":"m","endpoint":"http://127.0.0.1/v1"}"#]
        {
            assert_eq!(read(text), Ok(TeacherSettings::Endpoint(endpoint.clone())), "{text}");
        }
        let replay = ReplaySettings { replay: "a.jsonl".into(), model: "m".into() };
        assert_eq!(read(r#"{"model":"m","replay":"a.jsonl"}"#), Ok(TeacherSettings::Replay(replay)));
        assert_eq!(read(r#""student""#), Ok(TeacherSettings::Checkpoint("student".into())));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            (r#"{"model":"m"}"#, "needs `endpoint` or `replay`"),
            (r#"{"endpoint":"e","model":"m","replay":"r"}"#, "not both"),
            (r#"{"endpoint":"e"}"#, "missing field `model`"),
            (r#"{"endpoint":"e","model":"m","concurency":3}"#, "unknown field `concurency`"),
            (r#"{"concurrency":"x","endpoint":"e","model":"m"}"#, "invalid type: string \"x\", expected usize"),
            (
                r#"{"replay":"r","model":"m","concurrency":3}"#,
                "unknown field `concurrency`, expected `replay` or `model`",
            ),
            (r#""http://127.0.0.1/v1""#, "endpoint: URL"),
            ("3", "expected `{ endpoint"),
            (r#"{"endpoint":"e","model":"m","api_key":"sk-canary"}"#, "env:NAME"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn the_schema_has_all_three_forms() {
        let schema = schemars::schema_for!(TeacherSettings).to_value();
        assert_eq!(schema["anyOf"].as_array().unwrap().len(), 3, "{schema:#}");
        assert_eq!(schema["$defs"]["EndpointSettings"]["additionalProperties"], false);
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            r#"{"endpoint":"http://127.0.0.1/v1","model":"m","api_key":"env:K","extra_body":{"a":1},"price":{"input_per_million":1,"output_per_million":2},"max_cost":3}"#,
            r#"{"replay":"a.jsonl","model":"m"}"#,
            r#""student""#,
        ] {
            let settings = read(text).unwrap();
            assert_eq!(read(&serde_json::to_string(&settings).unwrap()), Ok(settings));
        }
    }
}
