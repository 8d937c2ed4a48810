//! The interpreter against the original: random templates whose renderings `jinja/make.py` had `transformers` make.
//! `RETORT_JINJA_CASES` names another file of that script to compare with.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and prints its counts")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use retort_chat::{ChatError, ChatTemplate, Conversation, RenderOptions};
use serde_json::{Value, json};

#[test]
fn random_templates_render_as_in_python_or_are_refused_by_name() {
    // Tests start in their package's folder, wherever they were built.
    let path = std::env::var_os("RETORT_JINJA_CASES").map_or_else(|| "tests/jinja/cases.json".into(), PathBuf::from);
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let conversation =
        Conversation { template_kwargs: file["context"].as_object().unwrap().clone(), ..Conversation::default() };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let source = case[0].as_str().unwrap();
        let rendered = ChatTemplate::from_source(source, &[])
            .and_then(|template| template.render_conversation(&conversation, RenderOptions::default()));
        let outcome = match (&rendered, case[1].as_str()) {
            (Ok(here), Some(there)) if here == there => "equal",
            (Err(_), None) => "both fail",
            (Err(ChatError::TemplateRefused { .. }), Some(_)) => "refused by name",
            _ => {
                wrong.push(format!("{source:?}\n    here  {rendered:?}\n    there {} {}", case[1], case[2]));
                "different"
            }
        };
        *counts.entry(outcome).or_default() += 1;
    }
    eprintln!("random templates: {counts:?}");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Renders with these variables.
fn with(source: &str, variables: Value) -> Result<String, ChatError> {
    let template_kwargs = variables.as_object().unwrap().clone();
    let conversation = Conversation { template_kwargs, ..Conversation::default() };
    ChatTemplate::from_source(source, &[])?.render_conversation(&conversation, RenderOptions::default())
}

#[test]
fn python_idioms_render() {
    let variables = json!({"text": "a</think>b", "list": [1, 2, 3], "nothing": null, "schema": {"items": {"a": 1}}});
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
        ("{{ tools is iterable }}{{ nothing is iterable }}{{ missing is iterable }}", "FalseFalseTrue"),
        ("{{ missing|length }}{{ missing }}{{ nothing }}{{ true }}{{ 1.0 }}{{ list }}", "0NoneTrue1.0[1, 2, 3]"),
        ("{{ '%s-%03d-%.1f%%' % ('a', 7, 2.55) }}{{ '%s' % 'a' }}", "a-007-2.5%a"),
        ("{{ 'a b c'.rsplit(' ', 1)[0] }}", "a b"),
        ("{% set j = joiner(', ') %}{% for x in list %}{{ j() }}{{ x }}{% endfor %}", "1, 2, 3"),
        ("{{ +1 }}{{ -(+2) }}{{ 7 // 2 }}{{ -7 % 3 }}{{ 2 ** 3 }}{{ 1 / 2 }}", "1-23280.5"),
        ("{{ 'abc' is sequence }}{{ {} is sequence }}{{ 1 is sequence }}{{ true is integer }}", "TrueTrueFalseFalse"),
        ("{{ strftime_now('%d %B %Y') }}", "26 July 2024"),
        // An attribute of the type goes before a key of the same name, an item behind it.
        ("{{ schema.items is callable }}{{ schema['items'] }}", "True{'a': 1}"),
        ("{{ schema.update is defined }}{{ schema.nothing is defined }}", "FalseFalse"),
        ("{% macro f(a, b='x') %}{{ a ~ b }}{% endmacro %}{{ f(1) }}{{ f(b=2, a=3) }}", "1x32"),
        ("{% set x = 1 %}{% for i in list %}{% set x = i %}{% endfor %}{{ x }}", "1"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{{ loop.last }}{% endfor %}", "a1True"),
        ("{{ ['b', 'A']|sort|join }}{{ {'b': 1, 'a': 2}|dictsort|first|first }}", "Aba"),
    ] {
        assert_eq!(with(source, variables.clone()).expect(source), expected, "{source}");
    }
    for (source, reason) in [
        ("{{ nothing + 'a' }}", "unsupported operand types for +: 'NoneType' and 'str'"),
        ("{{ 'a' + 1 }}", "can only concatenate str (not \"int\") to str"),
        ("{{ missing.x }}", "'missing' is undefined"),
        ("{% for x in nothing %}{% endfor %}", "'NoneType' object is not iterable"),
        ("{{ nothing < 1 }}", "instances of 'NoneType' and 'int' have no order"),
        ("{{ list.append(4) }}", "access to attribute 'append' of 'list' object is unsafe"),
        ("{% include 'x' %}", "has no loader"),
    ] {
        let error = with(source, variables.clone()).unwrap_err();
        assert!(matches!(&error, ChatError::TemplateFails { reason: found } if found.contains(reason)), "{error}");
    }
}

#[test]
fn json_is_written_as_python_writes_it() {
    let variables = json!({"x": [{"b": 1.5, "a": "é<\"\n"}, null, true]});
    for (source, expected) in [
        ("{{ x | tojson }}", r#"[{"b": 1.5, "a": "é<\"\n"}, null, true]"#),
        ("{{ x[0] | tojson(indent=2) }}", "{\n  \"b\": 1.5,\n  \"a\": \"é<\\\"\\n\"\n}"),
        ("{{ [] | tojson(indent=2) }}", "[]"),
        ("{{ 'é😀' | tojson(ensure_ascii=true) }}", r#""\u00e9\ud83d\ude00""#),
        ("{{ x[0] | tojson(separators=(',', ':'), sort_keys=true) }}", r#"{"a":"é<\"\n","b":1.5}"#),
        ("{{ {1: 1e20, none: 2.0, true: 0.00001} | tojson }}", r#"{"1": 1e-05, "null": 2.0}"#),
    ] {
        assert_eq!(with(source, variables.clone()).expect(source), expected, "{source}");
    }
}

fn rendered(source: &str) -> Result<String, ChatError> {
    ChatTemplate::from_source(source, &[])?.render(&[], RenderOptions::default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// No text makes the interpreter panic.
    #[test]
    fn any_text_is_rendered_or_refused(parts in prop::collection::vec(prop::sample::select(vec![
        "{{ ", " }}", "{% ", " %}", "{#", "#}", "-", "+", "if ", "else", "endif", "for x in ", "endfor", "set ", "macro f(x)",
        "endmacro", "raw", "endraw", "generation", "endgeneration", "x", "list", "text", "nothing", "'é'", "\"a\\n\"", "1",
        "-9", "170141183460469231731687303715884105727", "1.5", "(", ")", "[", "]", "{", "}", ":", ",", ".", "|", " is ", " in ",
        " and ", "not ", "=", "==", "*", "**", "/", "%", "~", "upper", "length", "join", "tojson", "format", "split()", "items",
        "range(3)", "namespace(a=1)", "loop.", "index", "string", "none", "true", "\n", " ", "é", "\\",
    ]), 0..40)) {
        let variables = json!({"text": "a é", "list": [1, "b", null], "nothing": null, "x": {"k": 1}});
        let _ = with(&parts.concat(), variables);
    }

    /// Nor do numbers and slices at their limits.
    #[test]
    fn any_slice_is_taken_or_refused(a in any::<i128>(), b in any::<i128>(), c in any::<i128>(), n in 0..9i128) {
        for source in ["[1, 2, 3][A:B:C]", "'aé3'[A:B:C]", "range(3)[A:B:C]", "[1, 2][N:B:C]", "'ab'[N - 4::C]",
            "A * B // (C + N)", "A ** N % B", "-A - B", "A | abs", "'a' * N", "(A, B)[N]", "'%d' % A", "'{:>5}'.format(A)",
            "'aé'.find('é', A, B)", "range(A, B, C)", "'a'.center(A)", "A / B"] {
            let source = source.replace('A', &a.to_string()).replace('B', &b.to_string());
            let source = source.replace('C', &c.to_string()).replace('N', &n.to_string());
            let _ = rendered(&format!("{{{{ {source} }}}}"));
        }
    }
}

#[test]
fn runaway_templates_stop() {
    for endless in [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set a = 'x' * 1000000 %}{% for i in range(100) %}{{ a }}{% endfor %}",
        "{% set n = namespace(a='x') %}{% for i in range(100) %}{% set n.a = n.a + n.a %}{% endfor %}",
        "{% set n = namespace(a=[1]) %}{% for i in range(100) %}{% set n.a = n.a + n.a %}{% endfor %}",
        "{% set n = namespace(a=[]) %}{% for i in range(999) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a }}",
        "{{ 'x' * 10**12 }}",
        "{{ 'x'.ljust(10**12) }}",
        "{{ '%999999999999s' % 'x' }}",
        "{{ 10 ** 99 }}",
    ] {
        let error = rendered(endless).unwrap_err();
        let stops = matches!(error, ChatError::TemplateFails { .. } | ChatError::TemplateRefused { .. });
        assert!(stops, "{endless}: {error}");
    }
    for (open, deep) in [
        ("{{ ", "("),
        ("{{ ", "["),
        ("{{ ", "- "),
        ("{{ x", " + x"),
        ("{{ x", ".x"),
        ("{{ x", "|e"),
        ("{{ ", "x or "),
        ("{{ ", "x if y else "),
    ] {
        let source = format!("{open}{} }}}}", deep.repeat(50_000));
        assert!(matches!(rendered(&source), Err(ChatError::TemplateSyntax { .. })), "{deep}");
    }
    for deep in ["{% if x %}", "{% for x in y %}", "{% filter upper %}"] {
        assert!(matches!(rendered(&deep.repeat(50_000)), Err(ChatError::TemplateSyntax { .. })), "{deep}");
    }
    assert_eq!(rendered(&format!("{{{{ {}x }}}}", "not ".repeat(50_001))).unwrap(), "True");
    // Deeper than any real template.
    let nested = "{% if true %}".repeat(40) + &format!("{{{{ {}1{} }}}}", "(1 + ".repeat(40), ")".repeat(40));
    let source = format!(
        "{{% macro f(n) %}}{}{}{{% if n %}}{{{{ f(n - 1) }}}}{{% endif %}}{{% endmacro %}}{{{{ f(2) }}}}",
        nested,
        "{% endif %}".repeat(40)
    );
    assert!(rendered(&source).is_ok_and(|text| text.starts_with("4141")));
}

#[test]
fn errors_carry_the_templates_words_and_the_line() {
    let error = rendered("\n{{ raise_exception('no system role') }}").unwrap_err();
    assert_eq!(error.to_string(), "chat template fails on this conversation: no system role (line 2 of the template)");
    assert_eq!(error.drop_reason(), Some("template_fails"));
    let error = rendered("{{ 'x' | pprint }}").unwrap_err();
    assert!(matches!(&error, ChatError::TemplateRefused { reason } if reason.contains("`pprint`")), "{error}");
    assert_eq!(error.drop_reason(), Some("template_refused"));
    let error = rendered("{{ x | nonsense }}").unwrap_err();
    assert!(error.to_string().contains("no filter named `nonsense` (line 1"), "{error}");
}
