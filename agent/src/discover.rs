//! `keepfast discover`: a router file for a keepalived that runs already.
