//! What the later parts of the tests need from elsewhere, got while the first ones compile: downloads
//! and unpacking leave a processor idle, and so do compilers.

use std::thread::{Scope, ScopedJoinHandle};

use anyhow::Result;

use crate::dist::package;
use crate::kernel;
use crate::machine;
use crate::process::step;
use crate::project::Project;
use crate::provision::root;
use crate::test::Part;

/// What is got, until someone needs it.
pub(crate) struct Ahead<'scope>(Option<ScopedJoinHandle<'scope, Result<()>>>);

impl<'scope> Ahead<'scope> {
    /// Begins, if any of the parts needs it.
    pub(crate) fn begin<'env>(
        scope: &'scope Scope<'scope, 'env>,
        project: &'env Project,
        parts: &'env [Part],
    ) -> Self {
        let needed = parts.iter().any(|part| part.needs_lab());
        Self(needed.then(|| scope.spawn(move || provide(project, parts))))
    }

    /// Waits for the end of it. A part provides for itself what is missing then, and fails by it.
    pub(crate) fn end(&mut self) {
        match self.0.take().map(ScopedJoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => step(format!("trying once more: {error:#}")),
            Some(Err(_)) => step("trying once more, after a panic"),
        }
    }
}

/// In the order in which it is needed.
fn provide(project: &Project, parts: &[Part]) -> Result<()> {
    machine::provide_lab()?;
    if parts.contains(&Part::Integration) {
        root::provide(project)?;
    }
    if parts.contains(&Part::Kernels) {
        kernel::provide(project)?;
    }
    if parts.contains(&Part::Integration) {
        package::provide(project)?;
    }
    Ok(())
}
