//! What happened to a router, one JSON line each.
