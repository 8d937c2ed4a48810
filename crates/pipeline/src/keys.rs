//! Keys of nodes, and the finished stages behind their inputs.

use crate::check::Checked;
use crate::error::PipelineError;
use crate::finished::{Finished, is_checkpoint};
use crate::graph::Node;
use crate::manifest::{KeyParts, read_manifest};
use crate::source::Source;
use crate::store::{Output, Store};
use crate::wholeness::{damage, in_words};
use retort_records::derive_seed;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Makes the keys of nodes.
pub(crate) struct Keys<'a> {
    pub(crate) checked: &'a Checked,
    store: &'a Store,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(checked: &'a Checked, store: &'a Store) -> Self {
        Self { checked, store }
    }

    /// What decides the output of `node`, whose inputs are all among `finished` or are paths.
    pub(crate) fn parts(&self, node: &Node, finished: &BTreeMap<String, Finished>) -> Result<KeyParts, PipelineError> {
        let around = self.checked.around();
        let mut inputs = BTreeMap::new();
        for (slot, source) in &node.inputs {
            let input = self.input(source, finished)?;
            inputs.insert(slot.clone(), input.manifest.fingerprint());
        }
        for name in &node.derived {
            if let Some(derived) = finished.get(name) {
                inputs.insert(name.clone(), derived.manifest.fingerprint());
            }
        }
        let mut files = BTreeMap::new();
        for outside in node.stage.files(&around) {
            let path = around.resolver.locate(&outside.path).map_err(PipelineError::argument)?;
            for file in (outside.deciding)(&path) {
                let digest = around.resolver.sha256(&file, self.store.digests())?;
                let name = file.strip_prefix(around.resolver.workspace()).unwrap_or(&file);
                files.insert(name.to_string_lossy().into_owned(), digest);
            }
        }
        let seed = || derive_seed(self.checked.read.file.seed, &node.name, "", 0);
        Ok(KeyParts {
            kind: node.stage.kind().to_owned(),
            name: node.stage.writes_its_name().then(|| node.name.clone()),
            code_version: node.stage.version(),
            settings: node.stage.key_settings(&around).map_err(PipelineError::json("a stage's settings"))?,
            seed: node.stage.uses_seed().then(seed),
            inputs,
            files,
            versions: node.stage.versions(&around)?,
        })
    }

    /// A finished stage of another run is read as it was written, with all it was made of, or not at all.
    fn insist_on_whole(&self, input: &Finished) -> Result<(), PipelineError> {
        let made_of = input.manifest.lineage.all().map(|(_, origin)| origin.folder(input.store()));
        let folders: BTreeSet<PathBuf> = made_of.collect();
        let fail = |folder: &Path, change: String| {
            let what = if *folder == input.folder { "it" } else { "what it was made of" };
            let reason = format!("`{}` cannot be read: {what} changed in `{}`: {change}", input.name, folder.display());
            PipelineError::argument(reason).with_hint("run the pipeline that made it again, which mends it")
        };
        for folder in [&input.folder].into_iter().chain(&folders) {
            let manifest = read_manifest(folder).map_err(|change| fail(folder, change))?;
            let manifest = manifest.ok_or_else(|| fail(folder, "it is gone".to_owned()))?;
            let changes = damage(folder, &manifest, self.store.digests());
            if !changes.is_empty() {
                return Err(fail(folder, in_words(&changes)));
            }
        }
        Ok(())
    }

    /// The finished stage behind `source`.
    pub(crate) fn input(
        &self,
        source: &Source,
        finished: &BTreeMap<String, Finished>,
    ) -> Result<Finished, PipelineError> {
        if source.is_path() {
            let resolver = self.checked.resolver.as_ref();
            let folder = resolver.locate(source.as_str()).map_err(PipelineError::argument)?;
            if is_checkpoint(&folder) {
                let digest = |path: &Path| resolver.sha256(path, self.store.digests());
                return Finished::outside_checkpoint(source.as_str(), &folder, &digest);
            }
            let found = Finished::open(source.as_str(), &folder)?;
            self.insist_on_whole(&found)?;
            return Ok(found);
        }
        let found = finished.get(source.as_str()).cloned();
        found.ok_or_else(|| PipelineError::argument(format!("stage `{}` has not run yet", source.as_str())))
    }
}

/// Every stage of a checked file that is done with the file's settings, under `out`.
pub struct FinishedStages<'a> {
    checked: &'a Checked,
    store: Store,
    stages: BTreeMap<String, Finished>,
}

impl<'a> FinishedStages<'a> {
    /// Looks under `out`.
    pub fn find(checked: &'a Checked, out: &Path) -> Result<Self, PipelineError> {
        let store = Store::read_only(out)?;
        let keys = Keys::new(checked, &store);
        let mut stages: BTreeMap<String, Finished> = BTreeMap::new();
        for node in &checked.nodes {
            if node.waits_for().any(|name| !stages.contains_key(name)) {
                continue;
            }
            let key = keys.parts(node, &stages)?.key()?;
            if let Output::Whole(manifest) = store.output(&key) {
                let folder = store.folder(&key);
                stages
                    .insert(node.name.clone(), Finished { name: node.name.clone(), key, folder, manifest: *manifest });
            }
        }
        Ok(Self { checked, store, stages })
    }

    /// What `node` reads in `slot`; nothing when it reads nothing there.
    pub fn input(&self, node: &Node, slot: &str) -> Result<Option<Finished>, PipelineError> {
        let Some(source) = node.inputs.get(slot) else { return Ok(None) };
        if !source.is_path() && !self.stages.contains_key(source.as_str()) {
            let (source, reader) = (source.as_str(), &node.name);
            return Err(PipelineError::argument(format!(
                "stage `{source}`, which `{reader}` reads, has not run yet: run the pipeline with `--only {source}`"
            )));
        }
        Keys::new(self.checked, &self.store).input(source, &self.stages).map(Some)
    }
}
