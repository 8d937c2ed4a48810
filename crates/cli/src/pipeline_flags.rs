//! Which pipeline file a command is about, and where results are kept: the same wherever a file is read.

use crate::device_flag::DeviceFlag;
use clap::Args;
use retort_pipeline::{Checked, Machine, PipelineError};
use std::path::PathBuf;

/// Which pipeline file, and what to change in it.
#[derive(Debug, Args)]
pub struct PipelineFlags {
    /// The pipeline file.
    pub file: PathBuf,
    /// Change a setting: `stage.key=value`, also `seed=3`; the value is YAML. May be given several times.
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    pub set: Vec<String>,
    /// Allow absolute paths and `..` in the file.
    #[arg(long)]
    pub allow_path: bool,
    /// Memory that training may take, such as `3GB`; by default what the machine has.
    #[arg(long, value_name = "SIZE", value_parser = retort_pipeline::machine::parse_size)]
    pub memory: Option<u64>,
    #[command(flatten)]
    pub device: DeviceFlag,
}

impl PipelineFlags {
    /// Reads and checks the file.
    pub fn check(&self) -> Result<Checked, PipelineError> {
        let memory = self.memory.unwrap_or_else(retort_pipeline::machine::available);
        let machine = Machine { memory, device: self.device.device.to_string() };
        retort_stages::engine().check(&self.file, &self.set, self.allow_path, machine)
    }
}

/// Where results are kept.
#[derive(Debug, Args)]
pub struct OutFlag {
    /// Folder for results: finished stages in OUT/store, each run's in OUT/runs/NAME.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}
