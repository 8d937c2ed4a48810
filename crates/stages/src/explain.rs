//! Documentation by name: stage kinds, verifiers, rules and filters.

use retort_pipeline::Engine;

/// The documentation of a stage kind, verifier, rule or filter, in Markdown.
pub fn explain(engine: &Engine, name: &str) -> Option<String> {
    let kind = engine.kind(name).map(|kind| kind.explain);
    let text = kind.or_else(|| retort_verify::explain(name)).or_else(|| retort_curate::explain(name));
    text.map(str::to_owned)
}

/// Everything that [`explain`] knows, by group.
pub fn explained_names(engine: &Engine) -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("stages", engine.kind_names()),
        ("verifiers", retort_verify::names().to_vec()),
        ("rules and filters", retort_curate::names().to_vec()),
    ]
}
