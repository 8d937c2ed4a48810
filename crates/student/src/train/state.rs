//! A training run on the disk: weights, moments and step.

use std::path::Path;

use retort_weights::{Checkpoint, CheckpointWriter, Dtype, TensorShape, write_config};
use serde_json::{Value, json};

use crate::backend::{Fixed, Learner, Vector};
use crate::layout::TensorPlace;
use crate::{Adapter, Error, Student, Trainee, adapter, student};

/// AdamW's two moments.
pub(super) type Moments = [Vec<f32>; 2];

const MOMENTS: [(&str, Vector); 2] = [("first", Vector::FirstMoment), ("second", Vector::SecondMoment)];

/// Writes weights, moments and step: `dir` is a checkpoint folder, `dir/optimizer` one whose tensors are the moments and
/// whose `config.json` is the state.
pub(super) fn save(
    dir: &Path,
    fixed: &Fixed,
    learner: &dyn Learner,
    step: usize,
    identity: &Value,
) -> Result<(), Error> {
    replace(dir, |partial| {
        write_weights(partial, fixed, learner)?;
        write_moments(&partial.join("optimizer"), fixed.trained(), learner, step, identity)
    })
}

/// Writes the weights alone.
pub(super) fn keep(dir: &Path, fixed: &Fixed, learner: &dyn Learner) -> Result<(), Error> {
    replace(dir, |partial| write_weights(partial, fixed, learner))
}

/// Lets `write` fill a folder beside `dir`, then puts it in its place.
fn replace(dir: &Path, write: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let access = |source| retort_weights::Error::File { path: dir.to_owned(), source };
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = dir.with_file_name(name);
    if partial.exists() {
        std::fs::remove_dir_all(&partial).map_err(access)?;
    }
    write(&partial)?;
    if dir.exists() {
        std::fs::remove_dir_all(dir).map_err(access)?;
    }
    std::fs::rename(&partial, dir).map_err(access)?;
    Ok(())
}

/// A checkpoint folder, or a PEFT folder where adapters are what is trained.
fn write_weights(dir: &Path, fixed: &Fixed, learner: &dyn Learner) -> Result<(), Error> {
    let trained = learner.read(Vector::Parameters);
    match fixed.frozen {
        None => student::write(fixed.config_json, fixed.shape.layout, &trained, dir, Dtype::Float32),
        Some(frozen) => adapter::write(frozen.settings, frozen.layout, &trained, dir, ""),
    }
}

fn write_moments(
    optimizer: &Path,
    places: &[TensorPlace],
    learner: &dyn Learner,
    step: usize,
    identity: &Value,
) -> Result<(), Error> {
    let mut tensors = Vec::new();
    for (moment, _) in MOMENTS {
        let named =
            |place: &TensorPlace| TensorShape { name: format!("{moment}.{}", place.name), shape: place.shape.clone() };
        tensors.extend(places.iter().map(named));
    }
    let mut writer = CheckpointWriter::create(optimizer, &tensors, Dtype::Float32, None)?;
    let mut places: Vec<&TensorPlace> = places.iter().collect();
    places.sort_by(|a, b| a.name.cmp(&b.name));
    for (moment, vector) in MOMENTS {
        let elements = learner.read(vector);
        for place in &places {
            writer.write(&format!("{moment}.{}", place.name), &elements[place.range()])?;
        }
    }
    writer.finish()?;
    write_config(optimizer, &json!({"step": step, "run": identity}), Dtype::Float32)?;
    Ok(())
}

/// Reads what [`save`] wrote: puts the weights into the trainee and gives back the step and the moments. A state that is
/// damaged or another run's is [`Error::Resume`]; any other error is none of its fault.
pub(super) fn load(dir: &Path, trainee: &mut Trainee, identity: &Value) -> Result<(usize, Moments), Error> {
    read(dir, trainee, identity).map_err(|error| of_the_state(dir, error))
}

/// Whether a saved state is at fault, or what it is read with.
fn of_the_state(path: &Path, error: Error) -> Error {
    use std::io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, UnexpectedEof};
    let damage = [InvalidData, IsADirectory, NotADirectory, NotFound, UnexpectedEof];
    match error {
        Error::Resume { .. } | Error::Device { .. } => error,
        Error::Weights(retort_weights::Error::File { ref source, .. }) if !damage.contains(&source.kind()) => error,
        other => Error::Resume { path: path.to_owned(), reason: other.to_string() },
    }
}

fn read(dir: &Path, trainee: &mut Trainee, identity: &Value) -> Result<(usize, Moments), Error> {
    let refuse = |reason: &str| Error::Resume { path: dir.to_owned(), reason: reason.to_owned() };
    let optimizer = Checkpoint::open(&dir.join("optimizer"))?;
    let saved = optimizer.config_json();
    if saved.get("run") != Some(identity) {
        return Err(refuse("it was written with other settings, another seed or other rows"));
    }
    let step = saved.get("step").and_then(Value::as_u64).ok_or_else(|| refuse("it has no step"))? as usize;
    match &mut trainee.adapter {
        None => {
            let weights = Student::load(&Checkpoint::open(dir)?, trainee.student.target)?;
            if weights.layout.places != trainee.student.layout.places {
                return Err(refuse("its model has other tensors"));
            }
            trainee.student.parameters = weights.parameters;
        }
        Some(adapter) => {
            let saved = Adapter::load(dir, trainee.student)?;
            if saved.layout != adapter.layout {
                return Err(refuse("its adapters have other tensors"));
            }
            adapter.values = saved.values;
        }
    }
    let total = trainee.places().iter().map(TensorPlace::elements).sum();
    let mut moments = [vec![0.0; total], vec![0.0; total]];
    for ((name, _), moment) in MOMENTS.iter().zip(&mut moments) {
        for place in trainee.places() {
            optimizer.read_into(&format!("{name}.{}", place.name), &mut moment[place.range()])?;
        }
    }
    Ok((step, moments))
}
