//! Methods whose result is a weighted sum of the models' tensors. The weights follow from the tensors' inner products: every
//! point that these methods pass through is itself such a sum, so lengths and angles between points are sums of products.

use std::ops::Range;

use super::blocks::inner_products;
use super::method::MergeMethod;
use super::plan::PlannedTensor;
use crate::{CheckpointWriter, Error};

/// Weights of a sum: of the models' tensors, in their order, and of the base model's.
struct Weights {
    models: Vec<f64>,
    base: f64,
}

/// Merges one tensor.
pub(super) fn combine(
    method: MergeMethod,
    tensor: &PlannedTensor<'_>,
    writer: &mut CheckpointWriter,
) -> Result<(), Error> {
    let weights = weights(method, tensor)?;
    tensor.write(writer, |_, range: &Range<usize>| {
        let mut sums = vec![0.0_f64; range.len()];
        let mut add = |part: Vec<f32>, weight: f64| {
            sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += weight * f64::from(x));
        };
        for (model, weight) in tensor.models.iter().zip(&weights.models) {
            add(model.read(range)?, *weight);
        }
        if let Some(base) = &tensor.base {
            add(base.read(range)?, weights.base);
        }
        Ok(sums.into_iter().map(|sum| sum as f32).collect())
    })
}

fn weights(method: MergeMethod, tensor: &PlannedTensor<'_>) -> Result<Weights, Error> {
    let given = || tensor.each(|parameters| parameters.weight.as_ref(), 1.0);
    let models = match method {
        MergeMethod::Linear => {
            let weights = given();
            let normalize = tensor.shared(|parameters| parameters.normalize.as_ref(), true);
            let total = if normalize { weights.iter().sum() } else { 1.0 };
            weights.into_iter().map(|weight| weight / total).collect()
        }
        MergeMethod::Passthrough => tensor.each(|parameters| parameters.scale.as_ref(), 1.0),
        MergeMethod::Slerp => return slerp(tensor),
        MergeMethod::Nuslerp => {
            let weights = given();
            let total: f64 = weights.iter().sum();
            let t = if total.abs() < 1e-6 { 0.5 } else { weights[1] / total };
            nuslerp(&tensor.inner_products()?, t)
        }
        MergeMethod::Multislerp => {
            let normalize = tensor.shared(|parameters| parameters.normalize_weights.as_ref(), true);
            let eps = tensor.shared(|parameters| parameters.eps.as_ref(), 1e-8);
            multislerp(&tensor.inner_products()?, given(), normalize, eps).ok_or_else(|| {
                let reason = "the models' directions cancel out: give them other weights";
                Error::Merge(format!("multislerp of `{}`: {reason}", tensor.name))
            })?
        }
        MergeMethod::Karcher => {
            let steps = tensor.shared(|parameters| parameters.max_iter.as_ref(), 10.0);
            let tolerance = tensor.shared(|parameters| parameters.tol.as_ref(), 1e-5);
            karcher(&tensor.inner_products()?, steps as usize, tolerance)
        }
        MergeMethod::ModelStock => model_stock(&tensor.inner_products()?),
        _ => return Err(Error::Merge(format!("{} is no weighted sum", method.name()))),
    };
    // Where changes are summed, the base model has what is left of it.
    let base = 1.0 - models.iter().sum::<f64>();
    Ok(Weights { models, base })
}

/// The weights of two points in the point between them, `t` of the way along the great circle.
fn on_circle(cosine: f64, t: f64) -> (f64, f64) {
    let angle = cosine.acos();
    (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin())
}

/// Spherical interpolation from the base model's tensor to the other's; straight where the two are nearly parallel.
fn slerp(tensor: &PlannedTensor<'_>) -> Result<Weights, Error> {
    let t = tensor.shared(|parameters| parameters.t.as_ref(), 0.5);
    let (Some(base), [other]) = (&tensor.base, tensor.models.as_slice()) else {
        return Err(Error::Merge("slerp takes the base model and one other".to_owned()));
    };
    let products = inner_products(&[base, other], None, tensor.elements())?;
    let scale = |square: f64| if square.sqrt() > 1e-8 { square.sqrt() } else { 1.0 };
    let cosine = (products[0][1] / (scale(products[0][0]) * scale(products[1][1]))).clamp(-1.0, 1.0);
    let (base, other) = if cosine.abs() > 0.9995 { (1.0 - t, t) } else { on_circle(cosine, t) };
    Ok(Weights { models: vec![other], base })
}

/// As [`slerp`], from the first to the second, straight only where they are parallel.
fn nuslerp(products: &[Vec<f64>], t: f64) -> Vec<f64> {
    let length = |square: f64| square.sqrt().max(1e-7);
    let cosine = (products[0][1] / (length(products[0][0]) * length(products[1][1]))).clamp(-1.0, 1.0);
    // In f32, where mergekit tells it, nothing nearer to 1 can be told from it.
    let parallel = 1.0 - cosine * cosine <= f64::from(f32::EPSILON) / 2.0;
    let (first, second) = if parallel { (1.0 - t, t) } else { on_circle(cosine, t) };
    vec![first, second]
}

/// Barycentre on the sphere: the mean direction is lifted to its tangent space and back, with the mean length. `None` where
/// the directions cancel out.
fn multislerp(products: &[Vec<f64>], mut weights: Vec<f64>, normalize: bool, eps: f64) -> Option<Vec<f64>> {
    if let [_] = weights.as_slice() {
        return Some(vec![1.0]);
    }
    if normalize {
        let total: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= total;
        }
    }
    let lengths: Vec<f64> = (0..weights.len()).map(|i| products[i][i].sqrt()).collect();
    let sphere = Sphere::new(products, lengths.iter().map(|length| length + eps).collect());
    let length = sphere.length(&weights);
    if length < eps {
        return (weights.len() == 2).then_some(weights);
    }
    let mean: Vec<f64> = weights.iter().map(|weight| weight / length).collect();
    let along: f64 = (0..weights.len()).map(|i| weights[i] * sphere.dot_unit(&mean, i)).sum();
    let tangent: Vec<f64> = weights.iter().zip(&mean).map(|(weight, mean)| weight - along * mean).collect();
    let angle = sphere.length(&tangent) + eps;
    let mean_length: f64 = lengths.iter().zip(&weights).map(|(length, weight)| length * weight).sum();
    let point = mean.iter().zip(&tangent).map(|(mean, tangent)| mean * angle.cos() + tangent * angle.sin() / angle);
    Some(sphere.of_tensors(point.map(|weight| weight * mean_length)))
}

/// The point on the sphere from which the directions of all models balance, with their mean length.
fn karcher(products: &[Vec<f64>], steps: usize, tolerance: f64) -> Vec<f64> {
    let count = products.len();
    let lengths: Vec<f64> = (0..count).map(|i| products[i][i].sqrt()).collect();
    let there: Vec<usize> = (0..count).filter(|i| lengths[*i] > tolerance).collect();
    if count == 1 || there.is_empty() {
        return vec![if count == 1 { 1.0 } else { 0.0 }; count];
    }
    let sphere = Sphere::new(products, lengths.clone());
    let share = 1.0 / there.len() as f64;
    let mut mean: Vec<f64> = (0..count).map(|i| if there.contains(&i) { share } else { 0.0 }).collect();
    let length = sphere.length(&mean);
    if length < tolerance {
        mean = (0..count).map(|i| f64::from(u8::from(i == there[0]))).collect();
    } else {
        for weight in &mut mean {
            *weight /= length;
        }
    }
    for _ in 0..steps {
        let mut tangent = vec![0.0; count];
        for &i in &there {
            let cosine = sphere.dot_unit(&mean, i).clamp(-1.0, 1.0);
            let angle = cosine.acos();
            if angle < tolerance {
                continue;
            }
            let pull = share * angle / angle.sin();
            tangent.iter_mut().zip(&mean).for_each(|(tangent, mean)| *tangent -= pull * cosine * mean);
            tangent[i] += pull;
        }
        let length = sphere.length(&tangent);
        if length < tolerance {
            break;
        }
        for (mean, tangent) in mean.iter_mut().zip(tangent) {
            *mean = length.cos() * *mean + length.sin() * tangent / length;
        }
        let length = sphere.length(&mean);
        if length > tolerance {
            for weight in &mut mean {
                *weight /= length;
            }
        }
    }
    let mean_length = lengths.iter().sum::<f64>() / count as f64;
    sphere.of_tensors(mean.into_iter().map(|weight| weight * mean_length))
}

/// The share of the models' average by the mean cosine between their changes: `t = N·cos / (1 + (N − 1)·cos)`.
fn model_stock(products: &[Vec<f64>]) -> Vec<f64> {
    let count = products.len();
    let pairs = (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j)));
    let cosines: Vec<f64> = pairs
        .map(|(i, j)| {
            let lengths = (products[i][i].sqrt() * products[j][j].sqrt()).max(1e-6);
            (products[i][j] / lengths).clamp(-1.0, 1.0)
        })
        .collect();
    let cosine = cosines.iter().sum::<f64>() / cosines.len() as f64;
    let below = 1.0 + (count - 1) as f64 * cosine;
    // Where changes oppose each other there is no estimate: the base model stays.
    let t = if below.abs() < 1e-6 { 0.0 } else { count as f64 * cosine / below };
    vec![t / count as f64; count]
}

/// Points that are sums of unit vectors, the models' tensors divided by their lengths.
struct Sphere {
    lengths: Vec<f64>,
    /// Inner products of the unit vectors.
    cosines: Vec<Vec<f64>>,
}

impl Sphere {
    fn new(products: &[Vec<f64>], lengths: Vec<f64>) -> Self {
        let unit = |product: f64, length: f64| if length == 0.0 { 0.0 } else { product / length };
        let row = |i: usize| (0..lengths.len()).map(|j| unit(unit(products[i][j], lengths[i]), lengths[j])).collect();
        let cosines = (0..lengths.len()).map(row).collect();
        Self { lengths, cosines }
    }

    /// Inner product of a point with the `i`th unit vector.
    fn dot_unit(&self, point: &[f64], i: usize) -> f64 {
        point.iter().zip(&self.cosines[i]).map(|(weight, cosine)| weight * cosine).sum()
    }

    fn length(&self, point: &[f64]) -> f64 {
        let square: f64 = point.iter().enumerate().map(|(i, weight)| weight * self.dot_unit(point, i)).sum();
        square.max(0.0).sqrt()
    }

    /// The weights of the tensors in a point.
    fn of_tensors(&self, point: impl Iterator<Item = f64>) -> Vec<f64> {
        let weights = point.zip(&self.lengths);
        weights.map(|(weight, length)| if *length == 0.0 { 0.0 } else { weight / length }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_angles() {
        let (first, second) = on_circle(0.0, 0.5);
        assert!((first - 0.5_f64.sqrt()).abs() < 1e-12 && (second - 0.5_f64.sqrt()).abs() < 1e-12);
        // Lengths 1 and 3 at right angles: half-way in direction, of length 2.
        let products = [vec![1.0, 0.0], vec![0.0, 9.0]];
        let mean = karcher(&products, 10, 1e-5);
        assert!((mean[0] - 2.0 * 0.5_f64.sqrt()).abs() < 1e-9 && (mean[1] * 3.0 - 2.0 * 0.5_f64.sqrt()).abs() < 1e-9);
        let also = multislerp(&products, vec![1.0, 1.0], true, 1e-8).unwrap();
        assert!((also[0] - mean[0]).abs() < 1e-6 && (also[1] - mean[1]).abs() < 1e-6);
    }

    #[test]
    fn changes_that_oppose_each_other_leave_the_base() {
        assert_eq!(model_stock(&[vec![1.0, -1.0], vec![-1.0, 1.0]]), [0.0, 0.0]);
        let same = model_stock(&[vec![1.0, 1.0], vec![1.0, 1.0]]);
        assert_eq!(same, [0.5, 0.5]);
        assert_eq!(multislerp(&[vec![1.0, -1.0], vec![-1.0, 1.0]], vec![1.0, 1.0], true, 1e-8), Some(vec![0.5, 0.5]));
    }
}
