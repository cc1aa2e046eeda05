//! Memory: the map of a guest's address space and the page arena.
