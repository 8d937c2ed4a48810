//! `code`: programs run against tests, apart from the machine.

mod command;
mod error;
pub mod sandbox;

pub use command::{Resolved, resolve};
pub use error::CodeError;
