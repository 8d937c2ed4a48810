use crate::GenerateSettings;
use crate::kernels::rowwise::{exponentials, finite, largest};
use crate::random::Random;

/// Picks the next token from one row of logits `[vocab_size]`, with `random` in [0, 1). Filters apply in the order top-k,
/// top-p, min-p, all on the distribution after temperature, as in transformers. `scratch` is overwritten. Nothing where a
/// logit is no finite number.
pub(crate) fn pick(logits: &[f32], settings: &GenerateSettings, random: f64, scratch: &mut Vec<f32>) -> Option<u32> {
    /// From here on, rounding the largest logit times the inverse temperature would shift every weight by more than f32 holds.
    const LARGEST_SHIFT: f32 = 1e5;
    if !finite(logits) {
        return None;
    }
    let maximum = largest(logits);
    let inverse = (1.0 / settings.temperature) as f32;
    if !inverse.is_finite() {
        return logits.iter().position(|x| *x == maximum).map(|at| at as u32);
    }
    scratch.clear();
    scratch.extend_from_slice(logits);
    if (maximum * inverse).abs() < LARGEST_SHIFT {
        exponentials(scratch, inverse, maximum * inverse);
    } else {
        // Differences to the largest logit are exact enough at any scale.
        for x in scratch.iter_mut() {
            *x = ((*x - maximum) * inverse).max(-1e4);
        }
        exponentials(scratch, 1.0, 0.0);
    }
    let filtered = settings.top_k > 0 || settings.top_p < 1.0 || settings.min_p > 0.0;
    if !filtered {
        return Some(draw(scratch.iter().map(|p| f64::from(*p)), random) as u32);
    }
    let kept = keep(scratch, settings);
    Some(kept[draw(kept.iter().map(|id| f64::from(scratch[*id as usize])), random)])
}

/// Index of the first weight at which the running sum passes `random` times the total.
fn draw(weights: impl Iterator<Item = f64> + Clone, random: f64) -> usize {
    let bound = random * weights.clone().sum::<f64>();
    let (mut sum, mut last) = (0.0, 0);
    for (index, weight) in weights.enumerate() {
        if weight > 0.0 {
            sum += weight;
            last = index;
            if sum > bound {
                return index;
            }
        }
    }
    last
}

/// Tokens that pass the filters, most probable first, smaller ids first among equals. Weights are relative to the largest, 1.
fn keep(weights: &[f32], settings: &GenerateSettings) -> Vec<u32> {
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    // Tokens below this can be left out before sorting: all of them together weigh less than what top-p leaves out, so
    // the smallest set that reaches top-p has none of them.
    let negligible = if settings.top_k > 0 { 0.0 } else { (1.0 - settings.top_p) * total / weights.len() as f64 };
    let floor = negligible.min(1.0) as f32 * 0.999;
    let mut ids: Vec<u32> = (0..weights.len() as u32).filter(|id| weights[*id as usize] >= floor).collect();
    let heavier = |a: &u32, b: &u32| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b));
    if settings.top_k > 0 && settings.top_k < ids.len() {
        ids.select_nth_unstable_by(settings.top_k - 1, heavier);
        ids.truncate(settings.top_k);
    }
    ids.sort_unstable_by(heavier);
    if settings.top_p < 1.0 {
        let total: f64 = match settings.top_k {
            0 => total,
            _ => ids.iter().map(|id| f64::from(weights[*id as usize])).sum(),
        };
        let mut sum = 0.0;
        let reached = ids.iter().position(|id| {
            sum += f64::from(weights[*id as usize]);
            sum >= settings.top_p * total
        });
        ids.truncate(reached.map_or(ids.len(), |index| index + 1));
    }
    let least = settings.min_p as f32;
    let enough = ids.iter().position(|id| weights[*id as usize] < least).unwrap_or(ids.len());
    ids.truncate(enough.max(1));
    ids
}

/// The random number of a sample's token: it depends on the sample's seed and the token's place alone.
pub(crate) fn random_of(seed: u64, place: usize) -> f64 {
    Random::new(&[seed, place as u64]).unit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> GenerateSettings {
        GenerateSettings::default()
    }

    fn pick_at(settings: &GenerateSettings, random: f64) -> u32 {
        // Probabilities 0.1, 0.4, 0.2, 0.3.
        let logits = [0.1_f32, 0.4, 0.2, 0.3].map(f32::ln);
        pick(&logits, settings, random, &mut Vec::new()).unwrap()
    }

    #[test]
    fn a_falling_temperature_tends_to_greedy() {
        // Logits that f32 holds exactly, far from 0, where a product with a large inverse is rounded most.
        let logits = [1023.25_f32, 1023.5, 1023.75, 1023.625];
        for temperature in [0.0, 1e-320, 1e-38, 1e-12, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3] {
            for random in [0.0, 0.5, 0.999] {
                let settings = GenerateSettings { temperature, ..settings() };
                assert_eq!(pick(&logits, &settings, random, &mut Vec::new()), Some(2), "{temperature}");
            }
        }
    }

    #[test]
    fn logits_that_are_no_numbers_give_nothing() {
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for logits in [[broken; 4], [0.0, broken, 1.0, 2.0], [3.0, 0.0, 1.0, broken]] {
                for settings in [settings(), GenerateSettings { temperature: 0.0, top_k: 2, ..settings() }] {
                    assert_eq!(pick(&logits, &settings, 0.5, &mut Vec::new()), None, "{logits:?}");
                }
            }
        }
    }

    #[test]
    fn filters() {
        assert_eq!(pick_at(&GenerateSettings { temperature: 0.0, ..settings() }, 0.99), 1);
        let plain = settings();
        assert_eq!([0.05, 0.3, 0.6, 0.9].map(|random| pick_at(&plain, random)), [0, 1, 2, 3]);
        let two = GenerateSettings { top_k: 2, ..settings() };
        assert_eq!([0.0, 0.5, 0.6, 0.999].map(|random| pick_at(&two, random)), [1, 1, 3, 3]);
        let nucleus = GenerateSettings { top_p: 0.8, ..settings() };
        assert_eq!([0.0, 0.5, 0.99].map(|random| pick_at(&nucleus, random)), [1, 3, 2]);
        let most = GenerateSettings { min_p: 0.6, ..settings() };
        assert_eq!([0.0, 0.999].map(|random| pick_at(&most, random)), [1, 3]);
    }

    #[test]
    fn frequencies_follow_probabilities() {
        let mut counts = [0; 4];
        for place in 0..20_000 {
            counts[pick_at(&settings(), random_of(7, place)) as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([0.1, 0.4, 0.2, 0.3]) {
            assert!((f64::from(*count) / 20_000.0 - expected).abs() < 0.015, "{counts:?}");
        }
    }
}
