//! Tables walked side by side: their rows come in the same order, so joining and grouping need no memory.

use crate::{Columns, Scan, TableError};
use retort_records::Row;
use std::sync::Arc;

/// Consecutive rows with an equal key.
pub struct Groups<I: Iterator, F> {
    rows: std::iter::Peekable<I>,
    key: F,
}

/// Splits ordered rows into runs of equal `key`. Only one run is in memory at a time.
pub fn groups<T, E, I, F>(rows: I, key: F) -> Groups<I, F>
where
    I: Iterator<Item = Result<T, E>>,
    F: Fn(&T) -> String,
{
    Groups { rows: rows.peekable(), key }
}

impl<T, E, I, F> Iterator for Groups<I, F>
where
    I: Iterator<Item = Result<T, E>>,
    F: Fn(&T) -> String,
{
    type Item = Result<Vec<T>, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.rows.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let key = (self.key)(&first);
        let mut group = vec![first];
        while let Some(Ok(row)) = self.rows.next_if(|row| row.as_ref().is_ok_and(|row| (self.key)(row) == key)) {
            group.push(row);
        }
        Some(Ok(group))
    }
}

/// Walks a table alongside another whose rows come in the same order, so that joining them needs no memory.
pub struct Follow<P: Columns> {
    partner: Scan<P>,
    by: fn(&P) -> &str,
    current: Option<Arc<P>>,
}

/// Joins by walking: see [`Follow::partner_of`]. `by` names the partner's key.
pub fn follow<P: Columns>(partner: Scan<P>, by: fn(&P) -> &str) -> Follow<P> {
    Follow { partner, by, current: None }
}

impl<P: Columns> Follow<P> {
    /// The partner whose key is `key`. Keys must come in the partner's order; a key may be asked again.
    pub fn partner_of(&mut self, table: &'static str, key: &str) -> Result<&P, TableError> {
        Ok(self.walk_to(table, key)?)
    }

    /// [`Self::partner_of`] to keep: rows with the same partner share it.
    pub fn share(&mut self, table: &'static str, key: &str) -> Result<Arc<P>, TableError> {
        self.walk_to(table, key).cloned()
    }

    fn walk_to(&mut self, table: &'static str, key: &str) -> Result<&Arc<P>, TableError> {
        let unmatched = || TableError::Unmatched { table, partner: P::Table::TABLE, id: key.to_owned() };
        while self.current.as_ref().is_none_or(|row| (self.by)(row) != key) {
            self.current = Some(Arc::new(self.partner.next().ok_or_else(unmatched)??));
        }
        self.current.as_ref().ok_or_else(unmatched)
    }
}
