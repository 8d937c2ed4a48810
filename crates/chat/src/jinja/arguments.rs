//! The arguments of a call.

use std::sync::Arc;

use super::error::RenderError;
use super::value::Value;

/// Arguments of a call, evaluated.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub positional: Vec<Value>,
    pub keywords: Vec<(Arc<str>, Value)>,
}

impl Arguments {
    /// Takes the arguments of a function with these parameters; `None` for one that was not given.
    pub(crate) fn bind<const N: usize>(
        &mut self,
        function: &str,
        parameters: [&str; N],
    ) -> Result<[Option<Value>; N], RenderError> {
        if self.positional.len() > N {
            return Err(RenderError::new(format!("{function}() takes at most {N} arguments")));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(self.positional.drain(..)) {
            *slot = Some(value);
        }
        for (name, value) in self.keywords.drain(..) {
            match parameters.iter().position(|parameter| *parameter == &*name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => {
                    return Err(RenderError::new(format!("{function}() got multiple values for argument '{name}'")));
                }
                None => {
                    return Err(RenderError::new(format!("{function}() got an unexpected keyword argument '{name}'")));
                }
            }
        }
        Ok(bound)
    }
}
