//! The engine with the stage kinds that it was given.

use crate::output_kind::OutputKind;
use crate::resolver::{Access, Resolver};
use crate::source::Source;
use crate::stage_kind::{Stage, StageKind};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;
use std::path::Path;

/// What the engine works with: the kinds it may run, and how it reaches what lies outside of a pipeline file.
#[derive(Debug)]
pub struct Engine {
    /// The stage kinds, in the order in which they are listed to people.
    pub kinds: Vec<KindEntry>,
    /// Makes what finds the paths of a file.
    pub resolver: fn(Access) -> Box<dyn Resolver>,
    /// Whether the folder of a file's `tokenizer` can be used: warnings, or why not.
    pub check_tokenizer: fn(&Path) -> Result<Vec<String>, String>,
}

/// One kind as the engine knows it.
#[derive(Debug, Clone, Copy)]
pub struct KindEntry {
    /// See [`StageKind::NAME`].
    pub name: &'static str,
    /// See [`StageKind::EXPLAIN`].
    pub explain: &'static str,
    pub(crate) read: fn(Value) -> Result<Box<dyn Stage>, serde_json::Error>,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) derived_from: Option<OutputKind>,
    pub(crate) derive: fn(Source) -> Option<Box<dyn Stage>>,
}

impl KindEntry {
    /// The entry of kind `K`.
    pub fn of<K: StageKind>() -> Self {
        Self {
            name: K::NAME,
            explain: K::EXPLAIN,
            read: |settings| Ok(Box::new(serde_json::from_value::<K>(settings)?)),
            schema: SchemaGenerator::subschema_for::<K>,
            derived_from: K::DERIVED_FROM,
            derive: |source| K::derived(source).map(|stage| Box::new(stage) as Box<dyn Stage>),
        }
    }
}

impl Engine {
    /// The kind called `name`.
    pub fn kind(&self, name: &str) -> Option<&KindEntry> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// The names of all kinds.
    pub fn kind_names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.name).collect()
    }
}
