//! The table of imported rollouts, in the order of their positions whatever the order of the rows.

use super::spill::{Position, Spill};
use retort_pipeline::{Context, PipelineError, StageOutput};
use retort_records::{Rollout, Row};
use retort_tables::{TableWriter, scan};
use std::path::PathBuf;

/// Rollouts on their way to their table. Those that come in the order of their positions are written at once; from the
/// first one on that does not, all wait on disk until every row is known.
pub struct RolloutTable {
    /// The output's folder.
    folder: PathBuf,
    way: Way,
}

enum Way {
    /// Every rollout so far came in order.
    Straight { writer: Box<TableWriter<Rollout>>, positions: Vec<Position> },
    /// One did not.
    Sorted(Spill),
}

impl RolloutTable {
    /// The empty table.
    pub fn create(context: &Context<'_>) -> Result<Self, PipelineError> {
        let way = Way::Straight { writer: Box::new(context.writer()?), positions: Vec::new() };
        Ok(Self { folder: context.out.path().to_owned(), way })
    }

    /// Adds the rollout that belongs at `position`.
    pub fn push(&mut self, position: Position, rollout: Rollout) -> Result<(), PipelineError> {
        if let Way::Straight { positions, .. } = &self.way
            && positions.last().is_some_and(|last| *last > position)
        {
            self.set_aside()?;
        }
        match &mut self.way {
            Way::Straight { writer, positions } => {
                positions.push(position);
                Ok(writer.push(rollout)?)
            }
            Way::Sorted(spill) => spill.push(position, &rollout),
        }
    }

    /// Reads back what is written, puts it aside and goes on that way.
    fn set_aside(&mut self) -> Result<(), PipelineError> {
        let sorted = Way::Sorted(Spill::create(&self.folder)?);
        let Way::Straight { writer, positions } = std::mem::replace(&mut self.way, sorted) else { return Ok(()) };
        let Way::Sorted(spill) = &mut self.way else { return Ok(()) };
        writer.finish()?;
        let written = self.folder.join(Rollout::TABLE);
        for (position, rollout) in positions.into_iter().zip(scan::<Rollout>(&written)?) {
            spill.push(position, &rollout?)?;
        }
        std::fs::remove_dir_all(&written).map_err(PipelineError::io("remove", &written))
    }

    /// Finishes the table, adds it to the output and gives the number of its rows.
    pub fn finish(self, context: &Context<'_>, output: &mut StageOutput) -> Result<u64, PipelineError> {
        let writer = match self.way {
            Way::Straight { writer, .. } => *writer,
            Way::Sorted(spill) => {
                let mut writer = context.writer::<Rollout>()?;
                spill.drain_ordered(|rollout| Ok(writer.push(rollout)?))?;
                writer
            }
        };
        let rows = writer.rows();
        output.add(writer)?;
        Ok(rows)
    }
}
