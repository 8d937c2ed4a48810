//! The seam's other side: Burn's tensors on any device, differentiated by Burn. `decoder.rs` is the model's equations, top to
//! bottom; tests measure the kernels by them.

mod decoder;
mod generation;
#[cfg(feature = "wgpu")]
mod graphics;
mod learner;
mod weights;

pub(crate) use decoder::Decoder;
pub(crate) use learner::Learner;

use burn::tensor::{Device, Tensor, TensorData};

use crate::layout::TensorPlace;
use crate::{Error, Target};

impl Target {
    /// The one place that names a device; nothing in this crate asks Burn for a default.
    pub(crate) fn device(self) -> Result<Device, Error> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => Ok(Device::cuda(number)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(number) => Ok(graphics::open(number).map_err(|reason| self.unusable(reason))?.device),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(self.unusable("this program was built without the `cuda` feature")),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu(_) => Err(self.unusable("this program was built without the `wgpu` feature")),
        }
    }

    /// Whether the device is there and takes these tensors: graphics adapters bound the size of one buffer.
    #[cfg_attr(not(feature = "wgpu"), allow(unused_variables))]
    pub(crate) fn check_tensors(self, places: &[TensorPlace]) -> Result<(), Error> {
        self.device()?;
        #[cfg(feature = "wgpu")]
        if let Self::Wgpu(number) = self {
            let most = graphics::open(number).map_err(|reason| self.unusable(reason))?.largest_buffer / 4;
            if let Some(place) = places.iter().find(|place| place.elements() as u64 > most) {
                let (name, elements) = (&place.name, place.elements());
                let reason = format!("it takes tensors of at most {most} elements; `{name}` has {elements}");
                return Err(self.unusable(reason));
            }
        }
        Ok(())
    }
}

/// A vector on a device.
fn upload(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// The elements of a tensor, without a copy where they are on this machine and nobody else holds them.
fn download<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("tensors of this crate are f32")
}
