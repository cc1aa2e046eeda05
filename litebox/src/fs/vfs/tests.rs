//! Paths, mounts and permissions over file systems in memory.
