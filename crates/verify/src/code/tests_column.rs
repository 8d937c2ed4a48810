//! The forms of a prompt's `tests` column.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::data::Data;

/// Tests of one programming task.
#[derive(Debug, Clone, PartialEq)]
pub enum Tests {
    /// A whole program that reads standard input and writes standard output.
    Stdin {
        /// Inputs with their expected outputs.
        cases: Vec<(String, String)>,
    },
    /// A function, or a method of a class `Solution`, called with JSON values.
    Calls {
        /// Name of the function.
        function: String,
        /// Arguments with their expected value.
        cases: Vec<(Vec<Data>, Data)>,
    },
    /// HumanEval: code that begins a module, and a function `check` that takes the finished function.
    HumanEval {
        /// Imports, helper functions, and the head of the function under test.
        prompt: String,
        /// Name of the function under test.
        entry_point: String,
        /// Code that defines `check`.
        test: String,
    },
    /// MBPP: a list of statements, each an `assert`, that use what the program defines.
    Asserts {
        /// Code to run before them.
        setup: String,
        /// The statements.
        asserts: Vec<String>,
    },
}

impl Tests {
    /// Reads the JSON of a `tests` column; an error is a reason in words.
    ///
    /// - `{"inputs": ["1 2\n"], "outputs": ["3\n"]}`: standard input and output (CodeContests, TACO, APPS). An input
    ///   may be a list of lines.
    /// - `{"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}`: calls. An input is the list of arguments, or, as in
    ///   LiveCodeBench, a string with one JSON value a line; the output is then a string with a JSON value too.
    /// - `[{"input": "…", "output": "…", "testtype": "stdin", "fn_name": null}]`: the same, one object a test.
    /// - `{"prompt": "…", "entry_point": "add", "test": "def check(candidate): …"}`: HumanEval.
    /// - `{"test_list": ["assert add(1, 2) == 3"], "test_setup_code": "", "test_imports": []}`: MBPP.
    ///   `challenge_test_list` is not run, as in the published evaluations.
    ///
    /// Other keys are the data set's own and mean nothing here.
    pub fn parse(json: &str) -> Result<Self, String> {
        let bad = |error: serde_json::Error| format!("the tests are not in a known form: {error}");
        if json.trim_start().starts_with('[') {
            return Self::from_list(&serde_json::from_str::<Vec<OneTest>>(json).map_err(bad)?);
        }
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).map_err(bad)?;
        let has = |key: &str| fields.contains_key(key);
        if has("entry_point") && has("test") {
            let HumanEval { prompt, entry_point, test } = serde_json::from_str(json).map_err(bad)?;
            if !is_identifier(&entry_point) {
                return Err(format!("`entry_point` is `{entry_point}`, which is no name"));
            }
            return Ok(Self::HumanEval { prompt, entry_point, test });
        }
        if has("test_list") {
            let Mbpp { asserts, setup, imports } = serde_json::from_str(json).map_err(bad)?;
            if asserts.is_empty() {
                return Err("`test_list` is empty".into());
            }
            let setup = imports.into_iter().chain([setup]).collect::<Vec<_>>().join("\n");
            return Ok(Self::Asserts { setup, asserts });
        }
        if has("inputs") && has("outputs") {
            let InputsOutputs { fn_name, inputs, outputs } = serde_json::from_str(json).map_err(bad)?;
            if inputs.len() != outputs.len() {
                return Err(format!("{} inputs and {} outputs", inputs.len(), outputs.len()));
            }
            return Self::from_pairs(fn_name, inputs.into_iter().zip(outputs));
        }
        Err("the tests are not in a known form: they have none of `inputs` and `outputs`, `entry_point` and `test`, \
             `test_list`"
            .into())
    }

    fn from_list(tests: &[OneTest]) -> Result<Self, String> {
        let function = tests.iter().find_map(|test| test.fn_name.clone());
        let calls = tests.iter().filter(|test| test.testtype.as_deref() == Some("functional")).count();
        if calls > 0 && (calls < tests.len() || function.is_none()) {
            return Err("functional tests need a `fn_name` and do not mix with others".into());
        }
        Self::from_pairs(function, tests.iter().map(|test| (test.input, test.output)))
    }

    fn from_pairs<'a>(
        function: Option<String>,
        pairs: impl Iterator<Item = (&'a RawValue, &'a RawValue)>,
    ) -> Result<Self, String> {
        let bad = |error: serde_json::Error| format!("the tests are not in a known form: {error}");
        let read = |raw: &RawValue| Data::parse(raw.get()).map_err(bad);
        if let Some(function) = function {
            let cases =
                pairs.map(|(input, output)| call(read(input)?, read(output)?)).collect::<Result<Vec<_>, _>>()?;
            return if cases.is_empty() {
                Err("there are no tests".into())
            } else {
                Ok(Self::Calls { function, cases })
            };
        }
        let cases = pairs
            .map(|(input, output)| Ok((text(read(input)?)?, text(read(output)?)?)))
            .collect::<Result<Vec<_>, String>>()?;
        if cases.is_empty() { Err("there are no tests".into()) } else { Ok(Self::Stdin { cases }) }
    }
}

/// The arguments and the expected value of a call.
fn call(input: Data, output: Data) -> Result<(Vec<Data>, Data), String> {
    let json = |text: &str| {
        Data::parse(text).map_err(|error| format!("`{}` is not JSON: {error}", super::compare::short(text)))
    };
    match (input, output) {
        (Data::Text(lines), Data::Text(expected)) => {
            let arguments = lines.lines().filter(|line| !line.trim().is_empty()).map(json);
            Ok((arguments.collect::<Result<_, _>>()?, json(&expected)?))
        }
        (Data::List(arguments), expected) => Ok((arguments, expected)),
        _ => Err("the input of a call is neither a list of arguments nor lines of JSON".into()),
    }
}

/// An input or output: a string, or a list of lines.
fn text(value: Data) -> Result<String, String> {
    match value {
        Data::Text(text) => Ok(text),
        Data::List(lines) => Ok(lines.into_iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n")),
        _ => Err("an input or output is neither a string nor a list of lines".into()),
    }
}

fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
}

#[derive(Deserialize)]
struct HumanEval {
    #[serde(default)]
    prompt: String,
    entry_point: String,
    test: String,
}

#[derive(Deserialize)]
struct Mbpp {
    #[serde(rename = "test_list")]
    asserts: Vec<String>,
    #[serde(default, rename = "test_setup_code")]
    setup: String,
    #[serde(default, rename = "test_imports")]
    imports: Vec<String>,
}

#[derive(Deserialize)]
struct InputsOutputs<'a> {
    #[serde(default)]
    fn_name: Option<String>,
    #[serde(borrow)]
    inputs: Vec<&'a RawValue>,
    #[serde(borrow)]
    outputs: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct OneTest<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    output: &'a RawValue,
    #[serde(default)]
    testtype: Option<String>,
    #[serde(default)]
    fn_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Data {
        Data::Number(text.into())
    }

    #[test]
    fn every_form_is_read() {
        let stdin = Tests::Stdin { cases: vec![("1 2\n".into(), "3\n".into())] };
        assert_eq!(Tests::parse(r#"{"inputs": ["1 2\n"], "outputs": ["3\n"], "fn_name": null}"#), Ok(stdin.clone()));
        assert_eq!(Tests::parse(r#"[{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]"#), Ok(stdin));
        let calls = Tests::Calls { function: "f".into(), cases: vec![(vec![number("1"), number("2")], number("3"))] };
        assert_eq!(Tests::parse(r#"{"fn_name": "f", "inputs": [[1, 2]], "outputs": [3]}"#), Ok(calls.clone()));
        assert_eq!(Tests::parse(r#"{"fn_name": "f", "inputs": ["1\n2"], "outputs": ["3"]}"#), Ok(calls));
        assert_eq!(
            Tests::parse(r#"{"inputs": [["1", "2"]], "outputs": [["3"]]}"#),
            Ok(Tests::Stdin { cases: vec![("1\n2".into(), "3".into())] })
        );
        assert!(matches!(
            Tests::parse(r#"{"prompt": "", "entry_point": "f", "test": "def check(c): pass", "task_id": "x"}"#),
            Ok(Tests::HumanEval { .. })
        ));
        assert_eq!(
            Tests::parse(
                r#"{"test_list": ["assert f()"], "test_imports": ["import math"], "test_setup_code": "x = 1"}"#
            ),
            Ok(Tests::Asserts { setup: "import math\nx = 1".into(), asserts: vec!["assert f()".into()] })
        );
    }

    #[test]
    fn what_is_no_test_says_why() {
        for (json, why) in [
            ("{}", "known form"),
            ("[]", "no tests"),
            ("nonsense", "known form"),
            (r#"{"inputs": ["1"], "outputs": []}"#, "1 inputs and 0 outputs"),
            (r#"{"inputs": [1], "outputs": ["1"]}"#, "neither a string"),
            (r#"{"fn_name": "f", "inputs": ["{"], "outputs": ["1"]}"#, "not JSON"),
            (r#"{"fn_name": "f", "inputs": [1], "outputs": [1]}"#, "neither a list"),
            (r#"{"test_list": []}"#, "empty"),
            (r#"{"entry_point": "f(", "test": ""}"#, "no name"),
            (r#"[{"input": "1", "output": "1", "testtype": "functional"}]"#, "fn_name"),
        ] {
            assert!(Tests::parse(json).unwrap_err().contains(why), "{json}: {:?}", Tests::parse(json));
        }
    }
}
