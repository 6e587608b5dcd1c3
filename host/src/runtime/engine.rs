//! The one engine: how guests are compiled and where they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::component::Linker;
use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::GrantsConfig;
use crate::bounded::Bounded;
use crate::call::Trust;
use crate::error::{Error, Result};
use crate::limits::LimitsConfig;
use crate::processor::{LIGHT_MAX, SLICE};
use crate::wiring::{self, CallState, Services};

/// How often running guests are looked at while none of them computes for long; then it is every
/// [`SLICE`].
const TICK: Duration = LIGHT_MAX;
/// Functions that a guest may refer to indirectly; the largest Rust guests use a few thousand.
pub(super) const TABLE_ELEMENTS_MAX: usize = 20_000;
const MEMORIES_PER_INSTANCE_MAX: u32 = 1;
const TABLES_PER_INSTANCE_MAX: u32 = 4;
const CORE_INSTANCES_MAX: u32 = 10;
/// Deep enough for recursive parsers; a guest's stack overflow is a trap.
const WASM_STACK_BYTES: usize = 512 * 1024;
/// The guest's stack and, on top of it, the host's functions that it calls.
const FIBER_STACK_BYTES: usize = 2 * 1024 * 1024;

/// `[runtime]`: engine and instances.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Instances that can exist at once. Each reserves 4 GiB of addresses, not of memory.
    pub pool_slots: Bounded<1, 20_000>,
    /// Calls at once.
    pub calls_max: Bounded<1, 20_000>,
    /// Instances that are kept for reuse, over all modules and tenants.
    pub idle_instances_max: Bounded<0, 20_000>,
    /// Calls after which a reused instance is replaced.
    pub reused_calls_max: Bounded<1, 1_000_000_000>,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            pool_slots: Bounded::of::<1_000>(),
            calls_max: Bounded::of::<700>(),
            idle_instances_max: Bounded::of::<200>(),
            reused_calls_max: Bounded::of::<10_000>(),
        }
    }
}

impl RuntimeConfig {
    pub(crate) fn check(&self) -> Result<()> {
        let (slots, calls, idle) =
            (self.pool_slots.get(), self.calls_max.get(), self.idle_instances_max.get());
        if calls + idle > slots {
            return Err(Error::invalid(format!(
                "`runtime.calls_max` and `runtime.idle_instances_max` are {calls} and {idle}: together at most `runtime.pool_slots`, which is {slots}"
            )));
        }
        Ok(())
    }
}

/// The engine, with a linker for each level of trust.
pub(crate) struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    /// Whoever runs long calls counts them here.
    pub(super) long_calls: Arc<AtomicUsize>,
    system: Linker<CallState>,
    operator: Linker<CallState>,
}

impl Engine {
    pub(super) fn new(
        config: &RuntimeConfig,
        limits: &LimitsConfig,
        grants: &GrantsConfig,
        services: &Services,
    ) -> Result<Self> {
        let wasmtime =
            wasmtime::Engine::new(&wasmtime_config(config, limits)).map_err(|error| {
                Error::internal(format!("the WebAssembly engine cannot start: {error:#}"))
                    .hint("with little address space, lower `runtime.pool_slots`")
            })?;
        let linker = |trust| {
            let mut linker = Linker::new(&wasmtime);
            wiring::link(&mut linker, &services.extensions, |name| grants.allows(trust, name))
                .map_err(|error| {
                    Error::invalid(format!("a capability cannot be linked: {error:#}"))
                })?;
            Ok::<_, Error>(linker)
        };
        let (system, operator) = (linker(Trust::System)?, linker(Trust::Operator)?);
        let long_calls = Arc::default();
        tick(&wasmtime, Arc::clone(&long_calls))?;
        Ok(Self { wasmtime, long_calls, system, operator })
    }

    pub(super) fn linker(&self, trust: Trust) -> &Linker<CallState> {
        match trust {
            Trust::System => &self.system,
            Trust::Operator => &self.operator,
        }
    }
}

fn wasmtime_config(config: &RuntimeConfig, limits: &LimitsConfig) -> wasmtime::Config {
    let slots = config.pool_slots.as_u32();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES_PER_INSTANCE_MAX))
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_PER_INSTANCE_MAX)
        .max_tables_per_component(TABLES_PER_INSTANCE_MAX)
        .max_memory_size(limits.memory_max_bytes.as_usize())
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(2 * 1024 * 1024)
        .table_keep_resident(64 * 1024)
        .max_unused_warm_slots(slots);
    if may_scan_pagemap() {
        pool.pagemap_scan(Enabled::Yes);
    } else {
        pool.decommit_batch_size(32);
    }
    let mut wasm = wasmtime::Config::new();
    wasm.allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .concurrency_support(false)
        .memory_init_cow(true)
        .wasm_memory64(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        // Guests cannot read a native stack that they have not written: compiled code has no such
        // read. Zeroing costs a madvise and the page faults after it, 10 us of each fresh call.
        .async_stack_zeroing(false);
    wasm
}

/// Scanning the page map halves the CPU of a fresh call. But in wasmtime 48.0 a page that was
/// swapped out may then reach the slot's next user (wasmtime PR 14357): only where nothing is ever
/// swapped.
fn may_scan_pagemap() -> bool {
    let swaps = std::fs::read_to_string("/proc/swaps");
    let no_swap = swaps.is_ok_and(|table| table.lines().count() <= 1);
    no_swap && PoolingAllocationConfig::is_pagemap_scan_available()
}

/// Lets running guests be looked at, as long as the engine lives.
fn tick(engine: &wasmtime::Engine, long_calls: Arc<AtomicUsize>) -> Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("hostel-ticks".to_owned()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            let quiet = long_calls.load(Ordering::Relaxed) == 0;
            std::thread::sleep(if quiet { TICK } else { SLICE });
        }
    })?;
    Ok(())
}
