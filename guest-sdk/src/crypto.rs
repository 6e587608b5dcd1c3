//! Random bytes from the host, and ids made of them.

use std::cell::RefCell;

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
    let random = SUPPLY.with_borrow_mut(Supply::take)?;
    Ok(uuid_from(clock::now(), random))
}

/// Random bytes of one id.
type Noise = [u8; 8];

thread_local! {
    static SUPPLY: RefCell<Supply> = const { RefCell::new(Supply::NONE) };
}

/// Random bytes for ids to come: who makes one id asks the host for no more than that, and who makes
/// many asks it seldom.
struct Supply {
    rest: Vec<u8>,
    /// How many bytes the host is asked for next.
    next: u32,
}

impl Supply {
    const NONE: Self = Self { rest: Vec::new(), next: size_of::<Noise>() as u32 };
    /// As many as the host gives at once.
    const MAX: u32 = 4096;

    fn take(&mut self) -> Result<Noise, Error> {
        if self.rest.is_empty() {
            self.rest = random_bytes(self.next)?;
            self.next = (2 * self.next).min(Self::MAX);
        }
        let noise = self.rest.last_chunk().copied().ok_or_else(|| Error {
            kind: ErrorKind::Other,
            message: "the host gave another number of random bytes than was asked for".to_owned(),
            subject: None,
        })?;
        self.rest.truncate(self.rest.len() - size_of::<Noise>());
        Ok(noise)
    }
}

/// Of the random bits, twelve give way to the part of the millisecond, so that ids of the same
/// millisecond are in order too (RFC 9562, section 6.2, method 3).
fn uuid_from(now: Timestamp, noise: Noise) -> Uuid {
    let micros = u64::try_from(now.as_micros()).unwrap_or_default();
    let fraction = (micros % 1000 * 4096 / 1000) as u16;
    let mut bits = [0; 10];
    bits[..2].copy_from_slice(&fraction.to_be_bytes());
    bits[2..].copy_from_slice(&noise);
    uuid::Builder::from_unix_timestamp_millis(micros / 1000, &bits).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_at_once_is_used_up_byte_by_byte() {
        let mut supply = Supply { rest: (0..24).collect(), next: 8 };
        let taken = [(); 3].map(|()| supply.take().unwrap());
        let all: std::collections::BTreeSet<u8> = taken.concat().into_iter().collect();
        assert!(all.into_iter().eq(0..24), "{taken:?}");
        assert!(supply.rest.is_empty());
    }

    #[test]
    fn ids_sort_by_time_down_to_the_microsecond() {
        let at = |micros, noise| uuid_from(Timestamp::from_micros(micros), [noise; 8]);
        let id = at(1_700_000_000_000_999, 0xff);
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert!(at(1_700_000_000_000_998, 0xff) < id);
        assert!(id < at(1_700_000_000_001_000, 0));
        assert_ne!(at(5, 1), at(5, 2));
    }
}
