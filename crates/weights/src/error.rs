use std::path::PathBuf;

/// Why a checkpoint could not be read, written or merged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("cannot access `{path}`: {source}")]
    File {
        /// The file in question.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The folder holds no safetensors, or weights in a format that runs code when loaded.
    #[error("no usable weights in `{path}`: {reason}")]
    NoWeights {
        /// The checkpoint folder.
        path: PathBuf,
        /// What was found instead and what is allowed.
        reason: String,
    },
    /// A file is there but its content is not what its format says.
    #[error("`{path}` is malformed: {reason}")]
    Malformed {
        /// The file in question.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is of a kind that is not supported; named so that nobody gets silently wrong numbers.
    #[error("unsupported model: {0}")]
    Unsupported(String),
    /// A tensor was asked for that the checkpoint does not have.
    #[error("no tensor `{name}` in `{path}`{}", as_wrapped(wrapped.as_deref()))]
    NoTensor {
        /// The tensor's name.
        name: String,
        /// The checkpoint folder.
        path: PathBuf,
        /// A tensor of that name with something before it, if there is one.
        wrapped: Option<String>,
    },
    /// A tensor has a number format that is not f32, f16 or bf16.
    #[error("tensor `{name}` has dtype `{dtype}`; allowed are F32, F16 and BF16")]
    TensorDtype {
        /// The tensor's name.
        name: String,
        /// The dtype as the file names it.
        dtype: String,
    },
    /// Tensors were handed to a writer that it does not expect.
    #[error("tensor `{name}` does not fit what was announced: {reason}")]
    Unexpected {
        /// The tensor's name.
        name: String,
        /// What was expected.
        reason: String,
    },
    /// A file of the folder is a git-lfs pointer: a few lines that stand for the file itself.
    #[error(
        "`{path}` is a git-lfs pointer, not the file itself: fetch it with `git lfs pull` in its repository, or download it again"
    )]
    GitLfsPointer {
        /// The file in question.
        path: PathBuf,
    },
    /// The folder holds an adapter, not a model.
    #[error("`{path}` is a PEFT adapter{}, not a model: merge it into its base first (`merge_and_unload` and `save_pretrained` in PEFT) and give that folder", of_base(base.as_deref()))]
    IsAdapter {
        /// The folder.
        path: PathBuf,
        /// The base that its settings name.
        base: Option<String>,
    },
    /// A tensor holds values that are no numbers: a broken download, an overflow in half precision, or training that diverged.
    #[error(
        "tensor `{name}` in `{path}` holds {count} values that are not finite, the first `{value}` at element {index}"
    )]
    NotFinite {
        /// The tensor's name.
        name: String,
        /// The folder it is read from or written to.
        path: PathBuf,
        /// How many of its values are NaN or infinite.
        count: usize,
        /// The first of them.
        value: f32,
        /// Where that one stands, counted row by row.
        index: usize,
    },
    /// The settings of a merge contradict each other or the checkpoints.
    #[error("cannot merge: {0}")]
    Merge(String),
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn malformed(path: impl Into<PathBuf>, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { path: path.into(), reason: reason.to_string() }
    }
}

fn of_base(base: Option<&str>) -> String {
    base.map(|base| format!(" of `{base}`")).unwrap_or_default()
}

fn as_wrapped(name: Option<&str>) -> String {
    name.map(|name| format!("; there is `{name}`: save the model without what wraps it")).unwrap_or_default()
}
