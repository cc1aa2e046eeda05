//! `--cpus` without a control group: on which processors a sandbox runs. It cannot choose others itself: the filter has
//! no sched_setaffinity(2).

use rustix::process::getpid;
use rustix::thread::{CpuSet, sched_getaffinity};

/// The processors for so many thousandths of one; `None`: all that there are, which are no more. An error where that
/// cannot be kept.
pub fn choose(thousandths: u64) -> Result<Option<CpuSet>, String> {
    let Ok(own) = sched_getaffinity(None) else {
        return Err("--cpus: this host does not tell which processors there are".into());
    };
    let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| own.is_set(*cpu)).collect();
    if thousandths >= 1000 * all.len() as u64 {
        return Ok(None);
    }
    if thousandths % 1000 != 0 {
        let wanted = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        let wanted = wanted.trim_end_matches('0');
        return Err(format!(
            "--cpus {wanted}: parts of a processor need a control group, which this host lets nobody make here; give a whole number"
        ));
    }
    // Sandboxes are spread over the machine.
    let first = usize::try_from(getpid().as_raw_nonzero().get()).unwrap_or(0) % all.len().max(1);
    let mut chosen = CpuSet::new();
    for cpu in all.iter().cycle().skip(first).take(usize::try_from(thousandths / 1000).unwrap_or(usize::MAX)) {
        chosen.set(*cpu);
    }
    Ok(Some(chosen))
}

#[cfg(test)]
mod tests {
    use rustix::thread::sched_getaffinity;

    use super::choose;

    #[test]
    fn whole_processors_are_chosen() {
        let all = sched_getaffinity(None).map_or(0, |set| u64::from(set.count()));
        assert_eq!(choose(all * 1000), Ok(None));
        if all > 1 {
            let one = choose(1000).ok().flatten().map(|set| set.count());
            assert_eq!(one, Some(1));
            assert!(choose(1500).is_err());
        }
    }
}
