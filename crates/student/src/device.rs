use crate::Error;

/// Where tensors live and are computed. Named by the user, never guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// This machine's processors, f32.
    #[default]
    Cpu,
    /// One NVIDIA device by number, through Burn; needs the `cuda` feature.
    Cuda(usize),
    /// One graphics adapter by number, through wgpu (Vulkan, Metal, DirectX 12 or OpenGL); needs the `wgpu` feature. They
    /// are counted discrete ones first, then integrated, virtual and other ones, and at last software.
    Wgpu(usize),
}

impl std::str::FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Setting {
            name: "device",
            given: text.to_owned(),
            allowed: "cpu, cuda, cuda:NUMBER, wgpu or wgpu:NUMBER".to_owned(),
        };
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            None if text == "wgpu" => Ok(Self::Wgpu(0)),
            Some(("cuda", number)) => number.parse().map(Self::Cuda).map_err(|_| refuse()),
            Some(("wgpu", number)) => number.parse().map(Self::Wgpu).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    }
}

impl Target {
    /// Whether this program was built for the device and, where that can be asked without a panic (`wgpu`), whether this
    /// machine has it.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] for a device that needs a feature which is not there, or an adapter which is not there.
    pub fn check(self) -> Result<(), Error> {
        self.device().map(drop)
    }

    /// The error of a device that cannot be used.
    pub(crate) fn unusable(self, reason: impl Into<String>) -> Error {
        Error::Device { device: self.to_string(), reason: reason.into() }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
            Self::Wgpu(number) => write!(formatter, "wgpu:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for (text, target) in [
            ("cpu", Target::Cpu),
            ("cuda:0", Target::Cuda(0)),
            ("cuda:3", Target::Cuda(3)),
            ("wgpu:0", Target::Wgpu(0)),
            ("wgpu:12", Target::Wgpu(12)),
        ] {
            assert_eq!(text.parse::<Target>().unwrap(), target);
            assert_eq!(target.to_string(), text);
        }
        assert_eq!("wgpu".parse::<Target>().unwrap(), Target::Wgpu(0));
        for text in ["", "gpu", "cpu:0", "wgpu:", "wgpu:-1", "vulkan", "wgpu:first"] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains("wgpu:NUMBER"), "{error}");
        }
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_missing_feature_is_named() {
        let error = Target::Wgpu(1).check().unwrap_err().to_string();
        assert_eq!(error, "device `wgpu:1`: this program was built without the `wgpu` feature");
    }
}
