//! The formulas of merging, on one tensor at a time, all in f32 with element-wise sums in the order of the models.

use rayon::prelude::*;

/// Elements of one rayon task and of one partial sum; fixed, so that no thread count changes a result.
const CHUNK: usize = 1 << 14;

/// `Σ weightᵢ · tensorᵢ`, divided by `Σ weightᵢ` when normalising.
pub(crate) fn linear(tensors: &[Vec<f32>], weights: &[f32], normalize: bool) -> Vec<f32> {
    let total: f32 = if normalize { weights.iter().sum() } else { 1.0 };
    let mut out = vec![0.0_f32; tensors.first().map_or(0, Vec::len)];
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        for (tensor, weight) in tensors.iter().zip(weights) {
            let start = chunk * CHUNK;
            for (sum, x) in out.iter_mut().zip(&tensor[start..]) {
                *sum += weight * x;
            }
        }
        if normalize {
            for x in out {
                *x /= total;
            }
        }
    });
    out
}

/// Spherical interpolation from `from` (t = 0) to `to` (t = 1); straight where the two are nearly parallel.
pub(crate) fn slerp(from: &[f32], to: &[f32], t: f64) -> Vec<f32> {
    let sum = |product: &(dyn Fn(usize) -> f64 + Sync)| -> f64 {
        let starts: Vec<usize> = (0..from.len()).step_by(CHUNK).collect();
        let partial = |start: &usize| (*start..(start + CHUNK).min(from.len())).map(product).sum::<f64>();
        starts.par_iter().map(partial).collect::<Vec<f64>>().iter().sum()
    };
    let length = |v: &[f32]| sum(&|i| f64::from(v[i]) * f64::from(v[i])).sqrt();
    let (a, b) = (length(from), length(to));
    let scale = |length: f64| if length > 1e-8 { length } else { 1.0 };
    let cosine = sum(&|i| f64::from(from[i]) * f64::from(to[i])) / (scale(a) * scale(b));
    let (wa, wb) = if cosine.abs() > 0.9995 {
        (1.0 - t, t)
    } else {
        let angle = cosine.acos();
        (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin())
    };
    from.par_iter().zip(to).map(|(a, b)| (wa * f64::from(*a) + wb * f64::from(*b)) as f32).collect()
}

/// `base + lambda · Σ weightᵢ · (tensorᵢ − base)`.
pub(crate) fn task_arithmetic(
    base: &[f32],
    mut tensors: Vec<Vec<f32>>,
    weights: &[f32],
    normalize: bool,
    lambda: f32,
) -> Vec<f32> {
    subtract_base(&mut tensors, base);
    let total: f32 = weights.iter().sum();
    let divisor = if normalize && total.abs() > 1e-8 { total } else { 1.0 };
    let change = |i: usize| tensors.iter().zip(weights).map(|(tensor, weight)| weight * tensor[i]).sum::<f32>();
    base.par_iter().enumerate().map(|(i, base)| base + lambda * (change(i) / divisor)).collect()
}

/// TIES: keeps each model's largest changes, elects the sign of their weighted sum, adds only changes of that sign.
pub(crate) fn ties(
    base: &[f32],
    mut tensors: Vec<Vec<f32>>,
    weights: &[f32],
    densities: &[f64],
    normalize: bool,
    lambda: f32,
) -> Vec<f32> {
    subtract_base(&mut tensors, base);
    tensors.par_iter_mut().zip(densities).for_each(|(change, density)| keep_largest(change, *density));
    let merged = |i: usize| {
        let elected = tensors.iter().zip(weights).map(|(change, weight)| weight * change[i]).sum::<f32>() >= 0.0;
        let (mut sum, mut total) = (0.0, 0.0);
        for (change, weight) in tensors.iter().zip(weights) {
            let weighted = weight * change[i];
            // An exact zero agrees with nobody, as in mergekit, where its sign is 0.
            if weighted != 0.0 && (weighted > 0.0) == elected {
                sum += weighted;
                total += weight;
            }
        }
        if normalize && total.abs() >= 1e-8 { sum / total } else { sum }
    };
    base.par_iter().enumerate().map(|(i, base)| base + lambda * merged(i)).collect()
}

fn subtract_base(tensors: &mut [Vec<f32>], base: &[f32]) {
    for tensor in tensors {
        tensor.par_iter_mut().zip(base).for_each(|(x, base)| *x -= base);
    }
}

/// Sets all but the `density` share of largest absolute values to zero; of equal ones the earlier stays.
fn keep_largest(change: &mut [f32], density: f64) {
    let keep = (density * change.len() as f64) as usize;
    if keep >= change.len() {
        return;
    }
    let mut order: Vec<u32> = (0..change.len() as u32).collect();
    let larger = |a: &u32, b: &u32| change[*b as usize].abs().total_cmp(&change[*a as usize].abs()).then(a.cmp(b));
    if keep > 0 {
        order.select_nth_unstable_by(keep - 1, larger);
    }
    let dropped = order.split_off(keep);
    for i in dropped {
        change[i as usize] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// recipes.md §7 (worked by hand): trimming to density 0.5.
    #[test]
    fn ties_trims_and_elects() {
        let tensors = vec![vec![0.5, -0.1, 0.3, 0.0], vec![-0.2, 0.4, 0.3, 0.1]];
        let merged = ties(&[0.0; 4], tensors, &[1.0, 1.0], &[0.5, 0.5], true, 1.0);
        assert_eq!(merged, [0.5, 0.4, 0.3, 0.0]);
    }

    #[test]
    fn slerp_of_right_angles() {
        let middle = slerp(&[1.0, 0.0], &[0.0, 1.0], 0.5);
        assert!((middle[0] - 0.5_f32.sqrt()).abs() < 1e-6 && (middle[1] - 0.5_f32.sqrt()).abs() < 1e-6);
    }
}
