//! `init`: pipelines of this repository as the beginning of one's own, with the small files they need to run as they stand.

use crate::once::schemas::schema_files;
use retort_pipeline::{Engine, PipelineError, write_atomically};
use std::path::Path;

/// A pipeline file to begin with.
pub struct Recipe {
    /// What it is called; also the pipeline's own name.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    file: Bundled,
    needs: &'static [&'static [Bundled]],
}

/// A file of the repository that the binary carries.
struct Bundled {
    path: &'static str,
    content: &'static [u8],
}

/// What `init` did.
#[derive(Debug)]
pub struct Begun {
    /// The pipeline file, as seen from the folder that was written into.
    pub pipeline: &'static str,
    /// How many files were written; the others were there already with the same content.
    pub written: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Files by their paths in the repository, which are also their paths in the folder that is written into.
macro_rules! bundled {
    ($($path:literal),+ $(,)?) => {
        [$(Bundled { path: $path, content: include_bytes!(concat!("../../../../", $path)) }),+]
    };
}

macro_rules! recipe {
    ($name:literal, $path:literal, $about:literal, needs $($needs:ident),+) => {{
        let [file] = bundled![$path];
        Recipe { name: $name, about: $about, file, needs: &[$(&$needs),+] }
    }};
}

const TOKENIZER: [Bundled; 2] =
    bundled!["pipelines/quickstart/tokenizer/tokenizer.json", "pipelines/quickstart/tokenizer/tokenizer_config.json",];
const TEACHER: [Bundled; 4] = bundled![
    "pipelines/quickstart/teacher/config.json",
    "pipelines/quickstart/teacher/model.safetensors",
    "pipelines/quickstart/teacher/tokenizer.json",
    "pipelines/quickstart/teacher/tokenizer_config.json",
];
const STUDENT: [Bundled; 4] = bundled![
    "pipelines/quickstart/student/config.json",
    "pipelines/quickstart/student/model.safetensors",
    "pipelines/quickstart/student/tokenizer.json",
    "pipelines/quickstart/student/tokenizer_config.json",
];
// The README holds the licence, which goes wherever the rollouts go.
const PILOT: [Bundled; 2] =
    bundled!["pipelines/long2short/pilot/rollouts.jsonl", "pipelines/long2short/pilot/README.md"];
const PROMPTS: [Bundled; 1] = bundled!["pipelines/own-teacher/prompts.jsonl"];

/// Every recipe, the one for a first look first.
pub const RECIPES: [Recipe; 5] = [
    recipe!(
        "quickstart",
        "pipelines/quickstart.yaml",
        "the whole chain on two small models, from sampling to a report",
        needs TOKENIZER, TEACHER, STUDENT
    ),
    recipe!(
        "from-rollouts",
        "pipelines/long2short/from-rollouts.yaml",
        "rollouts that you have: judged, selected, paired, files for TRL",
        needs PILOT
    ),
    recipe!(
        "r1-distill",
        "pipelines/distill/r1-distill.yaml",
        "a student made as DeepSeek-R1's were: filtered, trained by preset",
        needs TOKENIZER, TEACHER, STUDENT
    ),
    recipe!(
        "long2short",
        "pipelines/long2short/long2short.yaml",
        "a model that thinks too long, shortened as Kimi k1.5 did",
        needs TOKENIZER, TEACHER
    ),
    recipe!(
        "own-teacher",
        "pipelines/own-teacher.yaml",
        "a teacher behind an OpenAI-compatible server, files for TRL",
        needs PROMPTS
    ),
];

/// How the comment of a recipe begins that lists what to change.
const FILL_IN: &str = "# To make it yours, set:";

impl Recipe {
    /// The recipe called `name`, or an error that tells what there is.
    pub fn named(name: &str) -> Result<&'static Self, PipelineError> {
        RECIPES.iter().find(|recipe| recipe.name == name).ok_or_else(|| {
            let reason = format!("there is no recipe `{name}`; recipes:\n{}", recipe_list());
            PipelineError::argument(reason).with_hint("the folder comes after the recipe: `retort init RECIPE DIR`")
        })
    }

    /// What to change in it, a line each, from the comment at its head.
    pub fn to_fill_in(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(self.file.content);
        let comment = text.lines().skip_while(|line| *line != FILL_IN).take_while(|line| line.starts_with('#'));
        comment.map(|line| line.trim_start_matches('#').strip_prefix(' ').unwrap_or_default().to_owned()).collect()
    }

    /// Writes the pipeline, what it reads, and the schema that editors check it with into `folder`. Files that are there
    /// with other content are left alone unless `force` is set: then nothing at all is written, and the error names them.
    pub fn write(&self, folder: &Path, engine: &Engine, force: bool) -> Result<Begun, PipelineError> {
        let schema = schema_files(engine)?.into_iter().next();
        let schema = schema.map(|schema| (format!("schemas/{}", schema.name), schema.text));
        let bundled = std::iter::once(&self.file).chain(self.needs.iter().copied().flatten());
        let files = bundled
            .map(|file| (file.path, file.content))
            .chain(schema.iter().map(|(path, text)| (path.as_str(), text.as_bytes())));

        let mut missing = Vec::new();
        let mut differing = Vec::new();
        for (path, content) in files {
            let path = folder.join(path);
            if path.symlink_metadata().is_err() {
                missing.push((path, content));
            } else if std::fs::read(&path).ok().as_deref() != Some(content) {
                differing.push((path, content));
            }
        }
        if force {
            missing.append(&mut differing);
        }
        if !differing.is_empty() {
            let names: Vec<String> = differing.iter().map(|(path, _)| format!("`{}`", path.display())).collect();
            let verb = if names.len() == 1 { "exists with other content" } else { "exist with other content" };
            let reason = format!("{} {verb}; nothing was written", names.join(", "));
            let hint = format!("`--force` overwrites; `retort init {} DIR` writes into another folder", self.name);
            return Err(PipelineError::argument(reason).with_hint(hint));
        }
        for (path, content) in &missing {
            let parent = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).map_err(PipelineError::io("create", parent))?;
            write_atomically(path, content)?;
        }
        let bytes = missing.iter().map(|(_, content)| content.len() as u64).sum();
        Ok(Begun { pipeline: self.file.path, written: missing.len(), bytes })
    }
}

/// Every recipe with what it does, a line each.
pub fn recipe_list() -> String {
    let lines: Vec<String> = RECIPES.iter().map(|recipe| format!("  {:13}  {}", recipe.name, recipe.about)).collect();
    lines.join("\n")
}
