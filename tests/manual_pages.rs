//! Manual pages and completions: there is one for every command, and they are those the binary speaks of.

use crate::binary::{run, text};
use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn every_command_has_a_manual_page_and_every_shell_a_completion() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let output = run(work.path(), &["man", "--write", "pages"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = |name: &str| std::fs::read_to_string(work.path().join("pages").join(name)).expect("a page");
    let first = page("retort.1");
    assert_eq!(first.trim_end(), text(&run(work.path(), &["man"]).stdout).trim_end());
    // Pages that pages refer to exist, and every command of the help has one.
    let mut open = vec!["retort.1".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        let text = page(&name).replace("\\-", "-");
        for word in text.split_whitespace().filter_map(|word| word.strip_suffix("(1)")) {
            open.push(format!("{word}.1"));
        }
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{name}");
        seen.insert(name);
        open.retain(|name| !seen.contains(name));
    }
    let help = text(&run(work.path(), &["--help"]).stdout);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    let commands: Vec<&str> = commands.into_iter().filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(commands.len() >= 15, "{help}");
    for command in &commands {
        assert!(seen.contains(&format!("retort-{command}.1")), "no page refers to retort-{command}(1): {seen:?}");
    }
    assert_eq!(std::fs::read_dir(work.path().join("pages")).expect("pages").count(), seen.len());

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(work.path(), &["completions", shell]).stdout);
        for command in &commands {
            assert!(script.contains(command), "{shell} does not complete `{command}`");
        }
    }
    let script = run(work.path(), &["completions", "bash"]).stdout;
    std::fs::write(work.path().join("retort.bash"), script).expect("a script can be written");
    let ask = "source retort.bash && COMP_WORDS=(retort ver) COMP_CWORD=1 && _retort retort ver retort && echo ${COMPREPLY[@]}";
    let bash = Command::new("bash").args(["-c", ask]).current_dir(work.path()).output().expect("bash starts");
    assert_eq!(text(&bash.stdout).trim(), "verify verify-data", "{}", text(&bash.stderr));
}
