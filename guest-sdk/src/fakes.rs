//! Made-up values for seeds: people's names, sentences, choices. The same number makes the same ones.
//!
//! A thin layer over the crate [`fake`], which has more kinds of them than are named here. It is
//! there with the feature `fakes`.

use std::ops::Range;
use std::time::Duration;

use fake::faker::lorem::en::{Paragraph, Sentence};
use fake::rand::rngs::StdRng;
use fake::rand::{RngExt as _, SeedableRng as _};
use fake::{Dummy, Fake as _};

use crate::Timestamp;
use crate::seed::Seed;
use crate::text::{Line, Text};
use crate::whole::Whole;

pub use fake;

/// Makes values up, one after the other.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::fakes::Fakes;
/// use hostel_sdk::fakes::fake::faker::{address::en::CityName, name::en::Name};
///
/// let mut fakes = Fakes::of(7);
/// let (name, city): (String, String) = (fakes.make(&Name()), fakes.make(&CityName()));
/// let title: Line<80> = fakes.line(2..6);
/// let stars: Whole<1, 5> = fakes.whole();
/// let kind = *fakes.one_of(&["green", "black"]);
/// let (pieces, is_new) = (fakes.number(0..500), fakes.chance(0.1));
/// # let _ = (pieces, is_new);
/// # assert!(stars.get() > 0 && title.len() <= 80 && !name.is_empty());
/// # let mut again = Fakes::of(7);
/// # assert_eq!((again.make::<String, _>(&Name()), again.make::<String, _>(&CityName())), (name, city));
/// # assert_eq!((again.line::<80>(2..6), again.whole()), (title, stars));
/// # assert_eq!(*again.one_of(&["green", "black"]), kind);
/// ```
#[derive(Debug)]
pub struct Fakes(StdRng);

impl Fakes {
    /// Those that follow of a number.
    #[must_use]
    pub fn of(number: u64) -> Self {
        Self(StdRng::seed_from_u64(number))
    }

    /// What one of the makers of [`fake::faker`] makes.
    pub fn make<T: Dummy<F>, F>(&mut self, faker: &F) -> T {
        faker.fake_with_rng(&mut self.0)
    }

    /// A line of so many words, cut off where it would be too long.
    pub fn line<const MAX: usize>(&mut self, words: Range<usize>) -> Line<MAX> {
        let sentence: String = self.make(&Sentence(words));
        let cut: String = sentence.trim_end_matches('.').chars().take(MAX).collect();
        Line::new(cut)
            .unwrap_or_else(|wrong| unreachable!("a sentence begins with a word: {wrong}"))
    }

    /// A line that a maker makes, cut off where it would be too long: `fakes.line_of(&Name())`.
    pub fn line_of<const MAX: usize, F>(&mut self, faker: &F) -> Line<MAX>
    where
        String: Dummy<F>,
    {
        let made: String = self.make(faker);
        Line::new(made.chars().take(MAX).collect::<String>()).unwrap_or_else(|_| self.line(1..4))
    }

    /// A text of so many sentences, cut off where it would be too long.
    pub fn text<const MAX: usize>(&mut self, sentences: Range<usize>) -> Text<MAX> {
        let paragraph: String = self.make(&Paragraph(sentences));
        let cut: String = paragraph.chars().take(MAX).collect();
        Text::new(cut).unwrap_or_else(|wrong| unreachable!("it is short enough: {wrong}"))
    }

    /// A number of a range that is not empty.
    pub fn number(&mut self, range: Range<i64>) -> i64 {
        self.0.random_range(range)
    }

    /// Any of the numbers that there may be.
    pub fn whole<const MIN: i64, const MAX: i64>(&mut self) -> Whole<MIN, MAX> {
        let number = self.0.random_range(MIN..=MAX);
        Whole::new(number).unwrap_or_else(|wrong| unreachable!("it is one of them: {wrong}"))
    }

    /// Whether something happens that does so often, from 0.0 for never to 1.0 for always.
    pub fn chance(&mut self, often: f64) -> bool {
        self.0.random_bool(often.clamp(0.0, 1.0))
    }

    /// One of several, of which there is at least one.
    pub fn one_of<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        &values[self.0.random_range(0..values.len())]
    }

    /// A moment that is at most so long before another.
    pub fn before(&mut self, moment: Timestamp, at_most: Duration) -> Timestamp {
        let nanos = u64::try_from(at_most.as_nanos()).unwrap_or(u64::MAX);
        let ago = Duration::from_nanos(self.0.random_range(0..=nanos));
        moment.checked_sub(ago).unwrap_or(moment)
    }
}

impl Seed {
    /// Made-up values that follow of the seed's number.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::Seed;
    /// fn title(seed: &Seed) -> Line<80> {
    ///     seed.fakes().line(2..6)
    /// }
    /// ```
    #[must_use]
    pub fn fakes(&self) -> Fakes {
        Fakes::of(self.number())
    }
}
