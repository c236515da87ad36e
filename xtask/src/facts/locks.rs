//! Calls of a program's own functions while it holds a lock, which Linux 6.1 refuses.

use super::Facts;

/// Calls of the helpers `bpf_spin_lock` and `bpf_spin_unlock`.
const LOCK: &str = "85 00 00 00 5d 00 00 00";
const UNLOCK: &str = "85 00 00 00 5e 00 00 00";
/// A call of a function of the object's own.
const CALL: &str = "85 10 00 00 ";

/// Names each such call, by where it is.
///
/// Instructions count as locked in the order in which they stand, as the compiler puts
/// them: no branch is followed.
pub(crate) fn calls_under_lock(facts: &Facts) -> Vec<String> {
    let functions = facts
        .iter()
        .filter(|(name, _)| name.starts_with("function "));
    let mut found = Vec::new();
    for (function, listing) in functions {
        let mut locked = false;
        for line in listing.lines() {
            let code = line.split_once(": ").map_or("", |(_, code)| code);
            match code {
                LOCK => locked = true,
                UNLOCK => locked = false,
                _ if locked && code.starts_with(CALL) => found.push(format!("{function}, {line}")),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(lines: &[&str]) -> Vec<String> {
        let listing = lines
            .iter()
            .enumerate()
            .map(|(index, code)| format!("{:#06x}: {code}\n", index * 8))
            .collect();
        calls_under_lock(&Facts::from([("function step in .text".into(), listing)]))
    }

    #[test]
    fn only_calls_of_own_functions_between_lock_and_unlock_are_named() {
        let other = "85 10 00 00 -> other";
        let helper = "85 00 00 00 05 00 00 00";
        assert_eq!(
            calls(&[other, LOCK, helper, UNLOCK, other]),
            Vec::<String>::new()
        );
        assert_eq!(
            calls(&[LOCK, other, UNLOCK, other]),
            ["function step in .text, 0x0008: 85 10 00 00 -> other"]
        );
    }
}
