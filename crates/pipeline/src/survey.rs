//! Before any work: which finished stages were edited or deleted. Each is named, and what is left of it is set aside, so
//! that it is made again like a stage that never ran.

use crate::error::PipelineError;
use crate::finished::Finished;
use crate::graph::Node;
use crate::keys::Keys;
use crate::observe::{Event, Observer};
use crate::resolver::shown;
use crate::store::{Output, Store};
use crate::wholeness::in_words;
use std::collections::BTreeMap;
use std::path::Path;

/// Looks at the outputs that `nodes` stand for. A stage's key follows from its inputs; behind a record that cannot be read
/// it is the key that the stage was last known by. Gives the nodes that have something to do, as far as can be known.
pub(crate) fn survey<'n>(
    nodes: impl Iterator<Item = &'n Node>,
    keys: &Keys<'_>,
    store: &Store,
    run: &str,
    observer: &dyn Observer,
) -> Result<Vec<&'n Node>, PipelineError> {
    let mut to_make = Vec::new();
    let mut known: BTreeMap<String, Finished> = BTreeMap::new();
    for node in nodes {
        let pointed = store.pointed(run, &node.name);
        let inputs_known = node.waits_for().all(|name| known.contains_key(name));
        // What cannot be read of inputs outside the run is told when the stage's turn comes.
        let derived =
            if inputs_known { keys.parts(node, &known).ok().and_then(|parts| parts.key().ok()) } else { None };
        let Some(key) = derived.or_else(|| pointed.clone()) else {
            to_make.push(node);
            continue;
        };
        let folder = store.folder(&key);
        let warn = |message: &str| observer.event(Event::Warning { stage: &node.name, message });
        let manifest = match store.output(&key) {
            Output::Whole(manifest) => {
                known.insert(node.name.clone(), Finished { name: node.name.clone(), key, folder, manifest: *manifest });
                continue;
            }
            Output::Absent => {
                if pointed.as_ref() == Some(&key) {
                    warn(&format!("its folder `{}` is gone: the stage runs again", shown(&folder)));
                }
                None
            }
            Output::Damaged { changes, manifest } => {
                set_aside(node, &folder, &changes, store, observer)?;
                manifest
            }
        };
        to_make.push(node);
        if let Some(manifest) = manifest {
            let name = node.name.clone();
            known.insert(name.clone(), Finished { name, key, folder, manifest: *manifest });
        }
    }
    Ok(to_make)
}

/// Names what changed in the finished stage in `folder` and gives the folder another name.
pub(crate) fn set_aside(
    node: &Node,
    folder: &Path,
    changes: &[String],
    store: &Store,
    observer: &dyn Observer,
) -> Result<(), PipelineError> {
    let aside = store.set_aside(folder)?;
    let message = format!(
        "changed since it was finished: {}; it is made again, and what was there now stands in `{}`",
        in_words(changes),
        shown(&aside)
    );
    observer.event(Event::Warning { stage: &node.name, message: &message });
    Ok(())
}
