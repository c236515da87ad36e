//! keepalived: what it is told ([`render`]), what others told it ([`read`]), and
//! its processes ([`process`]).

pub mod render;

pub mod read;

pub mod process;
