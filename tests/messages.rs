//! What a person is told about a wrong pipeline file: one clear message a problem, with line and column.

use crate::binary::{root, run, text};

/// Snapshots of `retort check` on each wrong file.
fn told(name: &str) -> String {
    let folder = root().join("tests/fixtures/wrong");
    let output = run(&folder, &["check", &format!("{name}.yaml")]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
}

macro_rules! wrong {
    ($($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(told(stringify!($name)));
            }
        )+
    };
}

wrong!(
    unknown_key,
    wrong_type,
    cycle,
    missing_input,
    two_of_one_name,
    wrong_table,
    outside_the_workspace,
    secret_in_plain_text,
    no_samples,
    tabs,
    many_at_once,
    training_without_a_rate,
);
