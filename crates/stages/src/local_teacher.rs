//! A checkpoint of the pipeline as the teacher of a stage: named, and with every finished sample in the stage's journal.

use crate::asking::{Journal, entry, sampling_text};
use crate::error::StageError;
use retort_local::{LocalTeacher, parse_device};
use retort_pipeline::{Context, Finished, PipelineError};
use retort_teacher::{Attempted, Request, Sampling, Stopped};

/// A finished checkpoint that is asked for completions.
pub struct NamedTeacher {
    /// What the `teacher` column holds.
    pub name: String,
    /// Goes into the ids of its rollouts, so that two checkpoints of one name are told apart.
    pub identity: String,
    teacher: LocalTeacher,
}

impl NamedTeacher {
    /// The checkpoint of a finished stage or of a folder.
    pub fn open(input: &Finished) -> Result<Self, StageError> {
        let name = input.label().to_owned();
        let identity = format!("{name}@{}", input.manifest.fingerprint());
        Ok(Self { name, identity, teacher: LocalTeacher::open(input.checkpoint_folder())? })
    }

    /// Generates every request that the journal does not hold and adds it to the journal. `progress` is told the number of
    /// samples done.
    pub fn sample(
        &self,
        context: &Context<'_>,
        requests: impl Iterator<Item = Result<Request, PipelineError>>,
        sampling: &Sampling,
        journal: &mut Journal,
        progress: &mut dyn FnMut(u64, &str) -> Result<(), PipelineError>,
    ) -> Result<(), StageError> {
        let text = sampling_text(sampling)?;
        let known = journal.known();
        let open = |request: &Result<Request, _>| {
            request.as_ref().map_or(true, |request: &Request| !known.contains(&request.rollout_id))
        };
        let requests = requests.filter(open).map(|request| request.map_err(StageError::from));
        let mut keep = |samples: Vec<Attempted>, rate: f64| -> Result<(), StageError> {
            let entries: Vec<_> = samples.into_iter().map(|sample| entry(sample, &self.name, &text)).collect();
            journal.append_all(&entries)?;
            Ok(progress(journal.finished(), &format!("{}: {rate:.0} tokens/s", self.name))?)
        };
        let device = parse_device(&context.around.machine.device)?;
        match self.teacher.sample(device, requests, sampling, context.cancel, &mut keep)? {
            Stopped::Finished => Ok(()),
            _ => Err(context.interrupted().into()),
        }
    }
}
