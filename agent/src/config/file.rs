//! Reading a router file.
