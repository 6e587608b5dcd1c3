//! The guest that the benchmarks call.
