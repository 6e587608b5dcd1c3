//! SQLite's long statements: each runs on a thread of its own, and as many run at once as there are
//! processors. Threads of a low priority still keep others waiting when there are very many of them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::metering::locked;
use crate::processor::{SLICE, micros};

/// A moment is a slice long. Who has had one for so much longer does something else, such as to wait
/// for somebody who takes its rows.
const FORGOTTEN: Duration = SLICE.saturating_mul(8);
/// How long a unit's long statements are remembered: while there are any, its other ones are long sooner.
const LATELY: Duration = Duration::from_millis(100);

/// The moments that long statements have, in turn.
pub(super) struct Moments {
    at_once: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Vec<Moment>,
    waiting: VecDeque<Waiting>,
    last_id: u64,
}

struct Moment {
    id: u64,
    since: Instant,
}

struct Waiting {
    id: u64,
    thread: Thread,
}

impl State {
    fn is_running(&mut self, id: u64) -> Option<&mut Moment> {
        self.running.iter_mut().find(|moment| moment.id == id)
    }

    /// Takes out who waits at the front. Who comes to it looks for forgotten moments from now on.
    fn next(&mut self) -> Option<Waiting> {
        let next = self.waiting.pop_front();
        if let Some(front) = self.waiting.front() {
            front.thread.unpark();
        }
        next
    }

    /// Begins the moment of who waits at the front, if there is room for it.
    fn begin_at_front(&mut self, id: u64, at_once: usize) -> bool {
        if self.waiting.front().is_none_or(|front| front.id != id) {
            return false;
        }
        let since = Instant::now();
        let forgotten = |moment: &Moment| since.duration_since(moment.since) > FORGOTTEN;
        if let Some(place) = self.running.iter().position(forgotten) {
            self.running[place] = Moment { id, since };
        } else if self.running.len() < at_once {
            self.running.push(Moment { id, since });
        } else {
            return false;
        }
        self.next();
        true
    }
}

impl Moments {
    /// As many at once as there are processors.
    pub(super) fn new() -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        Self { at_once, state: Mutex::default() }
    }

    /// How many wait for a moment.
    pub(super) fn waiting(&self) -> usize {
        locked(&self.state).waiting.len()
    }

    /// Waits for a moment on this thread, and gives its number.
    pub(super) fn take(&self) -> u64 {
        let mut state = locked(&self.state);
        state.last_id += 1;
        let id = state.last_id;
        loop {
            if state.is_running(id).is_some() {
                return id;
            }
            // Given a moment that it did not wake up for, it has lost its place, too.
            if !state.waiting.iter().any(|waiting| waiting.id == id) {
                state.waiting.push_back(Waiting { id, thread: std::thread::current() });
            }
            if state.begin_at_front(id, self.at_once) {
                return id;
            }
            let is_front = state.waiting.front().is_some_and(|front| front.id == id);
            drop(state);
            if is_front {
                std::thread::park_timeout(FORGOTTEN)
            } else {
                std::thread::park()
            }
            state = locked(&self.state);
        }
    }

    /// A moment is over, and its statement is not: others come before it goes on.
    pub(super) fn pass(&self, id: u64) -> u64 {
        let mut state = locked(&self.state);
        if state.waiting.is_empty()
            && let Some(moment) = state.is_running(id)
        {
            moment.since = Instant::now();
            return id;
        }
        drop(state);
        self.give(id);
        self.take()
    }

    /// A statement is over.
    pub(super) fn give(&self, id: u64) {
        let mut state = locked(&self.state);
        let Some(place) = state.running.iter().position(|moment| moment.id == id) else { return };
        state.running.swap_remove(place);
        if let Some(next) = state.next() {
            state.running.push(Moment { id: next.id, since: Instant::now() });
            next.thread.unpark();
        }
    }
}

/// Whether a unit had long statements lately.
pub(super) struct LongLately {
    began: Instant,
    /// Microseconds after `began`.
    until: AtomicU64,
}

impl LongLately {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), until: AtomicU64::new(0) }
    }

    /// There is one now.
    pub(super) fn note(&self) {
        self.until.store(micros(self.began.elapsed() + LATELY), Ordering::Relaxed);
    }

    pub(super) fn any(&self) -> bool {
        match self.until.load(Ordering::Relaxed) {
            0 => false,
            until => micros(self.began.elapsed()) < until,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// However many there are, all come to their end.
    #[test]
    fn statements_take_turns() {
        let moments = Arc::new(Moments { at_once: 2, state: Mutex::default() });
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let moments = Arc::clone(&moments);
                std::thread::spawn(move || {
                    let mut id = moments.take();
                    for _ in 0..50 {
                        id = moments.pass(id);
                    }
                    moments.give(id);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let state = locked(&moments.state);
        assert!(state.running.is_empty() && state.waiting.is_empty());
    }

    /// Who forgets its moment keeps nobody waiting.
    #[test]
    fn a_forgotten_moment_is_taken() {
        let moments = Moments { at_once: 1, state: Mutex::default() };
        let forgotten = moments.take();
        let taken = moments.take();
        assert_ne!(forgotten, taken);
        moments.give(forgotten);
        assert!(locked(&moments.state).is_running(taken).is_some());
    }
}
