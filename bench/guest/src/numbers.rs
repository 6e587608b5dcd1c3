//! Numbers of eight bytes, little-endian, as bytes that come and go in pieces. The native program has
//! the same file.

use std::ops::Range;

/// Adds `bytes`, which begin `at` bytes after the first of all, to the sum of those before: wherever
/// a number is cut, the sum is the same.
pub(crate) fn add(sum: u64, at: u64, bytes: &[u8]) -> u64 {
    let begun = (at % 8) as usize;
    let (rest, bytes) = bytes.split_at(((8 - begun) % 8).min(bytes.len()));
    let (whole, begin) = bytes.as_chunks();
    let part = |sum: u64, (place, byte): (usize, &u8)| {
        sum.wrapping_add(u64::from(*byte) << (8 * (place % 8)))
    };
    let number = |sum: u64, bytes: &[u8; 8]| sum.wrapping_add(u64::from_le_bytes(*bytes));
    let sum = (begun..).zip(rest).fold(sum, part);
    // Four at a time: in each turn of a loop a guest looks whether its time is over.
    let (fours, whole) = whole.as_chunks();
    let sum =
        fours.iter().fold(sum, |sum, [a, b, c, d]| number(number(number(number(sum, a), b), c), d));
    let sum = whole.iter().fold(sum, number);
    begin.iter().enumerate().fold(sum, part)
}

/// Writes the next of `numbers` into a piece, and says how many bytes these are.
pub(crate) fn fill(piece: &mut [u8], numbers: &mut Range<u64>) -> usize {
    let places = piece.as_chunks_mut().0;
    let left = usize::try_from(numbers.end.saturating_sub(numbers.start)).unwrap_or(usize::MAX);
    let count = places.len().min(left);
    let (fours, rest) = places[..count].as_chunks_mut();
    for [a, b, c, d] in fours {
        let next = numbers.start;
        *a = next.to_le_bytes();
        *b = (next + 1).to_le_bytes();
        *c = (next + 2).to_le_bytes();
        *d = (next + 3).to_le_bytes();
        numbers.start += 4;
    }
    for (place, number) in rest.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    count * 8
}
