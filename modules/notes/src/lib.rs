//! Short notes, one owner each.
