//! Packing of a product's right operand into panels of [`WIDTH`] columns, which kernels read from first to last.

use rayon::prelude::*;

use super::product::View;
use super::{Isa, isa};

/// Columns of one panel of a packed right operand.
pub const WIDTH: usize = 32;
/// Elements that are moved together when the operand is a transpose: strided writes then stay inside the first cache.
const BLOCK: usize = 16;
/// Rows that are asked for ahead of time: they lie in different pages, where processors do not look ahead.
const AHEAD: usize = 16;

/// Elements a packed right operand of `depth` rows and `columns` columns takes.
pub fn packed_length(depth: usize, columns: usize) -> usize {
    columns.div_ceil(WIDTH) * WIDTH * depth
}

/// Packs a `depth` x `columns` matrix into panels: panel `p` holds columns `32 p ..` as `[depth][32]`, padded with zeros.
pub fn pack(right: View, depth: usize, columns: usize, packed: &mut [f32]) {
    right.check(depth, columns);
    for (panel, packed) in packed[..packed_length(depth, columns)].chunks_mut((depth * WIDTH).max(1)).enumerate() {
        pack_panel(right.part(0, panel * WIDTH), depth, (columns - panel * WIDTH).min(WIDTH), packed);
    }
}

/// [`pack`] by all threads.
pub fn pack_parallel(right: View, depth: usize, columns: usize, packed: &mut [f32]) {
    right.check(depth, columns);
    let packed = &mut packed[..packed_length(depth, columns)];
    packed.par_chunks_mut((depth * WIDTH).max(1)).enumerate().for_each(|(panel, packed)| {
        pack_panel(right.part(0, panel * WIDTH), depth, (columns - panel * WIDTH).min(WIDTH), packed);
    });
}

fn pack_panel(right: View, depth: usize, columns: usize, packed: &mut [f32]) {
    if right.column == 1 {
        pack_rows(right, depth, columns, packed);
        return;
    }
    let whole = if right.row == 1 { depth / BLOCK * BLOCK } else { 0 };
    for (block, packed) in packed.chunks_exact_mut(BLOCK * WIDTH).take(whole / BLOCK).enumerate() {
        let start = block * BLOCK;
        // The lines that come after the next few blocks, of this panel or of the one after it.
        let ahead = start + 4 * AHEAD;
        let next = if ahead < depth { ahead } else { ahead - depth + WIDTH * right.column };
        (0..columns).for_each(|j| prefetch(right.data, next + j * right.column));
        for first in (0..columns).step_by(BLOCK) {
            let count = (columns - first).min(BLOCK);
            turn(&right.data[start + first * right.column..], right.column, count, &mut packed[first..]);
        }
        if columns < WIDTH {
            packed.chunks_exact_mut(WIDTH).for_each(|row| row[columns..].fill(0.0));
        }
    }
    for (k, packed) in packed.chunks_exact_mut(WIDTH).take(depth).enumerate().skip(whole) {
        for (j, out) in packed[..columns].iter_mut().enumerate() {
            *out = right.data[k * right.row + j * right.column];
        }
        packed[columns..].fill(0.0);
    }
}

/// `packed[k * 32 + j] = rows[j * stride + k]` for [`BLOCK`] values of `k` and `count` of `j`.
fn turn(rows: &[f32], stride: usize, count: usize, packed: &mut [f32]) {
    assert!((count - 1) * stride + BLOCK <= rows.len() && (BLOCK - 1) * WIDTH + count <= packed.len());
    #[cfg(target_arch = "x86_64")]
    if count == BLOCK && isa() == Isa::V4 {
        // SAFETY: AVX-512 is there, and all elements of both blocks are (asserted).
        unsafe { turn_v4(rows.as_ptr(), stride, packed.as_mut_ptr()) };
        return;
    }
    for j in 0..count {
        for (k, value) in rows[j * stride..][..BLOCK].iter().enumerate() {
            packed[k * WIDTH + j] = *value;
        }
    }
}

/// [`turn`] for 16 rows, in registers: first squares of 4 x 4 within each quarter of the registers, then the quarters.
///
/// # Safety
/// AVX-512F is there; `rows` is valid at `j * stride + k` and `packed` for writes at `k * 32 + j`, both for `j`, `k` < 16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn turn_v4(rows: *const f32, stride: usize, packed: *mut f32) {
    use std::arch::x86_64::{
        __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_loadu_ps, _mm512_setzero_ps, _mm512_shuffle_f32x4,
        _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };
    let low = |a: __m512, b: __m512| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    let high = |a: __m512, b: __m512| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    // Register `i` holds, in its quarter `q`, element `4 q + i % 4` of the rows `4 (i / 4) ..`.
    let mut squares = [_mm512_setzero_ps(); BLOCK];
    for (i, squares) in squares.chunks_exact_mut(4).enumerate() {
        // SAFETY: the caller's promise.
        let row = |j: usize| unsafe { _mm512_loadu_ps(rows.add((4 * i + j) * stride)) };
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (ab, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (cd, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        squares.copy_from_slice(&[low(ab, cd), high(ab, cd), low(ab_high, cd_high), high(ab_high, cd_high)]);
    }
    for i in 0..4 {
        let [a, b, c, d] = [squares[i], squares[4 + i], squares[8 + i], squares[12 + i]];
        let (even, even_rest) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
        let (odd, odd_rest) = (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d));
        let columns = [
            _mm512_shuffle_f32x4::<0x88>(even, even_rest),
            _mm512_shuffle_f32x4::<0x88>(odd, odd_rest),
            _mm512_shuffle_f32x4::<0xdd>(even, even_rest),
            _mm512_shuffle_f32x4::<0xdd>(odd, odd_rest),
        ];
        for (quarter, column) in columns.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_ps(packed.add((4 * quarter + i) * WIDTH), column) };
        }
    }
}

/// A panel whose rows lie one element after the other.
fn pack_rows(right: View, depth: usize, columns: usize, packed: &mut [f32]) {
    for (k, packed) in packed.chunks_exact_mut(WIDTH).take(depth).enumerate() {
        let ahead = k + AHEAD;
        let next = if ahead < depth { ahead * right.row } else { (ahead - depth) * right.row + WIDTH };
        prefetch(right.data, next);
        prefetch(right.data, next + WIDTH / 2);
        let row = &right.data[k * right.row..][..columns];
        match <&[f32; WIDTH]>::try_from(row) {
            Ok(row) => packed.copy_from_slice(row),
            Err(_) => {
                packed[..columns].copy_from_slice(row);
                packed[columns..].fill(0.0);
            }
        }
    }
}

/// Asks for an element that will be read soon; beyond the last one nothing happens.
fn prefetch(data: &[f32], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = data.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the element is there, and the instruction changes nothing but caches.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, index);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_the_operand() {
        for (depth, columns) in [(1, 1), (16, 32), (40, 16), (47, 70), (64, 33), (130, 96), (15, 31)] {
            let data: Vec<f32> = (0..depth * columns).map(|i| i as f32 + 1.0).collect();
            for right in [View::rows(&data, columns), View::transposed(&data, depth)] {
                let mut expected = vec![0.0; packed_length(depth, columns)];
                for k in 0..depth {
                    for j in 0..columns {
                        expected[(j / WIDTH * depth + k) * WIDTH + j % WIDTH] = data[k * right.row + j * right.column];
                    }
                }
                let (mut serial, mut parallel) = (vec![f32::NAN; expected.len()], vec![f32::NAN; expected.len()]);
                pack(right, depth, columns, &mut serial);
                pack_parallel(right, depth, columns, &mut parallel);
                assert_eq!(expected, serial, "{depth} x {columns}");
                assert_eq!(expected, parallel, "{depth} x {columns}");
            }
        }
    }
}
