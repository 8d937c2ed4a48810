//! `--device`, the same wherever a model runs.

use clap::Args;
use retort_local::{Device, parse_device};

#[derive(Debug, Args)]
pub struct DeviceFlag {
    /// Where models run: `cpu`, or `cuda` or `cuda:NUMBER` in a binary built with `--features cuda`, or `wgpu` or
    /// `wgpu:NUMBER` (Vulkan, Metal or DirectX 12) in one built with `--features wgpu`.
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = parse_device)]
    pub device: Device,
}
