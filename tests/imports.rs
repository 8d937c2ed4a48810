//! Which source files of a crate import which, and the circles in it.
//!
//! An import is a path in the code that begins with `crate::`, `super::` or `self::`, or a `use` of a child module. A name
//! that a module only hands on (`pub use`) counts as that of the module where it stands. `mod` lines are no imports, nor is
//! what stands in tests at the end of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module's path inside its crate: empty for the crate itself.
type Module = Vec<String>;

struct Source {
    /// The file as a person would name it.
    name: String,
    /// The paths it mentions, each relative to the crate.
    mentioned: Vec<Vec<String>>,
    /// Names that it hands on, with the path of where they stand.
    handed_on: BTreeMap<String, Vec<String>>,
}

/// Sets of files that import each other, each of more than one file.
pub fn circles(root: &Path, files: &[PathBuf]) -> Vec<Vec<String>> {
    let modules: BTreeMap<Module, &PathBuf> = files.iter().map(|file| (module_of(root, file), file)).collect();
    let sources: BTreeMap<Module, Source> =
        modules.iter().map(|(module, file)| (module.clone(), read(root, module, file, &modules))).collect();
    let edges: BTreeMap<&Module, BTreeSet<&Module>> = sources
        .iter()
        .map(|(module, source)| {
            let found = source.mentioned.iter().map(|path| home(path, &sources)).filter(|found| *found != module);
            (module, found.collect())
        })
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|module| (*module, reachable(module, &edges))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, there) in &reached {
        let back = there.iter().filter(|other| reached[**other].contains(module));
        let mut circle: Vec<String> = back.map(|other| sources[*other].name.clone()).collect();
        circle.sort();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn reachable<'a>(from: &'a Module, edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> BTreeSet<&'a Module> {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(module) = open.pop() {
        open.extend(edges[module].iter().filter(|next| seen.insert(**next)));
    }
    seen
}

fn module_of(root: &Path, file: &Path) -> Module {
    let inside = file.strip_prefix(root).expect("a source lies in its crate").with_extension("");
    let mut steps: Module = inside.iter().map(|step| step.to_string_lossy().into_owned()).collect();
    if steps.len() == 1 && ["lib", "main"].contains(&steps[0].as_str()) {
        steps.clear();
    }
    steps
}

fn read(root: &Path, module: &Module, file: &Path, modules: &BTreeMap<Module, &PathBuf>) -> Source {
    let text = std::fs::read_to_string(file).expect("a source can be read");
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |all, line| all + line + "\n");
    let (mut mentioned, mut handed_on) = (Vec::new(), BTreeMap::new());
    for statement in code.split(';') {
        let public = statement.rfind("pub use ").or_else(|| statement.rfind("pub(crate) use "));
        let at = public.or_else(|| statement.rfind("use ").filter(|at| statement[..*at].ends_with(['\n']) || *at == 0));
        let Some(at) = at else {
            mentioned.extend(paths_in(statement).into_iter().filter_map(|path| absolute(module, &path, modules)));
            continue;
        };
        let (before, used) = statement.split_at(at);
        mentioned.extend(paths_in(before).into_iter().filter_map(|path| absolute(module, &path, modules)));
        let used = used.split_once("use ").map_or("", |(_, used)| used);
        for path in spread(used) {
            let (path, name) = match path.split_once(" as ") {
                Some((path, name)) => (path.to_owned(), name.to_owned()),
                None => (path.clone(), path.rsplit("::").next().unwrap_or_default().to_owned()),
            };
            let steps: Vec<String> = path.split("::").map(str::to_owned).collect();
            let Some(found) = absolute(module, &steps, modules) else { continue };
            if public.is_some() {
                handed_on.insert(name, found);
            } else {
                mentioned.push(found);
            }
        }
    }
    let name = file.strip_prefix(root).expect("a source lies in its crate").display().to_string();
    Source { name, mentioned, handed_on }
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn spread(used: &str) -> Vec<String> {
    let used: String = used.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some(open) = used.find('{') else { return vec![used.trim().to_owned()] };
    let prefix = used[..open].trim();
    let inner = used[open + 1..].rsplit_once('}').map_or("", |(inner, _)| inner);
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| spread(part.trim())).map(|part| format!("{prefix}{part}")).collect()
}

/// Paths in running code that begin with `crate::` or `super::`.
fn paths_in(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let end =
                code[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(code.len() - at);
            found.push(code[at..at + end].split("::").filter(|step| !step.is_empty()).map(str::to_owned).collect());
        }
    }
    found
}

/// The path from the crate's root, of a path as written in `module`; none for what lies outside of the crate.
fn absolute(module: &Module, path: &[String], modules: &BTreeMap<Module, &PathBuf>) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let mut whole = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        child => {
            let mut inner = module.clone();
            inner.push(child.to_owned());
            modules.contains_key(&inner).then_some(inner)?
        }
    };
    for step in rest {
        if step == "super" {
            whole.pop();
        } else if step != "self" {
            whole.push(step.clone());
        }
    }
    Some(whole)
}

/// The module where what a path names stands.
fn home<'a>(path: &[String], sources: &'a BTreeMap<Module, Source>) -> &'a Module {
    let mut path = path.to_vec();
    // Names are handed on a few times at most.
    for _ in 0..8 {
        let depth = (0..=path.len()).rev().find(|depth| sources.contains_key(&path[..*depth])).unwrap_or(0);
        let (module, source) = sources.get_key_value(&path[..depth]).expect("the crate has a root");
        match path.get(depth).and_then(|name| source.handed_on.get(name)) {
            Some(target) => {
                let mut next = target.clone();
                next.extend(path[depth + 1..].iter().cloned());
                path = next;
            }
            None => return module,
        }
    }
    panic!("`{}` is handed on in circles", path.join("::"))
}
