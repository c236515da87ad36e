//! Child processes and foreign ones, held by pidfd.
