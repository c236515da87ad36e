//! The fuzzer: `KEEPFAST_FUZZ` names the target, libFuzzer reads the arguments.
#![no_main]

use std::env;
use std::process::exit;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        target.run(bytes);
    }
});

fn choose() {
    let name = env::var("KEEPFAST_FUZZ").unwrap_or_default();
    let Some(target) = Target::ALL.into_iter().find(|it| it.name() == name) else {
        eprintln!("KEEPFAST_FUZZ={name:?}: expected the name of a target");
        exit(1);
    };
    TARGET.get_or_init(|| target);
}
