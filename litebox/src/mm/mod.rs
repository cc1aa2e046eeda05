//! Memory: the page arena, and the map of a guest's areas.

pub mod arena;
