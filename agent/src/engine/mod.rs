//! What is decided about a router: pure, inputs in, actions out, time passed in.
