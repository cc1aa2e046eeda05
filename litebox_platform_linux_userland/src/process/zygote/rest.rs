//! A process whose guest has ended rests until another program comes: it costs the host no new process, and it knows
//! the kernel's pages already.

use core::sync::atomic::Ordering;

use super::{ZYGOTES, Zygote};
use crate::host::call::{host_call, nr};
use crate::host::system::FATAL;
use crate::host::thread_block::{ThreadBlock, current};
use crate::host::usage::Before;
use crate::memory::layout::LAYOUT;
use crate::process::table;
use crate::thread::host_process::HostProcess;
use crate::thread::host_thread::Founding;
use crate::thread::program_end::PROGRAM_END;
use crate::thread::stack;
use crate::thread::timers::ALARMS;

/// How many rest.
const MOST: usize = 8;
/// The most memory one may ever have had resident, in KiB: the next guest would be told of it as its own
/// (getrusage(2)).
const LIGHT: u64 = 16 << 10;

/// The calling process has no guest any more, and this is its only thread that uses what the kernel shares: it becomes
/// a zygote, if one may be wanted and there is room. Returns if not.
pub(crate) fn rest(home: &HostProcess) {
    let Some(block) = current() else { return };
    if !may_rest(home, block) {
        return;
    }
    // What is built for the next guest lies at the top of the stack, where the calling functions are.
    // SAFETY: the guest has ended: nobody comes back to them.
    unsafe { stack::go_down(block.slot, start) }
}

fn may_rest(home: &HostProcess, block: &ThreadBlock) -> bool {
    let ends = FATAL.load(Ordering::Acquire) || PROGRAM_END.is_announced();
    // The host ends a process with its first thread for some purposes, and an alarm would go off for the next guest.
    ZYGOTES.wanted.load(Ordering::Relaxed)
        && !ZYGOTES.cpu_limited
        && block.first
        && !ends
        && ZYGOTES.idle.lock().len() < MOST
        && !ALARMS.lock().contains_key(&home.number)
        && Before::of_process().usage.max_resident <= LIGHT
}

/// Gives the guest's memory back and sleeps.
extern "C" fn start() -> ! {
    let Some(block) = current() else { table::exit(None) };
    let Some(process) = table::find(block.process) else { table::exit(None) };
    let (start, end) = LAYOUT.user;
    // SAFETY: guest memory, of which nobody in this process has any more use.
    if unsafe { host_call!(nr::MUNMAP, start, end - start) }.is_err() {
        process.end();
    }
    process.patches.all_unmapped();
    let zygote = Zygote::new(process);
    let idle = zygote.clone();
    ZYGOTES.idle.lock().push(idle);
    zygote.serve(Founding::again(block))
}
