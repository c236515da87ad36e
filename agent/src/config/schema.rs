//! The JSON schema of a router file.
