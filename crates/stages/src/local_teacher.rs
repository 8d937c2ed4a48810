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
    /// Goes into the ids of its rollouts, so that two checkpoints of one name are told apart: by what they hold, not by how
    /// they came about, so that ids stay where only keys change.
    pub identity: String,
    teacher: LocalTeacher,
}

impl NamedTeacher {
    /// The checkpoint of a finished stage or of a folder, whose chat template is given what `sampling` says.
    pub fn open(context: &Context<'_>, input: &Finished, sampling: &Sampling) -> Result<Self, StageError> {
        let name = input.label().to_owned();
        let identity = format!("{name}@{}", input.manifest.content_id());
        let teacher = LocalTeacher::open(input.checkpoint_folder())?;
        teacher.warnings().iter().for_each(|warning| context.warn(&format!("`{name}`: {warning}")));
        Ok(Self { name, identity, teacher: teacher.with_template_kwargs(&sampling.chat_template_kwargs) })
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
