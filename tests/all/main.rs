//! The whole platform, through its front door.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

mod archive;
mod arrows;
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
mod http_client;
mod http_client_attacks;
mod isolation;
mod isolation_migrations;
mod lookups;
mod metrics;
mod migrations;
mod multipart;
mod new;
mod outbox;
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
