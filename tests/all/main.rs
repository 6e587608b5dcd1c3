//! The whole platform, through its front door.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

mod arrows;
mod browser;
mod cli;
mod cli_tenants;
mod crash;
mod crash_tenants;
mod dev;
mod hostile_answers;
mod hostile_boundary;
mod hostile_clients;
mod hostile_clients_http2;
mod hostile_clients_many;
mod hostile_clients_requests;
mod hostile_memory;
mod hostile_modules;
mod hostile_sqlite;
mod hostile_time;
mod http;
mod http_bodies;
mod isolation;
mod isolation_migrations;
mod lookups;
mod metrics;
mod migrations;
mod multipart;
mod new;
mod openapi;
mod postgres;
mod principals;
mod reload;
mod runtime;
mod runtime_limits;
mod sql;
mod sql_streams;
mod sql_transactions;
mod sqlite_refused;
mod tenants;
mod tenants_api;
mod testing;
mod tools;
