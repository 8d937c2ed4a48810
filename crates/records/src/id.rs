//! Ids and seeds: SHA-256 of labelled parts, so that equal inputs give equal ids on every machine.

use sha2::{Digest, Sha256};

/// The SHA-256 digest of `parts`, each preceded by its length so that no two lists of parts collide.
fn digest(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Lower-case hexadecimal of the first 16 bytes of a digest: 128 bits, 32 characters.
pub fn hex_id(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The id of something described by `parts`; `label` says what kind of thing it is (`"prompt"`, `"rollout"`, …).
pub fn id_of(label: &str, parts: &[&[u8]]) -> String {
    hex_id(&digest(label, parts))
}

/// The seed of one unit of work, derived from the run's seed, the stage and the unit's own keys.
///
/// The value is below 2^53, so that it survives JSON and every server's integer type.
pub fn derive_seed(run_seed: u64, stage: &str, prompt_id: &str, sample_index: u32) -> u64 {
    let bytes =
        digest("seed", &[&run_seed.to_le_bytes(), stage.as_bytes(), prompt_id.as_bytes(), &sample_index.to_le_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(first) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_separate_their_parts() {
        assert_ne!(id_of("x", &[b"ab", b"c"]), id_of("x", &[b"a", b"bc"]));
        assert_ne!(id_of("x", &[b"a"]), id_of("y", &[b"a"]));
        assert_eq!(id_of("x", &[b"a"]).len(), 32);
    }

    #[test]
    fn seeds_differ_by_every_part_and_fit_json() {
        let seed = derive_seed(7, "rollouts", "p", 0);
        assert!(seed < 1 << 53);
        for other in [
            derive_seed(8, "rollouts", "p", 0),
            derive_seed(7, "other", "p", 0),
            derive_seed(7, "rollouts", "q", 0),
            derive_seed(7, "rollouts", "p", 1),
        ] {
            assert_ne!(seed, other);
        }
    }
}
