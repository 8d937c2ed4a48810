//! Where a model runs.

use retort_student::{Error, Target};

/// Reads a device such as `cpu`, `cuda:1` or `wgpu`, which this program must have been built for.
pub fn parse_device(text: &str) -> Result<Target, Error> {
    let device: Target = text.parse()?;
    device.check()?;
    Ok(device)
}
