//! The verifiers of a pipeline file: a bare word (`math`) or a map of one (`math: { percent: strict }`).

use std::{borrow::Cow, fmt, marker::PhantomData, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapDeserializer},
    ser::SerializeMap,
};

use crate::{
    Verifier, VerifyError,
    answer_pattern::AnswerPatternSettings,
    choice::ChoiceSettings,
    code::CodeSettings,
    format::FormatSettings,
    json::JsonSettings,
    language::LanguageSettings,
    length::LengthSettings,
    math::MathSettings,
    number::NumberSettings,
    repetition::RepetitionSettings,
    text::{ExactSettings, NormalizedSettings, RegexSettings},
};

macro_rules! verifiers {
    ($($(#[$doc:meta])* $variant:ident($settings:ty) = $name:literal,)*) => {
        /// A verifier with its settings. In YAML a bare word stands for all defaults.
        #[derive(Debug, Clone, PartialEq)]
        pub enum VerifierSettings {
            $($(#[$doc])* $variant($settings),)*
        }

        /// Every verifier's name, in the order of this file.
        pub(crate) const NAMES: &[&str] = &[$($name),*];

        impl VerifierSettings {
            /// The verifier's name in pipeline files.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The verifier itself, ready for any number of cases.
            pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
                match self {
                    $(Self::$variant(settings) => settings.build(),)*
                }
            }
        }

        impl Serialize for VerifierSettings {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(1))?;
                match self {
                    $(Self::$variant(settings) => map.serialize_entry($name, settings)?,)*
                }
                map.end()
            }
        }

        impl<'de> Visitor<'de> for SettingsVisitor {
            type Value = VerifierSettings;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "the name of a verifier, or a map of one name to its settings")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                let none = || MapDeserializer::<_, E>::new(std::iter::empty::<(&str, &str)>());
                match name {
                    $($name => <$settings>::deserialize(none()).map(VerifierSettings::$variant),)*
                    _ => Err(E::unknown_variant(name, NAMES)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let Some(name) = map.next_key::<String>()? else {
                    return Err(de::Error::invalid_length(0, &self));
                };
                let settings = match name.as_str() {
                    $($name => VerifierSettings::$variant(map.next_value::<OrDefault<$settings>>()?.0),)*
                    _ => return Err(de::Error::unknown_variant(&name, NAMES)),
                };
                match map.next_key::<String>()? {
                    None => Ok(settings),
                    Some(_) => Err(de::Error::invalid_length(2, &self)),
                }
            }
        }

        impl JsonSchema for VerifierSettings {
            fn schema_name() -> Cow<'static, str> {
                "VerifierSettings".into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let maps = [$(json_schema!({
                    "type": "object",
                    "properties": { $name: generator.subschema_for::<$settings>() },
                    "required": [$name],
                    "additionalProperties": false,
                })),*];
                let names = json_schema!({ "type": "string", "enum": NAMES });
                let any: Vec<Schema> = std::iter::once(names).chain(maps).collect();
                json_schema!({
                    "description": "A verifier: its name for all defaults, or a map of its name to its settings.",
                    "anyOf": any,
                })
            }
        }
    };
}

verifiers! {
    /// Mathematical equality with the reference answer.
    Math(MathSettings) = "math",
    /// The reference answer, character for character.
    Exact(ExactSettings) = "exact",
    /// The reference answer but for case, punctuation, articles and white space.
    Normalized(NormalizedSettings) = "normalized",
    /// A regular expression that the answer must match.
    Regex(RegexSettings) = "regex",
    /// The last number of the answer.
    Number(NumberSettings) = "number",
    /// What follows the last occurrence of a pattern such as `####`.
    AnswerPattern(AnswerPatternSettings) = "answer-pattern",
    /// Multiple choice.
    Choice(ChoiceSettings) = "choice",
    /// Think tags, answer box and answer tags.
    Format(FormatSettings) = "format",
    /// Programs run against tests in a sandbox.
    Code(CodeSettings) = "code",
    /// JSON, well formed or equal to the reference answer.
    Json(JsonSettings) = "json",
    /// The share of words in the target language.
    Language(LanguageSettings) = "language",
    /// Repeated word sequences and loops.
    Repetition(RepetitionSettings) = "repetition",
    /// Length in characters or words.
    Length(LengthSettings) = "length",
}

impl VerifierSettings {
    /// As [`VerifierSettings::build`], with the folders where the data lie: a verifier that runs programs hides them, as it
    /// does the working folder and the home folder.
    pub fn build_beside(&self, private_paths: &[PathBuf]) -> Result<Box<dyn Verifier>, VerifyError> {
        match self {
            Self::Code(settings) => {
                let mut settings = settings.clone();
                settings.private_paths.extend_from_slice(private_paths);
                settings.build()
            }
            _ => self.build(),
        }
    }
}

struct SettingsVisitor;

impl<'de> Deserialize<'de> for VerifierSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SettingsVisitor)
    }
}

/// Settings that may also be null, as YAML reads `math:` with nothing after it.
struct OrDefault<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrDefault<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NullOr<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NullOr<T> {
            type Value = T;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "settings")
            }
            fn visit_unit<E: de::Error>(self) -> Result<T, E> {
                T::deserialize(MapDeserializer::<_, E>::new(std::iter::empty::<(&str, &str)>()))
            }
            fn visit_none<E: de::Error>(self) -> Result<T, E> {
                self.visit_unit()
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
                T::deserialize(deserializer)
            }
        }
        deserializer.deserialize_option(NullOr(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<VerifierSettings, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_bare_word_and_a_map_are_the_same() {
        for name in NAMES.iter().filter(|name| **name != "regex") {
            let bare = read(&format!("{name:?}")).unwrap();
            assert_eq!(bare, read(&format!("{{{name:?}: {{}}}}")).unwrap());
            assert_eq!(bare, read(&format!("{{{name:?}: null}}")).unwrap());
            assert_eq!(bare.name(), *name);
            // Where no sandbox works, `code` refuses instead of running anything.
            match bare.build() {
                Ok(verifier) => assert_eq!(verifier.name(), *name),
                Err(error) => assert_eq!(*name, "code", "{error}"),
            }
            let written = serde_json::to_string(&bare).unwrap();
            assert_eq!(read(&written).unwrap(), bare, "{written}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read("\"maths\"").unwrap_err().to_string().contains("unknown variant `maths`"));
        assert!(read("\"regex\"").unwrap_err().to_string().contains("missing field `pattern`"));
        assert!(read("{\"math\": {\"percents\": 1}}").unwrap_err().to_string().contains("unknown field `percents`"));
        assert!(read("{\"math\": {}, \"exact\": {}}").is_err());
        assert!(read("{}").is_err());
    }
}
