//! Hops that are taken one after the other.

use std::time::{Duration, Instant};

use super::report::{Hop, Name, State};
use crate::probe::Fault;

/// Hops that stand one behind the other: after a broken one there is nothing to look at.
#[derive(Debug)]
pub struct Chain {
    mesh: Option<String>,
    edge: Option<String>,
    hops: Vec<Hop>,
}

impl Chain {
    /// A chain of this mesh, over this edge.
    pub fn new(mesh: Option<&str>, edge: Option<&str>) -> Self {
        Self { mesh: mesh.map(str::to_owned), edge: edge.map(str::to_owned), hops: Vec::new() }
    }

    /// Its hops, in order.
    pub fn into_hops(self) -> Vec<Hop> {
        self.hops
    }

    /// Whether one of its hops is broken.
    pub fn is_broken(&self) -> bool {
        self.hops.iter().any(|hop| hop.state == State::Broken)
    }

    /// Notes a hop that began at `since`, and returns what it led to. A remark makes it a warning.
    pub fn note<T>(
        &mut self,
        name: Name,
        since: Instant,
        found: Result<(T, String, Option<String>), Fault>,
    ) -> Option<T> {
        let took = since.elapsed();
        match found {
            Ok((value, detail, remark)) => {
                let state = if remark.is_some() { State::Warning } else { State::Ok };
                self.push(name, state, Some(took), Some(detail), remark);
                Some(value)
            }
            Err(fault) => {
                self.push(name, State::Broken, Some(took), Some(fault.what), Some(fault.fix));
                None
            }
        }
    }

    /// Takes a hop that has no remarks.
    pub async fn hop<T>(
        &mut self,
        name: Name,
        work: impl Future<Output = Result<T, Fault>>,
        detail: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let since = Instant::now();
        let found = work.await.map(|value| {
            let detail = detail(&value);
            (value, detail, None)
        });
        self.note(name, since, found)
    }

    /// Marks those of `names` that were not taken as skipped.
    pub fn skip_rest(&mut self, names: &[Name]) {
        for name in names {
            if !self.hops.iter().any(|hop| hop.hop == *name) {
                self.push(*name, State::Skipped, None, None, None);
            }
        }
    }

    /// A hop that seemed well is broken after all.
    pub fn amend(&mut self, name: Name, fault: Fault) {
        for hop in self.hops.iter_mut().filter(|hop| hop.hop == name) {
            hop.state = State::Broken;
            hop.detail = Some(fault.what.clone());
            hop.fix = Some(fault.fix.clone());
        }
    }

    /// What is broken here does not break the mesh.
    pub fn soften(&mut self) {
        for hop in self.hops.iter_mut().filter(|hop| hop.state == State::Broken) {
            hop.state = State::Warning;
        }
    }

    fn push(
        &mut self,
        hop: Name,
        state: State,
        took: Option<Duration>,
        detail: Option<String>,
        fix: Option<String>,
    ) {
        let took_ms = took.map(|took| (took.as_secs_f64() * 10_000.0).round() / 10.0);
        let (mesh, edge) = (self.mesh.clone(), self.edge.clone());
        self.hops.push(Hop { hop, mesh, edge, state, took_ms, detail, fix });
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Report;
    use super::*;

    fn fault() -> Result<((), String, Option<String>), Fault> {
        Err(Fault::new("it is broken", "mend it"))
    }

    #[test]
    fn the_first_broken_hop_is_named_and_the_rest_of_its_way_is_skipped() {
        let mut first = Chain::new(Some("m"), Some("e"));
        first.note(Name::Dns, Instant::now(), Ok(((), "fine".into(), None)));
        first.note(Name::Connect, Instant::now(), fault());
        first.skip_rest(&Name::OF_EDGE);

        let report = Report::of(vec![Chain::new(None, None), first]);

        assert_eq!(
            report.broken.as_ref().unwrap().sentence(),
            "m: connect is broken: it is broken"
        );
        let states: Vec<_> = report.hops.iter().map(|hop| hop.state).collect();
        assert_eq!(states[..2], [State::Ok, State::Broken]);
        assert!(states[2..].iter().all(|state| *state == State::Skipped));
        assert_eq!(states.len(), Name::OF_EDGE.len());
    }

    #[test]
    fn what_is_softened_is_no_fault_of_the_whole_and_what_is_amended_is() {
        let mut chain = Chain::new(Some("m"), Some("e"));
        chain.note(Name::Connect, Instant::now(), fault());
        chain.note(Name::Clock, Instant::now(), Ok(((), "fine".into(), None)));
        chain.soften();
        assert!(!chain.is_broken());

        chain.amend(Name::Clock, Fault::new("off", "set it"));

        let report = Report::of(vec![chain]);
        assert_eq!(report.broken.unwrap().hop, Name::Clock);
        assert_eq!(report.hops[0].fix.as_deref(), Some("mend it"));
    }
}
