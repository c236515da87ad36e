//! The directory where routers are declared, brought about as it says.

use std::collections::BTreeSet;
use std::path::Path;

use tracing::{error, info};

use crate::config::{self, Router, RouterId};
use crate::engine::Input;

use super::daemon::Daemon;

impl Daemon {
    /// Looks at all router files: takes what they declare, lets go of routers whose
    /// files are gone. A file that declares nothing leaves its router as it is. What a
    /// file names is looked at anew if the file has changed, or if all are `forced`.
    pub(super) fn read_declarations(&mut self, forced: bool) {
        if self.is_tearing_down {
            return;
        }
        let declared = match config::directory::read(&self.declarations) {
            Ok(declared) => declared,
            Err(error) => {
                self.tell_problems(vec![format!("{error:#}")]);
                return;
            }
        };
        let mut problems: Vec<String> = declared.problems.iter().map(ToString::to_string).collect();
        // A file that is wrong is there: its router stays as it is.
        let wrong = declared
            .problems
            .iter()
            .filter_map(|problem| Path::new(&problem.origin).file_stem()?.to_str());
        let right = declared
            .routers
            .iter()
            .map(|(_, router)| router.id.as_str());
        let with_file: BTreeSet<String> = wrong.chain(right).map(str::to_owned).collect();
        let gone: Vec<RouterId> = self
            .members
            .keys()
            .filter(|id| !with_file.contains(id.as_str()) && !self.is_registered(id))
            .cloned()
            .collect();
        for id in gone {
            if self
                .members
                .get(&id)
                .is_some_and(|it| !it.engine.is_deleted())
            {
                info!(router = %id, "its file is gone");
                self.input(&id, Input::Delete);
            }
        }
        for (name, router) in self.without_conflicts(declared.routers, &mut problems) {
            let declared = if forced {
                self.declare_anew(router)
            } else {
                self.declare(router)
            };
            if let Err(error) = declared {
                problems.push(format!("{name}: {error:#}"));
            }
        }
        // Once: what goes from then on is seen going.
        if !std::mem::replace(&mut self.remembered_taken_up, true) {
            self.take_up_remembered(&with_file, &mut problems);
        }
        self.tell_problems(problems);
    }

    /// Of routers that cannot both be, those that are looked after, or were by an agent
    /// before this one, stay; of new ones, the first.
    fn without_conflicts(
        &self,
        routers: Vec<(String, Router)>,
        problems: &mut Vec<String>,
    ) -> Vec<(String, Router)> {
        let (mut running, new): (Vec<_>, Vec<_>) = routers
            .into_iter()
            .partition(|(_, router)| self.is_known(&router.id));
        running.extend(new);
        let all: Vec<(&str, &Router)> = running
            .iter()
            .map(|(name, router)| (name.as_str(), router))
            .collect();
        let found = config::conflicts::conflicts(&all);
        let refused: Vec<String> = found.iter().map(|it| it.origin.clone()).collect();
        problems.extend(found.iter().map(ToString::to_string));
        running.retain(|(name, _)| !refused.contains(name));
        running
    }

    fn tell_problems(&mut self, problems: Vec<String>) {
        for problem in problems.iter().filter(|it| !self.problems.contains(it)) {
            error!("{problem}");
        }
        self.problems = problems;
    }
}
