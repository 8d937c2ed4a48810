//! `code`: programs run against tests, apart from the machine.
//!
//! A program is never asked whether it is right. It only computes: what it prints or returns is compared by this process
//! with what was expected, which the program never sees; tests that are code run in a sandbox of their own. Neither
//! `os._exit(0)` nor a forged line nor a patched library can turn that into "correct".

mod command;
mod compare;
mod data;
mod drivers;
mod error;
mod extract;
mod outcome;
mod run;
pub mod sandbox;
mod settings;
mod tests_column;
mod verifier;

pub use command::{Resolved, resolve};
pub use data::Data;
pub use error::CodeError;
pub use outcome::{CodeOutcome, TestResult, TestStatus};
pub use sandbox::{Isolation, Sandbox, SandboxChoice};
pub use settings::CodeSettings;
pub use tests_column::Tests;
pub use verifier::CodeVerifier;

/// Which isolation works on this machine; the error says what would make one work.
pub fn probe() -> Result<Isolation, CodeError> {
    Ok(Sandbox::new(SandboxChoice::Auto, &[], &[])?.isolation())
}
