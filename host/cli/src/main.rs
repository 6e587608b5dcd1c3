//! The `hostel` command. One file per command in `commands/`; what they share is here.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command speaks to people and scripts"
)]

mod cargo_module;
mod commands;
mod options;
mod running;
mod sources;
mod test_host;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A backend platform for many tenants in one binary.
#[derive(Parser)]
#[command(name = "hostel", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve for development: everything is allowed to everybody, logs are readable, and modules
    /// are built and served again when their sources change.
    Dev(commands::serve::DevArguments),
    /// Serve.
    Serve(commands::serve::Arguments),
    /// Begin a module, or a program with a platform in it.
    #[command(subcommand)]
    New(commands::new::Command),
    /// Build a module's crate into one .wasm file.
    Build(commands::build::Arguments),
    /// Build a module's crate and run its tests, in a host that serves the module.
    Test(commands::test::Arguments),
    /// Serve the tests of a module's crate until standard input ends.
    #[command(hide = true)]
    TestHost(commands::test::Tested),
    /// Bring a module's crate up to this version's SDK.
    #[command(subcommand)]
    Sdk(commands::sdk::Command),
    /// Look at modules.
    #[command(subcommand)]
    Module(commands::module::Command),
    /// Write the description of a tenant's API (OpenAPI 3.1), or compare two.
    Openapi(commands::openapi::Arguments),
    /// Show keys and tokens.
    #[command(subcommand)]
    Key(commands::key::Command),
    /// Make, change and list tenants, and show what they used.
    #[command(subcommand)]
    Tenant(commands::tenant::Command),
    /// Load, show and remove tables that all tenants share.
    #[command(subcommand)]
    Lookup(commands::lookup::Command),
    /// Bring tenants' tables forward and back, and show how far they are.
    #[command(subcommand)]
    Migrate(commands::migrate::Command),
    /// Fill a tenant's tables with rows to try things with, which modules make.
    Seed(commands::seed::Arguments),
    /// Prepare a PostgreSQL database.
    #[command(subcommand)]
    Db(commands::db::Command),
    /// Check and show the configuration.
    #[command(subcommand)]
    Config(commands::config::Command),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let develops = matches!(arguments.command, Command::Dev(_));
    let done = runtime.block_on(async {
        let done = match arguments.command {
            Command::Test(arguments) => return commands::test::run(arguments).await,
            Command::Openapi(arguments) => return commands::openapi::run(arguments).await,
            Command::TestHost(tested) => return commands::test::serve(tested).await,
            Command::Dev(arguments) => commands::serve::develop(arguments).await,
            Command::Serve(arguments) => commands::serve::serve(arguments).await,
            Command::Build(arguments) => commands::build::run(&arguments),
            Command::New(command) => commands::new::run(command),
            Command::Sdk(command) => commands::sdk::run(command),
            Command::Module(command) => commands::module::run(command).await,
            Command::Tenant(command) => commands::tenant::run(command).await,
            Command::Lookup(command) => commands::lookup::run(command).await,
            Command::Migrate(command) => commands::migrate::run(command).await,
            Command::Seed(arguments) => commands::seed::run(arguments).await,
            Command::Db(command) => commands::db::run(command).await,
            Command::Key(command) => commands::key::run(command),
            Command::Config(command) => commands::config::run(command),
        };
        done.map(|()| ExitCode::SUCCESS)
    });
    if develops {
        // A build that runs for nobody any more is not waited for.
        runtime.shutdown_background();
    }
    done.unwrap_or_else(|error| fail(&error))
}

/// One line for the cause, one for what can be done about it.
fn fail(error: &anyhow::Error) -> ExitCode {
    let told = error.to_string();
    eprintln!("error: {told}");
    // What only adds a file's name before a message holds that message already.
    let causes = error.chain().skip(1).map(ToString::to_string);
    for cause in causes.filter(|cause| !told.contains(cause)) {
        eprintln!("  caused by: {cause}");
    }
    if let Some(hint) = error.downcast_ref::<hostel::Error>().and_then(hostel::Error::hint_text) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}
