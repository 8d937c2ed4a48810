//! Limits that hold before any work begins, and the budget of steps that replaces a clock: the same input stops at the
//! same point on every machine.

/// Characters of an answer; longer ones are not read.
pub const MAX_ANSWER: usize = 4000;
/// Digits of a number as written.
pub const MAX_DIGITS: usize = 4000;
/// Bits of an exact result.
pub const MAX_BITS: u64 = 24_000;
/// Largest argument of an exact factorial.
pub const MAX_FACTORIAL: u32 = 2_500;
/// Nested calls of the parser: some seven for each bracket, fraction or script.
pub const MAX_DEPTH: u32 = 280;
/// Powers, quotients, signs and unions that stand one behind another, each around those before it.
pub const MAX_CHAINED: u32 = 120;
/// Elements of a list, set, tuple or matrix.
pub const MAX_ITEMS: usize = 400;
/// Terms of a sum or product that is added up.
pub const MAX_TERMS: i64 = 400;
/// Largest precision of a numeric comparison, in bits.
pub const MAX_PRECISION: u32 = 3_000;
/// Steps of one verdict. A step is some ten to a hundred nanoseconds of arithmetic.
pub const STEPS: u64 = 600_000;

/// The steps that are left.
#[derive(Debug)]
pub struct Budget {
    left: u64,
}

/// The budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

impl Budget {
    /// A budget of `steps`.
    pub fn new(steps: u64) -> Self {
        Self { left: steps }
    }

    /// Takes `steps`, or fails and leaves nothing.
    pub fn take(&mut self, steps: u64) -> Result<(), Exhausted> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Exhausted)
            }
        }
    }

    /// Takes the price of multiplying or reducing numbers of `bits` bits.
    pub fn arithmetic(&mut self, bits: u64) -> Result<(), Exhausted> {
        let limbs = bits / 64 + 1;
        self.take(20 + limbs * limbs / 2)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(STEPS)
    }
}
