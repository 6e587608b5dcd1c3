//! The shop: takes orders, and charges them through Acme's own capability `payments`.
//!
//! A module is built against Hostel's world; a second `generate!` adds the imports that only this
//! platform has. The linker merges both into one component.

use hostel_sdk::prelude::*;

use self::bindings::acme::payments::payments::{self, ChargeError};

#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from wit/")]
mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "acme:payments/imports" });
}

hostel_sdk::module!(shop);

fn shop() -> Module {
    Module::new("shop", env!("CARGO_PKG_VERSION"))
        .about("Takes orders and charges them")
        .migrations(migrations!("0001_orders"))
        .route(post("/orders", order).about("Order and pay").status(201).public())
        .route(
            post("/orders/later", order_later)
                .about("Order, and pay once the order is kept")
                .status(202)
                .public(),
        )
        .route(post("/fees", fee).about("Pay later, for no order").status(202).public())
        .route(get("/total", total).about("What all orders cost together").public())
}

#[derive(Deserialize, JsonSchema)]
struct Order {
    amount_cents: u32,
    reference: String,
}

/// A charge that was made.
#[derive(Serialize, JsonSchema)]
struct Receipt {
    number: u64,
    reference: String,
    amount_cents: u64,
}

#[derive(Serialize, JsonSchema)]
struct Total {
    total_cents: u64,
}

fn order(Json(order): Json<Order>) -> Result<Json<Receipt>, Problem> {
    let receipt = payments::charge(order.amount_cents.into(), &order.reference).map_err(explain)?;
    Ok(Json(Receipt {
        number: receipt.number,
        reference: receipt.reference,
        amount_cents: receipt.amount_cents,
    }))
}

/// An order and its charge are kept together, or neither: a reference that is taken undoes both.
fn order_later(Json(order): Json<Order>, db: Db) -> Result<(), Problem> {
    db.transaction(|tx| {
        payments::charge_later(order.amount_cents.into(), &order.reference).map_err(explain)?;
        tx.execute(
            "INSERT INTO shop_orders (reference, amount_cents) VALUES ($1, $2)",
            params![order.reference, order.amount_cents],
        )?;
        Ok(())
    })
}

fn fee(Json(fee): Json<Order>) -> Result<(), Problem> {
    payments::charge_later(fee.amount_cents.into(), &fee.reference).map_err(explain)
}

fn total() -> Json<Total> {
    Json(Total { total_cents: payments::total() })
}

fn explain(error: ChargeError) -> Problem {
    match error {
        ChargeError::Amount(max) => {
            Problem::invalid().field("/amount_cents", format!("must be from 1 to {max}"))
        }
        ChargeError::Reference(max) => {
            Problem::invalid().field("/reference", format!("must have 1 to {max} bytes"))
        }
        ChargeError::AccountFull => {
            Problem::conflict("account-full", "this account takes no more charges")
        }
        ChargeError::NotKept(why) => Problem::new(503, "not-kept", why),
    }
}
