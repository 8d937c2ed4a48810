//! Names, and what loops know of themselves.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::syntax::For;
use super::value::Value;

/// The names of one block, on top of those around it.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(super) names: RefCell<Vec<(Arc<str>, Value)>>,
    parent: Option<Rc<Scope>>,
}

impl Scope {
    pub(crate) fn inside(parent: &Rc<Scope>) -> Rc<Self> {
        Rc::new(Self { names: RefCell::default(), parent: Some(parent.clone()) })
    }

    pub(crate) fn set(&self, name: &Arc<str>, value: Value) {
        let mut names = self.names.borrow_mut();
        match names.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => names.push((name.clone(), value)),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Value> {
        let found = self.names.borrow().iter().find(|(other, _)| &**other == name).map(|(_, value)| value.clone());
        found.or_else(|| self.parent.as_ref()?.get(name))
    }
}

/// What a loop knows of itself.
#[derive(Debug)]
pub(crate) struct LoopState {
    pub(super) node: Arc<For>,
    /// Where the loop stands, for its condition and for calls of itself.
    pub(super) scope: Rc<Scope>,
    /// Items that the condition has not been asked about.
    pub(super) waiting: VecDeque<Value>,
    /// Items that are known to come.
    pub(super) ready: VecDeque<Value>,
    pub(crate) length: Option<usize>,
    pub(crate) index0: usize,
    pub(crate) depth0: usize,
    pub(crate) previous: Option<Value>,
    pub(super) current: Option<Value>,
    pub(crate) changed: Option<Vec<Value>>,
}
