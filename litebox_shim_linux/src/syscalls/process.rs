//! Processes and threads: clone, exit, ids, prctl, arch_prctl.
