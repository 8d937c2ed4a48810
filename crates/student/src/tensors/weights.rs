use burn::tensor::{Device, Tensor};

use super::{download, upload};
use crate::adapter::layout::AdapterLayout;
use crate::backend::{Frozen, Shape};
use crate::layout::TensorPlace;

/// A decoder's parameters on a device, each tensor flat and by itself, in the layout's order.
#[derive(Clone, Debug)]
pub(super) struct Weights<'a> {
    pub tensors: Vec<Tensor<1>>,
    /// Adapters beside the projections.
    pub adapters: Option<Adapters<'a>>,
}

/// Adapters on a device, in their layout's order.
#[derive(Clone, Debug)]
pub(super) struct Adapters<'a> {
    pub tensors: Vec<Tensor<1>>,
    pub layout: &'a AdapterLayout,
    pub scale: f32,
}

/// Cuts a vector on this machine into its tensors on a device.
pub(super) fn cut(places: &[TensorPlace], vector: &[f32], device: &Device) -> Vec<Tensor<1>> {
    places.iter().map(|place| upload(&vector[place.range()], device)).collect()
}

/// The tensors as one vector on this machine.
pub(super) fn join(tensors: &[Tensor<1>]) -> Vec<f32> {
    tensors.iter().flat_map(|tensor| download(tensor.clone())).collect()
}

impl<'a> Weights<'a> {
    /// Moves what is not trained to a device: nothing, unless a decoder is frozen.
    pub fn base(shape: Shape, frozen: Option<Frozen<'a>>, device: &Device) -> Self {
        let parameters = frozen.map(|frozen| cut(&shape.layout.places, frozen.parameters, device));
        let adapters = frozen.map(|Frozen { layout, settings, .. }| Adapters {
            tensors: Vec::new(),
            layout,
            scale: settings.scale(),
        });
        Self { tensors: parameters.unwrap_or_default(), adapters }
    }

    /// The whole with these tensors as what is trained.
    pub fn with(&self, trained: Vec<Tensor<1>>) -> Self {
        match &self.adapters {
            None => Self { tensors: trained, adapters: None },
            Some(adapters) => Self {
                tensors: self.tensors.clone(),
                adapters: Some(Adapters { tensors: trained, ..adapters.clone() }),
            },
        }
    }

    /// The same under differentiation: leaves are the adapters where there are some, else all.
    pub fn tracked(self) -> Self {
        let leaves = |tensors: Vec<Tensor<1>>| tensors.into_iter().map(|tensor| tensor.autodiff().require_grad());
        match self.adapters {
            None => Self { tensors: leaves(self.tensors).collect(), adapters: None },
            Some(adapters) => Self {
                tensors: self.tensors.into_iter().map(Tensor::autodiff).collect(),
                adapters: Some(Adapters { tensors: leaves(adapters.tensors).collect(), ..adapters }),
            },
        }
    }

    /// The tensors that are trained.
    pub fn trained(&self) -> &[Tensor<1>] {
        self.adapters.as_ref().map_or(&self.tensors, |adapters| &adapters.tensors)
    }
}
