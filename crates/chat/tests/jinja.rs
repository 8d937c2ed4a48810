//! The interpreter against the original: random templates whose renderings `jinja/make.py` had `transformers` make.
//! `RETORT_JINJA_CASES` names another file of that script to compare with.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and prints its counts")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use retort_chat::{ChatError, ChatTemplate, Conversation, RenderOptions};
use serde_json::Value;

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

fn rendered(source: &str) -> Result<String, ChatError> {
    ChatTemplate::from_source(source, &[])?.render(&[], RenderOptions::default())
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
    // As deep as anything may be, in a thread with a small stack.
    let nested = "{% if true %}".repeat(90) + &format!("{{{{ {}1{} }}}}", "(1 + ".repeat(100), ")".repeat(100));
    let source = format!(
        "{{% macro f(n) %}}{}{}{{% if n %}}{{{{ f(n - 1) }}}}{{% endif %}}{{% endmacro %}}{{{{ f(50) }}}}",
        nested,
        "{% endif %}".repeat(90)
    );
    assert!(rendered(&source).is_ok_and(|text| text.starts_with("101101")));
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
