//! Payments: charges on the account of the tenant for whom a module runs.
//!
//! `Payments` is the state that all calls share. `PaymentsView` is what one call sees of it: the
//! tenant comes from the platform, so that no module can name another's account. Accounts live in
//! memory; a real program would keep them in its database or at its payment provider.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hostel::wasmtime::component::{HasData, Linker};
use hostel::{CallState, Capability, TenantId, wasmtime};

use self::bindings::acme::payments::payments::{self, ChargeError, Host, Receipt};

/// One charge; more is more likely a mistake than an order.
const AMOUNT_MAX_CENTS: u64 = 1_000_000;
/// Fits an order's number or a UUID.
const REFERENCE_MAX_BYTES: u32 = 64;

#[allow(missing_docs, clippy::all, reason = "generated; the documentation is in wit/")]
mod bindings {
    // Functions that wait, such as for a payment provider, want `imports: { default: async }`.
    hostel::wasmtime::component::bindgen!({
        path: "wit",
        world: "acme:payments/imports",
        wasmtime_crate: hostel::wasmtime,
    });
}

/// Every tenant's account.
#[derive(Default)]
pub struct Payments {
    accounts: Mutex<HashMap<TenantId, Account>>,
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
        })
    }
}

/// What one call may do with payments.
struct PaymentsView<'a> {
    payments: &'a Payments,
    tenant: TenantId,
}

struct PaymentsData;

impl HasData for PaymentsData {
    type Data<'a> = PaymentsView<'a>;
}

impl Host for PaymentsView<'_> {
    fn charge(&mut self, amount_cents: u64, reference: String) -> Result<Receipt, ChargeError> {
        if !(1..=AMOUNT_MAX_CENTS).contains(&amount_cents) {
            return Err(ChargeError::Amount(AMOUNT_MAX_CENTS));
        }
        if !(1..=REFERENCE_MAX_BYTES as usize).contains(&reference.len()) {
            return Err(ChargeError::Reference(REFERENCE_MAX_BYTES));
        }
        self.payments.with_account(self.tenant, |account| {
            let total_cents = account.total_cents.checked_add(amount_cents);
            let total_cents = total_cents.ok_or(ChargeError::AccountFull)?;
            *account = Account { charges: account.charges + 1, total_cents };
            Ok(Receipt { number: account.charges, reference, amount_cents })
        })
    }

    fn total(&mut self) -> u64 {
        self.payments.with_account(self.tenant, |account| account.total_cents)
    }
}
