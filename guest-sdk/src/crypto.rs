//! Random bytes from the host, and ids made of them.

use uuid::Uuid;

use crate::bindings::hostel::crypto::crypto;
use crate::{Error, ErrorKind, Timestamp, clock};

/// Random bytes fit for keys and tokens.
///
/// ```no_run
/// let token = hostel_sdk::crypto::random_bytes(32)?;
/// # Ok::<(), hostel_sdk::Error>(())
/// ```
///
/// # Errors
/// `invalid` for more than 4096 bytes.
pub fn random_bytes(length: u32) -> Result<Vec<u8>, Error> {
    crypto::random_bytes(length)
}

/// A new id that sorts by the time at which it was made (UUID version 7). [`Id`](crate::Id) says
/// what it is the id of, too.
///
/// ```no_run
/// let id = hostel_sdk::crypto::uuid_v7()?;
/// # Ok::<(), hostel_sdk::Error>(())
/// ```
///
/// # Errors
/// When the host gives no random bytes.
pub fn uuid_v7() -> Result<Uuid, Error> {
    let random = random_bytes(10)?.try_into().map_err(|_| Error {
        kind: ErrorKind::Other,
        message: "the host gave another number of random bytes than was asked for".to_owned(),
        subject: None,
    })?;
    Ok(uuid_from(clock::now(), random))
}

/// The first twelve random bits give way to the part of the millisecond, so that ids of the same
/// millisecond are in order too (RFC 9562, section 6.2, method 3).
fn uuid_from(now: Timestamp, mut random: [u8; 10]) -> Uuid {
    let micros = u64::try_from(now.as_micros()).unwrap_or_default();
    let fraction = (micros % 1000 * 4096 / 1000) as u16;
    random[..2].copy_from_slice(&fraction.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(micros / 1000, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_down_to_the_microsecond() {
        let at = |micros, noise| uuid_from(Timestamp::from_micros(micros), [noise; 10]);
        let id = at(1_700_000_000_000_999, 0xff);
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert!(at(1_700_000_000_000_998, 0xff) < id);
        assert!(id < at(1_700_000_000_001_000, 0));
        assert_ne!(at(5, 1), at(5, 2));
    }
}
