//! Functions of one row at a time: norms, gates, softmax, rotary positions and the optimizer's update.

use super::vectorized;

/// Lanes of a sum; they are joined pairwise in a fixed order.
const LANES: usize = 16;

#[inline(always)]
fn join(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn lane_sum(length: usize, term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = length / LANES * LANES;
    let mut start = 0;
    while start < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum = term(start + lane, *sum);
        }
        start += LANES;
    }
    for i in whole..length {
        lanes[i - whole] = term(i, lanes[i - whole]);
    }
    join(lanes)
}

/// `e^x` to within two units in the last place; 0 below -87.3, about 2.4e38 above 88.3.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
    let clamped = x.clamp(-87.336_55, 88.376_26);
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let whole = shifted - MAGIC;
    let r = whole.mul_add(-0.693_359_4, clamped);
    let r = whole.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    let e = p.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.336_55 { 0.0 } else { e * power }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

vectorized! {
    /// Sum of `a[i] * b[i]`.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        let b = &b[..a.len()];
        lane_sum(a.len(), |i, sum| a[i].mul_add(b[i], sum))
    }

    /// `out = x / sqrt(mean(x²) + epsilon) * weight` for one row; gives back the factor before the weight.
    pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) -> f32 {
        let (weight, out) = (&weight[..x.len()], &mut out[..x.len()]);
        let inverse = 1.0 / (lane_sum(x.len(), |i, sum| x[i].mul_add(x[i], sum)) / x.len() as f32 + epsilon).sqrt();
        for i in 0..x.len() {
            out[i] = x[i] * inverse * weight[i];
        }
        inverse
    }

    /// Backward of [`rms_norm`] for one row: adds to `dx`, and to `dweight` (one partial sum).
    pub fn rms_norm_backward(x: &[f32], weight: &[f32], epsilon: f32, dout: &[f32], dx: &mut [f32], dweight: &mut [f32]) {
        let n = x.len();
        let (weight, dout, dx, dweight) = (&weight[..n], &dout[..n], &mut dx[..n], &mut dweight[..n]);
        let inverse = 1.0 / (lane_sum(n, |i, sum| x[i].mul_add(x[i], sum)) / n as f32 + epsilon).sqrt();
        let along = lane_sum(n, |i, sum| (dout[i] * weight[i]).mul_add(x[i], sum));
        let shrink = along * inverse * inverse * inverse / n as f32;
        for i in 0..n {
            dx[i] += (dout[i] * weight[i]).mul_add(inverse, -(x[i] * shrink));
            dweight[i] += dout[i] * x[i] * inverse;
        }
    }

    /// `out = gate * sigmoid(gate) * up`.
    pub fn swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) {
        let (up, out) = (&up[..gate.len()], &mut out[..gate.len()]);
        for i in 0..gate.len() {
            out[i] = gate[i] * sigmoid(gate[i]) * up[i];
        }
    }

    /// [`swiglu`], whose result takes the place of `gate`.
    pub fn swiglu_in_place(gate: &mut [f32], up: &[f32]) {
        let up = &up[..gate.len()];
        for i in 0..gate.len() {
            gate[i] = gate[i] * sigmoid(gate[i]) * up[i];
        }
    }

    /// Backward of [`swiglu`]: from `dout` and the inputs, overwrites `gate` and `up` with their gradients and `dout` with
    /// the function's value.
    pub fn swiglu_backward(gate: &mut [f32], up: &mut [f32], dout: &mut [f32]) {
        let (up, dout) = (&mut up[..gate.len()], &mut dout[..gate.len()]);
        for i in 0..gate.len() {
            let (g, u, d) = (gate[i], up[i], dout[i]);
            let s = sigmoid(g);
            let silu = g * s;
            up[i] = d * silu;
            gate[i] = d * u * (s + silu * (1.0 - s));
            dout[i] = silu * u;
        }
    }

    /// Largest of `x`.
    pub fn largest(x: &[f32]) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for i in 0..LANES {
                lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
            }
        }
        let best = |a: f32, b: &f32| if *b > a { *b } else { a };
        rest.iter().fold(lanes.iter().fold(f32::NEG_INFINITY, best), best)
    }

    /// Whether all of `x` are finite numbers.
    pub fn finite(x: &[f32]) -> bool {
        // A finite number times 0 is 0; anything else makes the sum no number.
        lane_sum(x.len(), |i, sum| x[i].mul_add(0.0, sum)) == 0.0
    }

    /// `x = e^(x * scale - shift)`; gives back the sum.
    pub fn exponentials(x: &mut [f32], scale: f32, shift: f32) -> f32 {
        for value in x.iter_mut() {
            *value = exp(value.mul_add(scale, -shift));
        }
        let x = &*x;
        lane_sum(x.len(), |i, sum| sum + x[i])
    }

    /// Entropy in nats of the softmax of `x`, whose largest element is `maximum`.
    pub fn entropy(x: &[f32], maximum: f32) -> f32 {
        let total = lane_sum(x.len(), |i, sum| sum + exp(x[i] - maximum));
        let along = lane_sum(x.len(), |i, sum| exp(x[i] - maximum).mul_add(x[i] - maximum, sum));
        total.ln() - along / total
    }

    /// `x *= factor`.
    pub fn scale(x: &mut [f32], factor: f32) {
        for value in x {
            *value *= factor;
        }
    }

    /// `x += y`.
    pub fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }

    /// Sets elements to zero by random bits of (`key`, index) below `threshold`, and multiplies the others by `factor`.
    pub fn drop_out(x: &mut [f32], key: u32, threshold: u32, factor: f32) {
        for (i, value) in x.iter_mut().enumerate() {
            // The mixer "lowbias32".
            let mut bits = (i as u32).wrapping_mul(0x9e37_79b9) ^ key;
            bits = (bits ^ (bits >> 16)).wrapping_mul(0x7feb_352d);
            bits = (bits ^ (bits >> 15)).wrapping_mul(0x846c_a68b);
            bits ^= bits >> 16;
            *value = if bits < threshold { 0.0 } else { *value * factor };
        }
    }

    /// Gradient of softmax: `ds = p * (dp - along) * scale`, written over `dp`.
    pub fn softmax_backward(p: &[f32], dp: &mut [f32], along: f32, scale: f32) {
        for (p, dp) in p.iter().zip(dp) {
            *dp = p * (*dp - along) * scale;
        }
    }

    /// Rotates pairs (i, i + half) of one head by the angles of its position, in place.
    pub fn rotate(head: &mut [f32], cosine: &[f32], sine: &[f32]) {
        let half = head.len() / 2;
        let (first, second) = head.split_at_mut(half);
        let (second, cosine, sine) = (&mut second[..half], &cosine[..half], &sine[..half]);
        for i in 0..half {
            let (a, b) = (first[i], second[i]);
            first[i] = a * cosine[i] - b * sine[i];
            second[i] = b * cosine[i] + a * sine[i];
        }
    }

    /// Backward of [`rotate`]: the opposite rotation.
    pub fn rotate_back(head: &mut [f32], cosine: &[f32], sine: &[f32]) {
        let half = head.len() / 2;
        let (first, second) = head.split_at_mut(half);
        let (second, cosine, sine) = (&mut second[..half], &cosine[..half], &sine[..half]);
        for i in 0..half {
            let (a, b) = (first[i], second[i]);
            first[i] = a * cosine[i] + b * sine[i];
            second[i] = b * cosine[i] - a * sine[i];
        }
    }

    /// One AdamW update in place (arXiv 1711.05101, algorithm 2, in PyTorch's order of operations).
    pub fn adamw(
        parameter: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        factors: &AdamwFactors,
    ) {
        let n = parameter.len();
        let (gradient, first, second) = (&gradient[..n], &mut first[..n], &mut second[..n]);
        let AdamwFactors { clip, keep, beta1, beta2, step_size, root_correction, epsilon } = *factors;
        for i in 0..n {
            let g = gradient[i] * clip;
            let m = first[i] + (1.0 - beta1) * (g - first[i]);
            let v = second[i] * beta2 + (1.0 - beta2) * g * g;
            first[i] = m;
            second[i] = v;
            parameter[i] = parameter[i] * keep - step_size * (m / (v.sqrt() / root_correction + epsilon));
        }
    }
}

/// The numbers of one [`adamw`] step that are the same for every element.
#[derive(Clone, Copy, Debug)]
pub struct AdamwFactors {
    /// Factor on the gradient (global-norm clipping).
    pub clip: f32,
    /// `1 - learning rate * weight decay`.
    pub keep: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// `learning rate / (1 - beta1^t)`.
    pub step_size: f32,
    /// `sqrt(1 - beta2^t)`.
    pub root_correction: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
}

/// Sum of squares in f64, over fixed chunks, so that no thread count changes it.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    use rayon::prelude::*;
    const CHUNK: usize = 1 << 15;
    let partial = |chunk: &[f32]| {
        let mut lanes = [0.0_f64; 8];
        for part in chunk.chunks(8) {
            for (lane, x) in lanes.iter_mut().zip(part) {
                *lane += f64::from(*x) * f64::from(*x);
            }
        }
        lanes.iter().sum::<f64>()
    };
    x.par_chunks(CHUNK).map(partial).collect::<Vec<f64>>().iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_within_two_units() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours - exact).abs() <= exact * 2.4e-7, "{x}: {ours} against {exact}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn entropies() {
        let x = [1.5, 1.2, -0.5, 0.0, -1.0];
        assert!((entropy(&x, 1.5) - 1.253_427_6).abs() < 1e-6);
        assert!(entropy(&[0.0, -300.0], 0.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_number_is_found_wherever_it_stands() {
        for length in [0, 1, 15, 16, 17, 40] {
            let x: Vec<f32> = (0..length).map(|i| (i as f32 - 7.0) * (f32::MAX / 50.0)).collect();
            assert!(finite(&x));
            for (at, broken) in
                [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().cycle().take(length).enumerate()
            {
                let mut x = x.clone();
                x[at] = broken;
                assert!(!finite(&x), "{broken} at {at} of {length}");
            }
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let x: Vec<f32> = (0..37).map(|i| (i as f32 * 0.7).sin()).collect();
        let weight: Vec<f32> = (0..37).map(|i| 1.0 + (i as f32 * 0.3).cos() * 0.2).collect();
        let dout: Vec<f32> = (0..37).map(|i| (i as f32 * 1.3).cos()).collect();
        let value = |x: &[f32]| {
            let mut out = vec![0.0; 37];
            rms_norm(x, &weight, 1e-6, &mut out);
            out.iter().zip(&dout).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
        };
        let (mut dx, mut dweight) = (vec![0.0; 37], vec![0.0; 37]);
        rms_norm_backward(&x, &weight, 1e-6, &dout, &mut dx, &mut dweight);
        for i in 0..37 {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[i] += 1e-2;
            down[i] -= 1e-2;
            let slope = (value(&up) - value(&down)) / 2e-2;
            assert!((slope - f64::from(dx[i])).abs() < 1e-3, "{i}: {slope} against {}", dx[i]);
        }
        let (gate, up) = (x.clone(), weight.clone());
        let gated = |gate: &[f32], up: &[f32]| {
            let mut out = vec![0.0; 37];
            swiglu(gate, up, &mut out);
            out.iter().zip(&dout).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
        };
        let (mut dgate, mut dup, mut again) = (gate.clone(), up.clone(), dout.clone());
        swiglu_backward(&mut dgate, &mut dup, &mut again);
        for i in 0..37 {
            let moved = |by: f32, v: &[f32]| {
                let mut v = v.to_vec();
                v[i] += by;
                v
            };
            let slope = (gated(&moved(1e-2, &gate), &up) - gated(&moved(-1e-2, &gate), &up)) / 2e-2;
            assert!((slope - f64::from(dgate[i])).abs() < 1e-3);
            let slope = (gated(&gate, &moved(1e-2, &up)) - gated(&gate, &moved(-1e-2, &up))) / 2e-2;
            assert!((slope - f64::from(dup[i])).abs() < 1e-3);
        }
    }
}
