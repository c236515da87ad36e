//! Which tests prove a kernel, and why these.
//!
//! A guest's processor is emulated: it is several times slower, and its pauses are longer. What
//! measures how soon something is, counts on rates, or needs other packages is left to the
//! machine itself. To load the programs takes seconds there, so of tests that would find the same
//! one is taken.

/// Tests of one file of `tests/tests`.
pub(super) struct Group {
    /// The file.
    pub(super) binary: &'static str,
    /// The whole names of the tests.
    pub(super) tests: &'static [&'static str],
}

/// Run on every kernel.
pub(super) const SUBSET: &[Group] = &[
    // The verifier accepts all programs, and maps have their types: each kernel has another
    // verifier.
    Group {
        binary: "verifier",
        tests: &[
            "the_kernel_accepts_every_program",
            "the_maps_have_the_names_and_types_of_the_library",
        ],
    },
    // What the kernel programs see, and how they are attached: XDP in the driver, generic XDP, tc
    // by TCX or, before 6.6, by clsact. `ending::a_signal_ends_it_and_nothing_is_left` belongs here:
    // on 6.1 a program stays loaded after the end, and why is not known yet.
    Group {
        binary: "watch",
        tests: &[
            "interfaces::an_interface_that_goes_is_told_and_the_others_are_watched_on",
            "interfaces::somebody_elses_xdp_program_stays_and_adverts_are_seen_by_tc",
        ],
    },
    // Probes are sent back by XDP and by tc, and the kernel's timer tells a silence.
    Group {
        binary: "probe",
        tests: &[
            "bounce::tc_answers",
            "bounce::xdp_answers",
            "silence::silence_is_told_by_the_timer",
        ],
    },
    // Each release's keepalived, looked after: it starts, resigns, is killed, and survives its
    // agent.
    Group {
        binary: "manage",
        tests: &[
            "failover::a02_a_router_that_is_deleted_resigns_and_is_followed_within_a_second",
            "failover::a10_a_killed_keepalived_is_noticed_cleared_after_and_started_again",
            "restart::a09_a_killed_agent_leaves_no_orphan_and_the_next_one_catches_up",
        ],
    },
    // Each release's keepalived, taken over from and made to take over: by an advert of interval
    // 0, and of version 2 by one of priority 0.
    Group {
        binary: "takeover",
        tests: &[
            "slow::a_power_cut_is_over_before_keepalived_would_notice",
            "slow::one_of_version_2_is_over_as_soon",
        ],
    },
];

/// How many tests these are.
pub(super) fn size(groups: &[Group]) -> u64 {
    groups.iter().map(|group| group.tests.len() as u64).sum()
}

/// Tests of the subset at a pace that suits it, which are not run on the machine itself: that has
/// quicker ones of the same things.
pub(crate) fn only_there() -> impl Iterator<Item = &'static str> {
    let names = SUBSET.iter().flat_map(|group| group.tests);
    names.copied().filter(|name| name.starts_with("slow::"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn what_is_run_there_alone_is_run_there() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests/takeover/slow.rs");
        let written = fs::read_to_string(file).unwrap().matches("#[test]").count();
        let run = only_there().count();
        assert!(run > 0);
        assert_eq!(run, written);
    }
}
