//! The control socket and those who speak through it.
