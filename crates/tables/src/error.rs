//! What can go wrong with a table at rest.

use std::path::PathBuf;

/// An error of reading or writing tables.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `write`, `create`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A shard is not readable Parquet.
    #[error("cannot read `{}` as Parquet: {source}", path.display())]
    Parquet {
        /// The shard.
        path: PathBuf,
        /// What the reader said.
        source: parquet::errors::ParquetError,
    },
    /// A shard has other columns than the table it stands in.
    #[error("`{}` does not hold rows of table `{table}`: {reason}", path.display())]
    Columns {
        /// The shard.
        path: PathBuf,
        /// The table expected.
        table: &'static str,
        /// Which column, and what is wrong with it.
        reason: String,
    },
    /// A narrow row names what its table's row has not.
    #[error("`{narrow}` is no narrow row of table `{table}`: {reason}")]
    Narrow {
        /// The table.
        table: &'static str,
        /// The narrow row's type.
        narrow: &'static str,
        /// Which column, and what is wrong with it.
        reason: String,
    },
    /// Rows cannot be turned into Arrow.
    #[error("cannot write rows of table `{table}`: {reason}")]
    Encode {
        /// The table.
        table: &'static str,
        /// What the encoder said.
        reason: String,
    },
    /// A row of one table has no partner in the table it must follow.
    #[error("row `{id}` of table `{table}` has no partner in table `{partner}` (or the two are ordered differently)")]
    Unmatched {
        /// The table that is led.
        table: &'static str,
        /// The table it follows.
        partner: &'static str,
        /// The row's id.
        id: String,
    },
    /// A file or folder from elsewhere is not readable, or lacks what is asked of it.
    #[error("cannot read `{}`: {reason}", path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The folder holds no shard.
    #[error("there is no table in `{}`: no file `part-*.parquet`", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

impl TableError {
    /// Wraps an error of the file system with what was tried and where.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
