//! keepalived: what it is told ([`render`]), what others told it ([`read`]),
//! its processes ([`process`]), and how it is told of more priority at once
//! ([`raise`]).

pub mod render;

pub mod read;

pub mod process;

pub mod raise;
