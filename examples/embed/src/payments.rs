//! Payments: charges on the account of the tenant for whom a module runs.
//!
//! `Payments` is the state that all calls share. `PaymentsView` is what one call sees of it: the
//! tenant comes from the platform, so that no module can name another's account. Charges for later
//! wait in the tenant's outbox, with the rows that the module wrote. Accounts live in memory; a real
//! program would keep them in its database or at its payment provider.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hostel::wasmtime::component::{HasData, Linker};
use hostel::{CallOutbox, CallState, Capability, Platform, TenantId, TenantSlug, wasmtime};
use serde::{Deserialize, Serialize};

use self::bindings::acme::payments::payments::{self, ChargeError, Host, Receipt};

/// One charge; more is more likely a mistake than an order.
const AMOUNT_MAX_CENTS: u64 = 1_000_000;
/// Fits an order's number or a UUID.
const REFERENCE_MAX_BYTES: u32 = 64;
/// What the outbox calls charges for later.
const CHARGE: &str = "payments.charge";
/// Charges that are made at once.
const CHARGES_AT_ONCE: u32 = 100;

#[allow(missing_docs, clippy::all, reason = "generated; the documentation is in wit/")]
mod bindings {
    hostel::wasmtime::component::bindgen!({
        path: "wit",
        world: "acme:payments/imports",
        // Those that wait for something.
        imports: { "acme:payments/payments.charge-later": async },
        wasmtime_crate: hostel::wasmtime,
    });
}

/// Every tenant's account. Clones have the same ones.
#[derive(Clone, Default)]
pub struct Payments {
    accounts: Arc<Mutex<HashMap<TenantId, Account>>>,
}

/// A charge that waits in an outbox.
#[derive(Serialize, Deserialize)]
struct Charge {
    amount_cents: u64,
    reference: String,
}

#[derive(Clone, Copy, Default)]
struct Account {
    charges: u64,
    total_cents: u64,
}

impl Payments {
    /// Without any charge.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the charges that wait in the outboxes of these tenants, and says how many. A program
    /// that dies in between makes one again: a payment provider is given its id, and knows it then.
    ///
    /// # Errors
    /// When an outbox cannot be read or written.
    pub async fn charge_waiting(
        &self,
        platform: &Platform,
        tenants: &[TenantSlug],
    ) -> hostel::Result<usize> {
        let mut charged = 0;
        for slug in tenants {
            let tenant = platform.tenants().get(slug).await?;
            let messages = platform.messages(slug, CHARGES_AT_ONCE).await?;
            for message in messages.iter().filter(|message| message.kind == CHARGE) {
                match serde_json::from_slice(&message.body)
                    .map(|charge| self.charge(tenant.id, charge))
                {
                    Ok(Ok(_)) => charged += 1,
                    // A real program would tell the shop.
                    refused => tracing::warn!(%message.id, ?refused, "not charged"),
                }
                platform.remove_messages(slug, &[message.id]).await?;
            }
        }
        Ok(charged)
    }

    fn charge(&self, tenant: TenantId, charge: Charge) -> Result<Receipt, ChargeError> {
        let Charge { amount_cents, reference } = charge;
        self.with_account(tenant, |account| {
            let total_cents = account.total_cents.checked_add(amount_cents);
            let total_cents = total_cents.ok_or(ChargeError::AccountFull)?;
            *account = Account { charges: account.charges + 1, total_cents };
            Ok(Receipt { number: account.charges, reference, amount_cents })
        })
    }

    fn with_account<R>(&self, tenant: TenantId, work: impl FnOnce(&mut Account) -> R) -> R {
        // An account changes in one step, so a panic elsewhere leaves nothing half done.
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        work(accounts.entry(tenant).or_default())
    }
}

impl Capability for Payments {
    fn name(&self) -> &'static str {
        "payments"
    }

    fn package(&self) -> &'static str {
        "acme:payments"
    }

    fn link(&self, linker: &mut Linker<CallState>) -> Result<(), wasmtime::Error> {
        payments::add_to_linker::<CallState, PaymentsData>(linker, |state| PaymentsView {
            payments: state.capability(),
            tenant: state.call().tenant.id,
            outbox: state.outbox(),
        })
    }
}

/// What one call may do with payments.
struct PaymentsView<'a> {
    payments: &'a Payments,
    tenant: TenantId,
    outbox: CallOutbox,
}

struct PaymentsData;

impl HasData for PaymentsData {
    type Data<'a> = PaymentsView<'a>;
}

impl Host for PaymentsView<'_> {
    fn charge(&mut self, amount_cents: u64, reference: String) -> Result<Receipt, ChargeError> {
        self.payments.charge(self.tenant, checked(amount_cents, reference)?)
    }

    async fn charge_later(
        &mut self,
        amount_cents: u64,
        reference: String,
    ) -> Result<(), ChargeError> {
        let charge = checked(amount_cents, reference)?;
        let body = serde_json::to_vec(&charge).map_err(|error| not_kept(&error))?;
        self.outbox.put(CHARGE, None, body).await.map_err(|error| not_kept(&error))?;
        Ok(())
    }

    fn total(&mut self) -> u64 {
        self.payments.with_account(self.tenant, |account| account.total_cents)
    }
}

fn checked(amount_cents: u64, reference: String) -> Result<Charge, ChargeError> {
    if !(1..=AMOUNT_MAX_CENTS).contains(&amount_cents) {
        return Err(ChargeError::Amount(AMOUNT_MAX_CENTS));
    }
    if !(1..=REFERENCE_MAX_BYTES as usize).contains(&reference.len()) {
        return Err(ChargeError::Reference(REFERENCE_MAX_BYTES));
    }
    Ok(Charge { amount_cents, reference })
}

fn not_kept(error: &impl ToString) -> ChargeError {
    ChargeError::NotKept(error.to_string())
}
