//! The whole platform, through its front door.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

mod arrows;
mod cli;
mod crash;
mod http;
mod http_bodies;
mod metrics;
mod migrations;
mod runtime;
mod runtime_limits;
mod sql;
mod sql_refused;
