//! Clock: the time of day, as `crate::clock` tells it.

use wasmtime::component::{HasData, Linker};

use crate::bindings::hostel::clock::clock::{self, Host};
use crate::clock::Clock;
use crate::error::Result;

/// What one call sees of the clock.
pub struct ClockView<'a> {
    pub(crate) clock: &'a Clock,
}

struct ClockData;

impl HasData for ClockData {
    type Data<'a> = ClockView<'a>;
}

/// Links `hostel:clock`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> ClockView<'_>,
) -> Result<(), wasmtime::Error> {
    clock::add_to_linker::<T, ClockData>(linker, view)
}

impl Host for ClockView<'_> {
    fn now(&mut self) -> wasmtime::Result<i64> {
        Ok(self.clock.now_micros())
    }
}
