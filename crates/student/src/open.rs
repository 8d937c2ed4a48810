//! Which side of the seam: the one place that asks.

use crate::backend::{Decoder, Fixed, Learner, Shape};
use crate::kernels::zeros;
use crate::{Error, Target, fused, tensors};

impl<'a> Shape<'a> {
    /// Opens a decoder where its weights shall lie.
    pub fn decoder(self, parameters: &'a [f32], target: Target) -> Result<Box<dyn Decoder + 'a>, Error> {
        Ok(match target {
            Target::Cpu => Box::new(fused::Decoder::new(self, parameters, None)),
            device => Box::new(tensors::Decoder::upload(self, parameters, &device.device()?)),
        })
    }
}

impl<'a> Fixed<'a> {
    /// Opens a learner, which begins without moments or goes on with some, where its weights shall lie.
    pub fn learner(
        self,
        trained: &'a mut Vec<f32>,
        moments: Option<[Vec<f32>; 2]>,
    ) -> Result<Box<dyn Learner + 'a>, Error> {
        let moments = moments.unwrap_or_else(|| [(); 2].map(|()| zeros(Vec::new(), trained.len())));
        Ok(match self.target {
            Target::Cpu => Box::new(fused::Learner::new(self, trained, moments)),
            device => Box::new(tensors::Learner::new(self, trained, moments, &device.device()?)?),
        })
    }
}
