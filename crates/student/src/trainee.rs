use crate::backend::{Fixed, Frozen, Shape};
use crate::layout::TensorPlace;
use crate::{Adapter, Student};

/// Who is trained: all of a student, or adapters beside it.
#[derive(Debug)]
pub struct Trainee<'a> {
    pub(crate) student: &'a mut Student,
    pub(crate) adapter: Option<&'a mut Adapter>,
}

impl<'a> From<&'a mut Student> for Trainee<'a> {
    fn from(student: &'a mut Student) -> Self {
        Self { student, adapter: None }
    }
}

impl<'a> From<(&'a mut Student, &'a mut Adapter)> for Trainee<'a> {
    fn from((student, adapter): (&'a mut Student, &'a mut Adapter)) -> Self {
        Self { student, adapter: Some(adapter) }
    }
}

impl<'a> Trainee<'a> {
    /// Tensors of what is trained.
    pub(crate) fn places(&self) -> &[TensorPlace] {
        self.adapter.as_ref().map_or(&self.student.layout.places, |adapter| &adapter.layout.places)
    }

    /// What stays as it is while the rest learns, and the vector of all that learns.
    pub(crate) fn parts(self, checkpointing: bool) -> (Fixed<'a>, &'a mut Vec<f32>) {
        let Student { config, config_json, layout, rotary, parameters, target } = self.student;
        let shape = Shape { config, layout, rotary };
        let fixed = Fixed { target: *target, shape, config_json, frozen: None, checkpointing };
        match self.adapter {
            None => (fixed, parameters),
            Some(Adapter { settings, layout, values }) => {
                (Fixed { frozen: Some(Frozen { parameters, settings, layout }), ..fixed }, values)
            }
        }
    }
}
