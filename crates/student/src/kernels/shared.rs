use std::cell::RefCell;
use std::marker::PhantomData;

use rayon::prelude::*;

thread_local! {
    /// Buffers that kernels of this thread gave back, so that a step does not ask the system for memory again.
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `work` a buffer of `length` f32 with arbitrary content; buffers are kept per thread and used again.
pub fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    let result = work(&mut buffer[..length]);
    SPARE.with_borrow_mut(|spare| spare.push(buffer));
    result
}

/// `length` zeros, in `memory` if that is as long. All threads write them, also into new memory: where it is read before it
/// is written, the system maps every page twice.
pub fn zeros(memory: Vec<f32>, length: usize) -> Vec<f32> {
    let mut zeros = if memory.len() == length { memory } else { vec![0.0; length] };
    zeros.par_chunks_mut(1 << 16).for_each(|part| part.fill(0.0));
    zeros
}

/// A matrix of f32 whose rows several tasks fill at the same time, each its own.
#[derive(Clone, Copy, Debug)]
pub struct SharedRows<'a> {
    start: *mut f32,
    length: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer comes from an exclusive borrow that lives as long as the value; `part` obliges its callers to
// take disjoint parts, so no element is reached from two threads.
unsafe impl Send for SharedRows<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedRows<'_> {}

impl<'a> SharedRows<'a> {
    /// Takes the matrix for as long as tasks fill it.
    pub fn new(data: &'a mut [f32]) -> Self {
        Self { start: data.as_mut_ptr(), length: data.len(), life: PhantomData }
    }

    /// The elements from `start` on, `length` of them.
    ///
    /// # Safety
    /// No two parts that are alive at the same time may overlap.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, start: usize, length: usize) -> &'a mut [f32] {
        assert!(start + length <= self.length, "{start} + {length} elements of {}", self.length);
        // SAFETY: the range lies inside the borrowed slice (asserted), and the caller keeps parts disjoint.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }

    /// Pointer to element `index`, for kernels that write a tile whose rows are not adjacent.
    ///
    /// # Safety
    /// As for [`SharedRows::part`], element by element.
    pub unsafe fn pointer(&self, index: usize) -> *mut f32 {
        assert!(index < self.length, "element {index} of {}", self.length);
        // SAFETY: the index lies inside the borrowed slice (asserted).
        unsafe { self.start.add(index) }
    }
}
