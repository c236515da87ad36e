//! Plain data across the border between kernel and agent.

use aya::Pod;

/// Makes the shared types of `keepfast_common` readable through aya's maps.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Wire<T>(pub T);

// SAFETY: bytemuck's `Pod` demands all that aya's does (no padding, no
// pointers, any bit pattern valid), and the wrapper is transparent.
unsafe impl<T: bytemuck::Pod> Pod for Wire<T> {}
