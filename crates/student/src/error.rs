/// Why a model could not be loaded, trained or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint could not be read or written.
    #[error(transparent)]
    Weights(#[from] retort_weights::Error),
    /// A tensor of the checkpoint has another shape than its config says.
    #[error("tensor `{name}` is {found:?}; config.json says {expected:?}")]
    Shape {
        /// Hugging Face name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape by the config.
        expected: Vec<usize>,
    },
    /// A training setting is outside its bounds.
    #[error(transparent)]
    Training(#[from] retort_training::SettingError),
    /// A setting has a value that is not allowed here.
    #[error("`{name}` is `{given}`; allowed is {allowed}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The value given.
        given: String,
        /// What is allowed.
        allowed: String,
    },
    /// Rows that cannot be used: unknown tokens, too long, or nothing to learn from.
    #[error("{0}")]
    Rows(String),
    /// A loss or gradient stopped being a number.
    #[error("{what} is `{value}` at step {step}; the batch holds rows {rows:?}")]
    NotFinite {
        /// Loss or gradient norm.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Optimizer step, from 1.
        step: usize,
        /// Indices of the batch's rows among those given to the trainer.
        rows: Vec<usize>,
    },
    /// A model whose weights are numbers gives logits that are none.
    #[error("the model's output is not finite ({what}): its weights are too large for what they compute")]
    Logits {
        /// Which row.
        what: String,
    },
    /// A training state that belongs to another run, or is damaged.
    #[error("cannot resume from `{path}`: {reason}")]
    Resume {
        /// Folder of the saved state.
        path: std::path::PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The device is not part of this build or this machine.
    #[error("device `{device}`: {reason}")]
    Device {
        /// The device as given.
        device: String,
        /// Why it cannot be used.
        reason: String,
    },
}

pub(crate) fn setting(name: &'static str, given: impl ToString, allowed: &str) -> Error {
    Error::Setting { name, given: given.to_string(), allowed: allowed.to_owned() }
}
