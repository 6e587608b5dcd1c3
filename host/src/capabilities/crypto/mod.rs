//! Crypto: what needs the host's random numbers. Keys never cross to a guest.

use wasmtime::component::{HasData, Linker};

use crate::bindings::hostel::crypto::crypto::{self, Host};
use crate::error::{Error, Result};

/// Enough for any key or token; more is a stream that should be drawn from a key.
const RANDOM_BYTES_MAX: u32 = 4096;

/// What one call may ask of crypto.
pub struct CryptoView;

struct CryptoData;

impl HasData for CryptoData {
    type Data<'a> = CryptoView;
}

/// Links `hostel:crypto`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> CryptoView,
) -> Result<(), wasmtime::Error> {
    crypto::add_to_linker::<T, CryptoData>(linker, view)
}

impl Host for CryptoView {
    fn random_bytes(&mut self, length: u32) -> Result<Vec<u8>> {
        if length > RANDOM_BYTES_MAX {
            return Err(Error::invalid(format!(
                "{length} random bytes were asked for: at most {RANDOM_BYTES_MAX} at once"
            )));
        }
        let mut bytes = vec![0; length as usize];
        getrandom::fill(&mut bytes).map_err(|error| {
            Error::internal("the host has no random bytes to give").because(error)
        })?;
        Ok(bytes)
    }
}
