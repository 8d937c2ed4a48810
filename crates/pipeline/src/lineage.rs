//! Which finished stages hold the tables that an output was made of.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A finished stage that holds a table: its key, for one in another results folder the path of its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origin(String);

impl Origin {
    /// The finished stage in `folder`, as seen from the store in `store`.
    pub(crate) fn of(folder: &Path, store: &Path) -> Self {
        let inside = folder.parent() == Some(store);
        let name = if inside { folder.file_name().unwrap_or_default() } else { folder.as_os_str() };
        Self(name.to_string_lossy().into_owned())
    }

    /// The stage's key, wherever it stands.
    pub fn key(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Its folder, as seen from the store in `store`.
    pub fn folder(&self, store: &Path) -> PathBuf {
        store.join(&self.0)
    }

    /// The key, if it stands in the store whose output names it.
    pub(crate) fn local_key(&self) -> Option<&str> {
        (!self.0.contains('/')).then_some(self.0.as_str())
    }
}

/// For each table that an output was made of, every finished stage whose rows of it went in, in the order in which they
/// were read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lineage(BTreeMap<String, Origins>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Origins {
    One(Origin),
    Several(Vec<Origin>),
}

impl Origins {
    fn as_slice(&self) -> &[Origin] {
        match self {
            Self::One(origin) => std::slice::from_ref(origin),
            Self::Several(origins) => origins,
        }
    }
}

impl Lineage {
    /// The stages whose rows of `table` went in.
    pub fn of(&self, table: &str) -> &[Origin] {
        self.0.get(table).map(Origins::as_slice).unwrap_or_default()
    }

    /// Every table with each of its stages.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().flat_map(|(table, origins)| origins.as_slice().iter().map(|origin| (table.as_str(), origin)))
    }

    /// Adds a stage whose rows of `table` went in, behind those that are there.
    pub(crate) fn add(&mut self, table: &str, origin: Origin) {
        let mut origins = self.of(table).to_vec();
        if origins.iter().any(|known| known.key() == origin.key()) {
            return;
        }
        origins.push(origin.clone());
        let origins = if origins.len() == 1 { Origins::One(origin) } else { Origins::Several(origins) };
        self.0.insert(table.to_owned(), origins);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_kept_once_and_in_order() {
        let mut lineage = Lineage::default();
        for folder in ["/s/store/b", "/s/store/a", "/s/store/b", "/other/store/c"] {
            lineage.add("rollouts", Origin::of(Path::new(folder), Path::new("/s/store")));
        }
        let text = serde_json::to_string(&lineage).unwrap();
        assert_eq!(text, r#"{"rollouts":["b","a","/other/store/c"]}"#);
        assert_eq!(serde_json::from_str::<Lineage>(&text).unwrap(), lineage);
        let keys: Vec<&str> = lineage.of("rollouts").iter().map(Origin::key).collect();
        assert_eq!(keys, ["b", "a", "c"]);
        assert_eq!(lineage.of("rollouts")[2].folder(Path::new("/s/store")), Path::new("/other/store/c"));
        // One source stands as text.
        let one: Lineage = serde_json::from_str(r#"{"prompts":"a"}"#).unwrap();
        assert_eq!(one.of("prompts").len(), 1);
    }
}
