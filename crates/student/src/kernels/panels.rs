//! Packing of a product's right operand into panels of [`WIDTH`] columns, which kernels read from first to last.

use rayon::prelude::*;

use super::product::View;

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
        for j in 0..columns {
            let row = &right.data[start + j * right.column..][..BLOCK];
            for (k, value) in row.iter().enumerate() {
                packed[k * WIDTH + j] = *value;
            }
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
