//! Files that a root daemon may touch.
