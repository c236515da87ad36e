//! The directory where routers are declared, brought about as it says.

use std::path::Path;

use tracing::{error, info};

use crate::config::{self, Router, RouterId};
use crate::engine::Input;

use super::daemon::Daemon;

impl Daemon {
    /// Looks at all router files: takes what they declare, lets go of routers whose
    /// files are gone. A file that declares nothing leaves its router as it is.
    pub(super) fn read_declarations(&mut self) {
        let declared = match config::directory::read(&self.declarations) {
            Ok(declared) => declared,
            Err(error) => {
                self.tell_problems(vec![format!("{error:#}")]);
                return;
            }
        };
        let mut problems: Vec<String> = declared.problems.iter().map(ToString::to_string).collect();
        let unreadable: Vec<&str> = declared
            .problems
            .iter()
            .filter_map(|problem| Path::new(&problem.origin).file_stem()?.to_str())
            .collect();
        let gone: Vec<RouterId> = self
            .members
            .keys()
            .filter(|id| {
                let named = |(_, router): &(String, Router)| router.id == **id;
                !unreadable.contains(&id.as_str()) && !declared.routers.iter().any(named)
            })
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
            if let Err(error) = self.declare(router) {
                problems.push(format!("{name}: {error:#}"));
            }
        }
        self.tell_problems(problems);
    }

    /// Of routers that cannot both be, those that run stay; of new ones, the first.
    fn without_conflicts(
        &self,
        routers: Vec<(String, Router)>,
        problems: &mut Vec<String>,
    ) -> Vec<(String, Router)> {
        let (mut running, new): (Vec<_>, Vec<_>) = routers
            .into_iter()
            .partition(|(_, router)| self.members.contains_key(&router.id));
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
