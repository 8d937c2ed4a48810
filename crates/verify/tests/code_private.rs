//! Where the data lie, the expected outputs lie: no program may read there, wherever that is.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::path::{Path, PathBuf};
use std::process::Command;

use retort_verify::code::sandbox::{Limits, Program, Sandbox, SandboxChoice, Status};
use retort_verify::code::{CodeError, CodeSettings, CodeVerifier, resolve};

const SECRET: &str = "expected-outputs-of-the-tests";

/// A fresh folder that every user may enter.
fn folder(name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("retort-private-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its permissions");
    path.canonicalize().expect("its path")
}

fn put_secret(folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder");
    let path = folder.join("rows.jsonl");
    std::fs::write(&path, SECRET).expect("the secret");
    path
}

/// Not a test of its own: looks for the secret from a process whose working and home folder are the ones to hide.
#[test]
fn look_for_the_secret() {
    let list = |name: &str| -> Vec<PathBuf> {
        std::env::var_os(name).map(|paths| std::env::split_paths(&paths).collect()).unwrap_or_default()
    };
    let secrets = list("RETORT_TEST_SECRETS");
    if secrets.is_empty() {
        return;
    }
    let (shown, private) = (list("RETORT_TEST_SHOWN"), list("RETORT_TEST_PRIVATE"));
    let names: Vec<String> = secrets.iter().map(|path| format!("{path:?}")).collect();
    let source = format!(
        r"
import os
found = []
for path in [{}]:
    try: found.append(open(path).read())
    except OSError: pass
    for above in [os.path.dirname(path), os.path.dirname(os.path.dirname(path))]:
        try: found += [name for name in os.listdir(above) if name == 'rows.jsonl']
        except OSError: pass
for path in ['/proc/1/cmdline', '/proc/1/environ', '/proc/self/environ', '/proc/self/cmdline', '/proc/1/status', '/proc/1/cwd/rows.jsonl']:
    try: found += [path] if 'expected-outputs' in open(path, errors='replace').read() else []
    except OSError: pass
print(found, os.path.exists(SHOWN))
",
        names.join(", ")
    );
    // What is shown beside the secret stays visible.
    let beside = shown.iter().find(|path| path.is_dir()).cloned().unwrap_or_else(|| PathBuf::from("/usr"));
    let source = source.replace("SHOWN", &format!("{beside:?}"));
    for choice in [SandboxChoice::Builtin, SandboxChoice::Bubblewrap] {
        let attempt = |python: &str| {
            let python = resolve(&[python.into(), "-s".into(), "{file}".into()])?;
            let paths: Vec<PathBuf> = shown.iter().cloned().chain(python.paths.clone()).collect();
            Ok((Sandbox::new(choice, &paths, &private)?, python))
        };
        let (sandbox, python) = match attempt("python3").or_else(|_: CodeError| attempt("/usr/bin/python3")) {
            Ok(found) => found,
            Err(error) => {
                eprintln!("SKIPPED: sandbox {choice:?}: {error}");
                continue;
            }
        };
        let program = Program { file: "main.py", source: &source, command: &python.command };
        let result = sandbox.run(&program, b"", &Limits::of_seconds(5.0)).unwrap();
        let printed = String::from_utf8_lossy(&result.stdout).into_owned();
        let errors = String::from_utf8_lossy(&result.stderr);
        assert_eq!((result.status, printed.trim()), (Status::Exited(0), "[] True"), "{sandbox:?}\n{errors}");
    }
}

/// Starts [`look_for_the_secret`] in `work` with the home folder `home`.
fn looks(work: &Path, home: &Path, secrets: &[&Path], shown: &[&Path], private: &[&Path]) {
    let join = |paths: &[&Path]| std::env::join_paths(paths).expect("paths");
    let output = Command::new(std::env::current_exe().expect("this test"))
        // The command line holds the secret too, as that of `retort verify --tests` does.
        .args(["--exact", "look_for_the_secret", "--skip", SECRET])
        .current_dir(work)
        .env("HOME", home)
        .env("RETORT_TEST_SECRETS", join(secrets))
        .env("RETORT_TEST_SHOWN", join(shown))
        .env("RETORT_TEST_PRIVATE", join(private))
        .output()
        .expect("this test's own program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_working_folder_inside_a_shown_one_is_hidden() {
    let shown = folder("work");
    let secret = put_secret(&shown.join("ws"));
    looks(&shown.join("ws"), Path::new("/"), &[&secret], &[&shown], &[]);
    // Through a link as well.
    std::os::unix::fs::symlink(shown.join("ws"), shown.join("link")).unwrap();
    looks(&shown.join("link"), Path::new("/"), &[&secret, &shown.join("link/rows.jsonl")], &[&shown], &[]);
    std::fs::remove_dir_all(shown).unwrap();
}

#[test]
fn a_home_folder_inside_a_shown_one_is_hidden() {
    let shown = folder("home");
    let secret = put_secret(&shown.join("me/project"));
    let tool = shown.join("me/tool");
    std::fs::create_dir_all(&tool).unwrap();
    looks(Path::new("/"), &shown.join("me"), &[&secret], &[&shown, &tool], &[]);
    std::fs::remove_dir_all(shown).unwrap();
}

#[test]
fn a_folder_of_data_elsewhere_is_hidden() {
    let shown = folder("data");
    let secret = put_secret(&shown.join("deep/inside"));
    looks(Path::new("/"), Path::new("/"), &[&secret], &[&shown], &[&shown.join("deep/inside")]);
    std::fs::remove_dir_all(shown).unwrap();
}

#[test]
fn sources_of_the_system_are_hidden() {
    let app = Path::new("/usr/src").join(format!("retort-app-{}", std::process::id()));
    if std::fs::create_dir_all(&app).is_err() {
        return eprintln!("SKIPPED: only root may write to `/usr/src`");
    }
    let secret = put_secret(&app);
    looks(Path::new("/"), Path::new("/"), &[&secret], &[], &[]);
    looks(&app, &app, &[&secret], &[], &[]);
    let local = Path::new("/usr/local").join(format!("retort-app-{}", std::process::id()));
    let beside = put_secret(&local);
    looks(&local, Path::new("/"), &[&beside], &[], &[]);
    looks(Path::new("/"), &local, &[&beside], &[], &[]);
    std::fs::remove_dir_all(app).unwrap();
    std::fs::remove_dir_all(local).unwrap();
}

#[test]
fn a_virtual_environment_shows_only_its_own_parts() {
    let work = folder("venv");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&work).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return eprintln!("SKIPPED: python3 cannot make a virtual environment");
    }
    let secret = put_secret(&work.join("data"));
    let command = vec![work.join("bin/python3").to_string_lossy().into_owned(), "{file}".to_owned()];
    let settings = CodeSettings { command, private_paths: vec![work.clone()], ..CodeSettings::default() };
    match CodeVerifier::new(settings) {
        Err(error) => eprintln!("SKIPPED: {error}"),
        Ok(verifier) => {
            let program =
                format!("```python\ntry: print(open({secret:?}).read())\nexcept OSError: print('closed')\n```");
            let tests = r#"{"inputs": [""], "outputs": ["closed"]}"#;
            let outcome = verifier.check(&retort_verify::Case {
                completion: &program,
                tests: Some(tests),
                ..retort_verify::Case::default()
            });
            assert_eq!(outcome.outcome.verdict, retort_records::Verdict::Correct, "{:?}", outcome.outcome);
        }
    }
    std::fs::remove_dir_all(work).unwrap();
}

#[test]
fn data_among_the_systems_folders_are_refused() {
    let error = Sandbox::new(SandboxChoice::Builtin, &[], &[PathBuf::from("/usr/bin")]).unwrap_err().to_string();
    assert!(error.contains("`/usr/bin`"), "{error}");
}
