//! Arithmetic on f32 slices for the CPU: matrix products, row-wise functions and attention.
//!
//! Every result element is one fixed chain of operations that depends neither on the number of threads nor on how many
//! other rows are computed beside it nor on the instruction set: products are chains of fused multiply-adds over blocks of
//! [`product::DEPTH`] terms, other sums run in sixteen lanes that are joined in a fixed order. Multiplication and addition
//! are fused only where `mul_add` says so.
#![allow(unsafe_code)]
// What is not inlined here is compiled without the instruction set of its caller.
#![allow(clippy::inline_always)]

pub mod attention;
pub mod panels;
pub mod product;
pub mod rowwise;
mod shared;

pub use shared::{SharedRows, with_scratch, zeros};

/// Instruction sets that kernels are compiled for; picked once while running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512.
    V4,
    /// AVX2 and FMA.
    V3,
    /// Whatever the compiler was told to assume.
    Portable,
}

/// The best instruction set of this machine.
#[inline]
pub fn isa() -> Isa {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
        {
            return Isa::V4;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Isa::V3;
        }
    }
    Isa::Portable
}

/// Compiles a function body once for each instruction set and calls the best one.
macro_rules! vectorized {
    ($($(#[$attribute:meta])* pub fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments)]
        pub fn $name($($argument: $kind),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($argument: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn v4($($argument: $kind),*) $(-> $result)? { body($($argument),*) }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn v3($($argument: $kind),*) $(-> $result)? { body($($argument),*) }
                match $crate::kernels::isa() {
                    // SAFETY: the features were just detected on this machine.
                    $crate::kernels::Isa::V4 => return unsafe { v4($($argument),*) },
                    // SAFETY: as above.
                    $crate::kernels::Isa::V3 => return unsafe { v3($($argument),*) },
                    $crate::kernels::Isa::Portable => {}
                }
            }
            body($($argument),*)
        }
    )*};
}
pub(crate) use vectorized;
