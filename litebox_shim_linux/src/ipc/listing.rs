//! What /proc/sysvipc says of System V objects (proc(5)), in the widths that ipcs(1) and others read.

use core::fmt::{Result, Write};

use super::{Object, Perm, SystemV};

/// The columns that all kinds begin with.
fn head<T>(out: &mut impl Write, object: &Object<T>) -> core::result::Result<Perm, core::fmt::Error> {
    let perm = object.perm();
    write!(out, "{:>10} {:>10}  {:>4o}", perm.key, object.id, perm.mode)?;
    Ok(perm)
}

/// Owner and creator.
fn people(out: &mut impl Write, perm: &Perm) -> Result {
    write!(out, " {:>5} {:>5} {:>5} {:>5}", perm.uid, perm.gid, perm.creator.0, perm.creator.1)
}

impl SystemV {
    /// Message queues.
    pub(crate) fn list_queues(&self, out: &mut impl Write) -> Result {
        for object in self.queues.all() {
            let perm = head(out, &object)?;
            let figures = object.value.figures();
            let [sender, receiver] = figures.people;
            write!(out, "  {:>10} {:>10} {sender:>5} {receiver:>5}", figures.bytes, figures.messages)?;
            people(out, &perm)?;
            let [sent, received, changed] = figures.times;
            writeln!(out, " {sent:>10} {received:>10} {changed:>10}")?;
        }
        Ok(())
    }

    /// Semaphore sets.
    pub(crate) fn list_sets(&self, out: &mut impl Write) -> Result {
        for object in self.sets.all() {
            let perm = head(out, &object)?;
            write!(out, " {:>10}", object.value.count())?;
            people(out, &perm)?;
            let [operated, changed] = object.value.times();
            writeln!(out, " {operated:>10} {changed:>10}")?;
        }
        Ok(())
    }

    /// Shared memory segments.
    pub(crate) fn list_segments(&self, out: &mut impl Write) -> Result {
        for object in self.segments.all() {
            let perm = head(out, &object)?;
            let figures = object.value.figures();
            let [creator, last] = figures.people;
            write!(out, " {:>21} {creator:>5} {last:>5}  {:>5}", figures.bytes, figures.attached)?;
            people(out, &perm)?;
            let [attached, detached, changed] = figures.times;
            write!(out, " {attached:>10} {detached:>10} {changed:>10}")?;
            writeln!(out, " {:>21} {:>21}", figures.resident, 0)?;
        }
        Ok(())
    }
}
