//! Seeded random numbers for tests that try many forms of a thing.

/// A generator of 64 bits (Marsaglia, 2003).
pub struct Xorshift(u64);

impl Xorshift {
    /// One that begins at `seed`, which is not 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
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
