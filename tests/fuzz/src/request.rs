//! Arbitrary bytes as what somebody sends to the control socket.

use futures_util::FutureExt as _;
use keepfast::control::{MOST_REQUEST, Request, receive};

pub(crate) fn run(bytes: &[u8]) {
    // Bytes that are there already need no waiting.
    let Some(received) = receive(bytes).now_or_never() else {
        panic!("waits for more than there is");
    };
    let Ok(request) = received else {
        return;
    };
    let line = bytes.iter().position(|byte| *byte == b'\n');
    assert!(line.is_some_and(|at| at < MOST_REQUEST));
    let mut written = serde_json::to_vec(&request).unwrap_or_default();
    written.push(b'\n');
    let again = receive(written.as_slice()).now_or_never();
    assert_eq!(again.and_then(Result::ok).as_ref(), Some(&request));
    check(&request);
}

/// What is logged of it is one line.
fn check(request: &Request) {
    if let Some(action) = request.action() {
        assert!(!action.contains(char::is_control), "{action:?}");
    }
}
