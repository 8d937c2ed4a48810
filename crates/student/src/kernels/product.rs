//! Matrix products. The right operand is packed into panels of [`WIDTH`] columns, the left one is read where it lies.
//! Element (i, j) is `Σ_blocks fma-chain over the block's terms`, blocks of [`DEPTH`] terms counted from the first one,
//! whatever the shapes around it.

use std::ops::Range;

use rayon::prelude::*;

use super::panels::{WIDTH, pack, packed_length};
use super::{Isa, SharedRows, isa, with_scratch};

/// Terms that are summed in registers before they are added to the result.
pub const DEPTH: usize = 512;
/// Rows of the largest tile of any instruction set.
const TILE: usize = 12;

/// A matrix read where it lies: element (i, j) is `data[i * row + j * column]`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The elements, row-major when `column` is 1, transposed when `row` is 1.
    pub data: &'a [f32],
    /// Distance between rows, in elements.
    pub row: usize,
    /// Distance between columns, in elements.
    pub column: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix with `stride` elements from row to row.
    pub fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row: stride, column: 1 }
    }

    /// The transpose of a row-major matrix with `stride` elements from row to row.
    pub fn transposed(data: &'a [f32], stride: usize) -> Self {
        Self { data, row: 1, column: stride }
    }

    pub(super) fn part(&self, first_row: usize, first_column: usize) -> Self {
        let start = first_row * self.row + first_column * self.column;
        Self { data: &self.data[start.min(self.data.len())..], ..*self }
    }

    pub(super) fn check(&self, rows: usize, columns: usize) {
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * self.row + (columns - 1) * self.column;
            assert!(last < self.data.len(), "a {rows} x {columns} view of {} elements", self.data.len());
        }
    }
}

/// A packed right operand, or the leading rows and columns of one.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// Panels as [`super::panels::pack`] writes them.
    pub panels: &'a [f32],
    /// Rows the panels were packed with; at least the depth of the product.
    pub depth: usize,
}

/// `result (+)= left · right`: `rows` x `depth` times `depth` x `columns`; `stride` is the result's distance from row to
/// row. Adds to the result when `accumulate`, else overwrites it. Runs on the calling thread.
#[allow(clippy::too_many_arguments)]
pub fn multiply(
    rows: usize,
    columns: usize,
    depth: usize,
    left: View,
    right: Packed,
    result: &mut [f32],
    stride: usize,
    accumulate: bool,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(stride >= columns && (rows - 1) * stride + columns <= result.len(), "result is too small");
    // SAFETY: `result` is borrowed exclusively and large enough (asserted).
    unsafe { multiply_into(rows, columns, depth, left, right, result.as_mut_ptr(), stride, accumulate) };
}

/// [`multiply`] into a tile that may lie inside a larger matrix.
///
/// # Safety
/// `result` must be valid for writes at `i * stride + j` for all `i < rows`, `j < columns`, and nobody else may touch those.
#[allow(clippy::too_many_arguments)]
pub unsafe fn multiply_into(
    rows: usize,
    columns: usize,
    depth: usize,
    left: View,
    right: Packed,
    result: *mut f32,
    stride: usize,
    accumulate: bool,
) {
    left.check(rows, depth);
    let panel_length = right.depth * WIDTH;
    assert!(
        depth <= right.depth && columns.div_ceil(WIDTH) * panel_length <= right.panels.len(),
        "right operand is too small"
    );
    let tile = TileShape::of(isa());
    if depth == 0 && !accumulate {
        for i in 0..rows {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts_mut(result.add(i * stride), columns).fill(0.0) };
        }
    }
    for start in (0..depth).step_by(DEPTH) {
        let length = (depth - start).min(DEPTH);
        let accumulate = accumulate || start > 0;
        for panel in 0..columns.div_ceil(WIDTH) {
            let first = panel * WIDTH;
            let b = right.panels[panel * panel_length + start * WIDTH..].as_ptr();
            let width = (columns - first).min(WIDTH);
            let kernels = if width > WIDTH / 2 { tile.kernels } else { tile.narrow };
            let mut i = 0;
            while i < rows {
                let count = (rows - i).min(tile.rows);
                // SAFETY: `left` reaches row `i + count - 1` and term `start + length - 1` (checked); the panel holds
                // `length` more rows of 32 (asserted); the result tile lies inside what the caller promised.
                unsafe {
                    let a = left.data.as_ptr().add(i * left.row + start * left.column);
                    let c = result.add(i * stride + first);
                    (kernels[count - 1])(length, a, left.row, left.column, b, c, stride, width, accumulate);
                }
                i += count;
            }
        }
    }
}

/// `result (+)= left · right` by all threads, packing the right operand piece by piece; for products too large to pack whole
/// and for reductions over many rows.
#[allow(clippy::too_many_arguments)]
pub fn multiply_parallel(
    rows: usize,
    columns: usize,
    depth: usize,
    left: View,
    right: View,
    result: &mut [f32],
    stride: usize,
    accumulate: bool,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(stride >= columns && (rows - 1) * stride + columns <= result.len(), "result is too small");
    left.check(rows, depth);
    right.check(depth, columns);
    // How the result is cut into tasks changes no element, so it may follow the shape freely: an even number of tasks of
    // nearly the same size.
    let (tiles, panels) = (rows.div_ceil(TILE), columns.div_ceil(WIDTH));
    let row_tasks = match panels {
        1 => rows.div_ceil(144),
        _ if rows <= 320 => 1,
        _ => rows.div_ceil(240),
    };
    let row_tasks = if row_tasks > 1 { row_tasks.next_multiple_of(2) } else { 1 };
    // Some panels together, because every task reads its rows of the left operand again.
    let panel_tasks = panels.div_ceil((panels * row_tasks).div_ceil(16).clamp(3, 8));
    let panel_tasks = if row_tasks > 1 { panel_tasks } else { panel_tasks.next_multiple_of(2).min(panels) };
    let shared = SharedRows::new(result);
    (0..row_tasks * panel_tasks).into_par_iter().with_max_len(1).for_each(|task| {
        let tiles = share(tiles, row_tasks, task % row_tasks);
        let panels = share(panels, panel_tasks, task / row_tasks);
        let (first_row, first) = (tiles.start * TILE, panels.start * WIDTH);
        let (rows, columns) = (rows.min(tiles.end * TILE) - first_row, columns.min(panels.end * WIDTH) - first);
        with_scratch(packed_length(depth.min(DEPTH), columns), |packed| {
            for start in (0..depth.max(1)).step_by(DEPTH) {
                let length = (depth - start).min(DEPTH);
                pack(right.part(start, first), length, columns, packed);
                let right = Packed { panels: packed, depth: length };
                // SAFETY: tasks own disjoint tiles: `task` maps one to one to a block of rows and a block of columns.
                unsafe {
                    let tile = shared.pointer(first_row * stride + first);
                    let left = left.part(first_row, start);
                    multiply_into(rows, columns, length, left, right, tile, stride, accumulate || start > 0);
                }
            }
        });
    });
}

/// Part `index` of `count` parts of nearly the same length.
fn share(length: usize, count: usize, index: usize) -> Range<usize> {
    length * index / count..length * (index + 1) / count
}

type Kernel = unsafe fn(usize, *const f32, usize, usize, *const f32, *mut f32, usize, usize, bool);

struct TileShape {
    rows: usize,
    kernels: &'static [Kernel],
    /// For tiles of at most 16 columns.
    narrow: &'static [Kernel],
}

impl TileShape {
    fn of(isa: Isa) -> Self {
        let (kernels, narrow): (&'static [Kernel], &'static [Kernel]) = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::V4 => (
                &[
                    v4::<1, 2>,
                    v4::<2, 2>,
                    v4::<3, 2>,
                    v4::<4, 2>,
                    v4::<5, 2>,
                    v4::<6, 2>,
                    v4::<7, 2>,
                    v4::<8, 2>,
                    v4::<9, 2>,
                    v4::<10, 2>,
                    v4::<11, 2>,
                    v4::<12, 2>,
                ],
                &[
                    v4::<1, 1>,
                    v4::<2, 1>,
                    v4::<3, 1>,
                    v4::<4, 1>,
                    v4::<5, 1>,
                    v4::<6, 1>,
                    v4::<7, 1>,
                    v4::<8, 1>,
                    v4::<9, 1>,
                    v4::<10, 1>,
                    v4::<11, 1>,
                    v4::<12, 1>,
                ],
            ),
            #[cfg(target_arch = "x86_64")]
            Isa::V3 => {
                const KERNELS: &[Kernel] = &[v3::<1>, v3::<2>, v3::<3>];
                (KERNELS, KERNELS)
            }
            _ => {
                const KERNELS: &[Kernel] = &[portable::<1>, portable::<2>, portable::<3>, portable::<4>];
                (KERNELS, KERNELS)
            }
        };
        Self { rows: kernels.len(), kernels, narrow }
    }
}

/// One tile of at most 12 x 16 `H` results.
///
/// # Safety
/// AVX-512F is there; `a` is valid at `i * row + k * column` for `i < R`, `k < depth`; `b` at `k * 32 + j`; `c` for writes
/// at `i * stride + j`, `j < width <= 16 H`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[allow(clippy::too_many_arguments)]
unsafe fn v4<const R: usize, const H: usize>(
    depth: usize,
    a: *const f32,
    row: usize,
    column: usize,
    b: *const f32,
    c: *mut f32,
    stride: usize,
    width: usize,
    accumulate: bool,
) {
    use std::arch::x86_64::{
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_ps,
        _mm512_setzero_ps,
    };
    // SAFETY: every address is one of those the caller promised; masked lanes are not touched.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); H]; R];
        let (mut a, mut b) = (a, b);
        for _ in 0..depth {
            let mut right = [_mm512_setzero_ps(); H];
            for (half, right) in right.iter_mut().enumerate() {
                *right = _mm512_loadu_ps(b.add(16 * half));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*a.add(i * row));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = _mm512_fmadd_ps(x, right, *sum);
                }
            }
            a = a.wrapping_add(column);
            b = b.wrapping_add(WIDTH);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (half, sum) in sums.iter().enumerate() {
                let c = c.add(i * stride).wrapping_add(16 * half);
                let mask = ((1_u32 << width.saturating_sub(16 * half).min(16)) - 1) as u16;
                let sum = if accumulate { _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), *sum) } else { *sum };
                _mm512_mask_storeu_ps(c, mask, sum);
            }
        }
    }
}

/// One tile of at most 3 x 32 results.
///
/// # Safety
/// As for [`v4`], with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[allow(clippy::too_many_arguments)]
unsafe fn v3<const R: usize>(
    depth: usize,
    a: *const f32,
    row: usize,
    column: usize,
    b: *const f32,
    c: *mut f32,
    stride: usize,
    width: usize,
    accumulate: bool,
) {
    use std::arch::x86_64::{
        _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };
    // SAFETY: every address is one of those the caller promised.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 4]; R];
        for k in 0..depth {
            let b = b.add(k * WIDTH);
            let b =
                [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)), _mm256_loadu_ps(b.add(16)), _mm256_loadu_ps(b.add(24))];
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = _mm256_broadcast_ss(&*a.add(i * row + k * column));
                for (sum, b) in sum.iter_mut().zip(b) {
                    *sum = _mm256_fmadd_ps(x, b, *sum);
                }
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            let mut out = [0.0_f32; WIDTH];
            for (lane, sum) in sum.iter().enumerate() {
                _mm256_storeu_ps(out.as_mut_ptr().add(lane * 8), *sum);
            }
            put(&out[..width], c.add(i * stride), accumulate);
        }
    }
}

/// One tile of at most 4 x 32 results, for machines without the instruction sets above.
///
/// # Safety
/// As for [`v4`], without AVX-512.
#[allow(clippy::too_many_arguments)]
unsafe fn portable<const R: usize>(
    depth: usize,
    a: *const f32,
    row: usize,
    column: usize,
    b: *const f32,
    c: *mut f32,
    stride: usize,
    width: usize,
    accumulate: bool,
) {
    let mut sums = [[0.0_f32; WIDTH]; R];
    for k in 0..depth {
        // SAFETY: every address is one of those the caller promised.
        let b = unsafe { std::slice::from_raw_parts(b.add(k * WIDTH), WIDTH) };
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let x = unsafe { *a.add(i * row + k * column) };
            for (sum, b) in sum.iter_mut().zip(b) {
                *sum = x.mul_add(*b, *sum);
            }
        }
    }
    for (i, sum) in sums.iter().enumerate() {
        // SAFETY: as above.
        unsafe { put(&sum[..width], c.add(i * stride), accumulate) };
    }
}

/// # Safety
/// `c` is valid for reads and writes of `sums.len()` elements.
#[inline(always)]
unsafe fn put(sums: &[f32], c: *mut f32, accumulate: bool) {
    // SAFETY: the caller's promise.
    let c = unsafe { std::slice::from_raw_parts_mut(c, sums.len()) };
    for (c, sum) in c.iter_mut().zip(sums) {
        *c = if accumulate { *c + sum } else { *sum };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..count).map(next).collect()
    }

    /// The definition: chains of fused multiply-adds over blocks of 512 terms.
    fn by_definition(m: usize, n: usize, k: usize, a: View, b: View, c: &mut [f32], accumulate: bool) {
        for i in 0..m {
            for j in 0..n {
                let mut total = if accumulate { c[i * n + j] } else { 0.0 };
                for start in (0..k).step_by(DEPTH) {
                    let mut sum = 0.0_f32;
                    for p in start..(start + DEPTH).min(k) {
                        sum = a.data[i * a.row + p * a.column].mul_add(b.data[p * b.row + j * b.column], sum);
                    }
                    total = if start == 0 && !accumulate { sum } else { total + sum };
                }
                c[i * n + j] = total;
            }
        }
    }

    #[test]
    fn products_are_bitwise_their_definition() {
        for (m, n, k) in [(1, 1, 1), (1, 33, 7), (5, 32, 600), (13, 70, 40), (25, 31, 1025), (350, 65, 33)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            for (left, right) in [
                (View::rows(&a, k), View::rows(&b, n)),
                (View::rows(&a, k), View::transposed(&b, k)),
                (View::transposed(&a, m), View::rows(&b, n)),
            ] {
                for accumulate in [false, true] {
                    let mut expected = numbers(m * n, 3);
                    let (mut serial, mut parallel) = (expected.clone(), expected.clone());
                    by_definition(m, n, k, left, right, &mut expected, accumulate);
                    let mut packed = vec![f32::NAN; packed_length(k, n)];
                    pack(right, k, n, &mut packed);
                    multiply(m, n, k, left, Packed { panels: &packed, depth: k }, &mut serial, n, accumulate);
                    multiply_parallel(m, n, k, left, right, &mut parallel, n, accumulate);
                    assert_eq!(expected, serial, "{m} x {n} x {k}");
                    assert_eq!(expected, parallel, "{m} x {n} x {k}");
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let (a, b) = (numbers(3 * 50, 4), numbers(50 * WIDTH, 5));
        let run = |kernel: Kernel| {
            let mut c = vec![0.5_f32; 3 * 20];
            // SAFETY: three rows of `a`, fifty rows of `b`, twenty columns of `c`.
            unsafe { kernel(50, a.as_ptr(), 50, 1, b.as_ptr(), c.as_mut_ptr(), 20, 20, true) };
            c
        };
        let expected = run(portable::<3>);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                assert_eq!(expected, run(v3::<3>));
            }
            if isa() == Isa::V4 {
                assert_eq!(expected, run(v4::<3, 2>));
            }
        }
        assert!(expected.iter().all(|x| x.is_finite()));
    }
}
