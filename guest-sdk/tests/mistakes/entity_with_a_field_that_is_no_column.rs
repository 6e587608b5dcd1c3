use hostel_sdk::prelude::*;

#[derive(Entity)]
#[entity(table = "visits")]
struct Visit {
    #[entity(key)]
    id: i64,
    address: std::net::IpAddr,
}

fn main() {}
