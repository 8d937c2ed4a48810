//! Row-wise work on all cores, the order of the rows kept.

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A pure function of one row that gives one result: it knows nothing of its neighbours, of files or of how many rows
/// there are, so it may run on any core or machine.
///
/// Its name and its settings as JSON are all that another machine needs to build it. Stages that drop rows or make several
/// of one look at its results; the function itself does neither.
///
/// ```
/// # use retort_records::{Prompt, Rollout};
/// # use retort_tables::RowFunction;
/// # use std::sync::Arc;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Needle { text: String }
///
/// impl RowFunction for Needle {
///     const NAME: &'static str = "needle";
///     type Settings = Self;
///     type Error = std::convert::Infallible;
///     type In = (Rollout, Arc<Prompt>);
///     type Out = bool;
///     fn build(settings: &Self) -> Result<Self, Self::Error> {
///         Ok(Self { text: settings.text.clone() })
///     }
///     fn apply(&self, (rollout, _prompt): &(Rollout, Arc<Prompt>)) -> bool {
///         rollout.completion.contains(&self.text)
///     }
/// }
/// ```
pub trait RowFunction: Send + Sync + Sized {
    /// What it is found by.
    const NAME: &'static str;
    /// What decides its results, beside the row.
    type Settings: Serialize + DeserializeOwned;
    /// Why settings may not do.
    type Error: std::error::Error;
    /// A row, or a row with its partners (see [`crate::Follow::share`]).
    type In: Send;
    /// What it says of the row.
    type Out: Send;

    /// Readies the function: opens and compiles what `settings` name.
    fn build(settings: &Self::Settings) -> Result<Self, Self::Error>;

    /// The result for one row.
    fn apply(&self, row: &Self::In) -> Self::Out;
}

/// Applies `function` to every row of `batches` on all cores and gives `take` each row with its result, batch by batch and in
/// order. While one batch is worked on, the next is made and the one before is taken, so at most three are in memory.
pub fn apply_rows<F: RowFunction, E: Send>(
    function: &F,
    mut batches: impl Iterator<Item = Result<Vec<F::In>, E>> + Send,
    mut take: impl FnMut(Vec<(F::In, F::Out)>) -> Result<(), E>,
) -> Result<(), E> {
    let apply = |row| {
        let out = function.apply(&row);
        (row, out)
    };
    let mut made = batches.next().transpose()?;
    let mut done: Option<Vec<(F::In, F::Out)>> = None;
    while made.is_some() || done.is_some() {
        let (rows, taken) = (made.take(), done.take());
        let mut next = Ok(None);
        rayon::in_place_scope(|scope| {
            if let Some(rows) = rows {
                let (done, next, batches) = (&mut done, &mut next, &mut batches);
                scope.spawn(move |_| *done = Some(rows.into_par_iter().map(apply).collect()));
                scope.spawn(move |_| *next = batches.next().transpose());
            }
            taken.map_or(Ok(()), &mut take)
        })?;
        match next {
            Ok(next) => made = next,
            Err(error) => return done.map_or(Ok(()), take).and(Err(error)),
        }
    }
    Ok(())
}
