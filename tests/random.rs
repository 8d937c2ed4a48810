//! Seeded random numbers for tests that try many forms of a thing.

/// A generator of 64 bits (Marsaglia, 2003).
pub struct Xorshift(u64);

impl Xorshift {
    /// One that begins at `usual`, which is not 0: every test tries the same forms each time. `RETORT_FUZZ_SEED` sets
    /// another begin, to try others.
    pub fn new(usual: u64) -> Self {
        Self(std::env::var("RETORT_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(usual).max(1))
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % count.max(1) as u64).expect("a small number")
    }
}

/// How many forms to try: what the environment variable says, or `usual`.
pub fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
