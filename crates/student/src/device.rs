use crate::Error;

/// Where tensors live and are computed. Named by the user, never guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// This machine's processors, f32.
    #[default]
    Cpu,
    /// One NVIDIA device by number, through Burn; needs the `cuda` feature.
    Cuda(usize),
}

impl std::str::FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Setting {
            name: "device",
            given: text.to_owned(),
            allowed: "cpu, cuda or cuda:NUMBER".to_owned(),
        };
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => number.parse().map(Self::Cuda).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    }
}

impl Target {
    /// Whether this program was built for the device.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] for a device that needs a feature which is not there.
    pub fn check(self) -> Result<(), Error> {
        if matches!(self, Self::Cuda(_)) && !cfg!(feature = "cuda") {
            return Err(Error::Device {
                device: self.to_string(),
                reason: "this program was built without the `cuda` feature".to_owned(),
            });
        }
        Ok(())
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
        }
    }
}
