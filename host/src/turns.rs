//! Turns: how many may run at once, and who is next.
//!
//! Each tenant waits in a queue of its own. Free turns go around among the tenants that wait, by
//! their weights (stride scheduling, Waldspurger and Weihl 1995), so that a tenant with a thousand
//! waiting calls never delays the turn of one with a single call. Where nobody waits, a turn costs
//! two atomic operations and no lock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::names::TenantId;

/// How far a tenant of weight 1 moves back with each turn.
const STRIDE: u64 = 1 << 20;

/// Turns that are shared by all tenants.
pub(crate) struct Turns {
    max: usize,
    /// Whether nobody may have more than is free.
    shared: bool,
    free: AtomicUsize,
    /// How many wait, over all tenants; read without the lock.
    waiting: AtomicUsize,
    queues: Mutex<Queues>,
}

/// One tenant's side: what it has and what it may have.
pub(crate) struct Lane {
    tenant: TenantId,
    running: AtomicUsize,
    running_max: usize,
    waiting_max: usize,
    weight: usize,
    /// Its place in the order of those who wait, which changes with the queues locked. Kept while nobody
    /// waits: it is no nearer for having had no one waiting for a moment.
    pass: AtomicU64,
    /// How many have waited.
    waits: AtomicU32,
}

/// The right to run. It goes back when dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    lane: Arc<Lane>,
}

/// Why there is no turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// The tenant has as many waiting calls as it may have.
    QueueFull,
}

#[derive(Default)]
struct Queues {
    by_tenant: HashMap<TenantId, Queue>,
    /// The tenants that wait, the next one first: `(pass, tenant)`.
    order: BTreeMap<(u64, TenantId), ()>,
    /// The pass of the last turn: who was away begins here and has saved nothing up.
    now: u64,
    tickets: u64,
}

struct Queue {
    lane: Arc<Lane>,
    waiting: VecDeque<(u64, oneshot::Sender<Turn>)>,
}

impl Lane {
    /// A tenant that may run `running_max` at once while `waiting_max` wait; of turns that are
    /// scarce it gets a share by `weight`.
    pub(crate) fn new(
        tenant: TenantId,
        running_max: usize,
        waiting_max: usize,
        weight: usize,
    ) -> Arc<Self> {
        let weight = weight.max(1);
        Arc::new(Self {
            tenant,
            running: AtomicUsize::new(0),
            running_max,
            waiting_max,
            weight,
            pass: AtomicU64::new(0),
            waits: AtomicU32::new(0),
        })
    }

    /// How long the next one waits who is to wait for `max`: from three quarters to all of that. Hundreds
    /// that came at once would else be told at once, and come again at once, for ever: so they spread.
    pub(crate) fn patience(&self, max: Duration) -> Duration {
        const PARTS: u32 = 128;

        let number = self.waits.fetch_add(1, Ordering::Relaxed) % PARTS;
        max - max / 4 * number / PARTS
    }

    /// Whether the tenant runs as many as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.running.load(Ordering::SeqCst) >= self.running_max
    }

    fn enter(&self, allowance: usize) -> bool {
        let max = self.running_max.min(allowance);
        take_one(&self.running, |running| (running < max).then(|| running + 1))
    }

    fn pass(&self) -> u64 {
        self.pass.load(Ordering::Relaxed)
    }

    /// How far it moves back with each turn.
    fn stride(&self) -> u64 {
        STRIDE / self.weight as u64
    }

    fn leave(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turns {
    /// As many turns as may be had at once. Those who hold them for moments may have all.
    pub(crate) fn for_moments(turns: usize) -> Arc<Self> {
        Self::new(turns, false)
    }

    /// As many turns as may be had at once. They are held for long, so that some are always kept for
    /// those who have none: a tenant may hold at most as many (times its weight) as are free.
    ///
    /// These are the dynamic thresholds by which switches share their buffers (Choudhury and Hahne,
    /// 1998): one tenant can hold half of all, ten a eleventh each, and as much remains for others.
    pub(crate) fn shared(turns: usize) -> Arc<Self> {
        Self::new(turns, true)
    }

    fn new(turns: usize, shared: bool) -> Arc<Self> {
        Arc::new(Self {
            max: turns,
            shared,
            free: AtomicUsize::new(turns),
            waiting: AtomicUsize::new(0),
            queues: Mutex::default(),
        })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.max - self.free.load(Ordering::Relaxed)
    }

    /// How many wait for one.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A turn, if there is one and nobody waits.
    pub(crate) fn try_take(self: &Arc<Self>, lane: &Arc<Lane>) -> Option<Turn> {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        self.enter(lane)
    }

    /// A turn, as soon as it is this tenant's.
    ///
    /// # Errors
    /// When too many of the tenant's calls wait already.
    pub(crate) fn take(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
    ) -> Result<impl Future<Output = Turn> + use<>, NoTurn> {
        let (sender, receiver) = oneshot::channel();
        let mut queues = self.queues();
        let ticket = queues.join(lane, sender).ok_or(NoTurn::QueueFull)?;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(queues);
        let waiting = Waiting { turns: Arc::clone(self), tenant: lane.tenant, ticket };
        self.hand_out();
        Ok(async move {
            let _waiting = waiting;
            // The queue drops a sender only when its waiter has gone.
            receiver.await.unwrap_or_else(|_| unreachable!("a waiter leaves the queue by itself"))
        })
    }

    fn enter(self: &Arc<Self>, lane: &Arc<Lane>) -> Option<Turn> {
        let allowance = match self.shared {
            true => self.free.load(Ordering::SeqCst).saturating_mul(lane.weight),
            false => usize::MAX,
        };
        if !lane.enter(allowance) {
            return None;
        }
        if !take_one(&self.free, |free| free.checked_sub(1)) {
            lane.leave();
            return None;
        }
        Some(Turn { turns: Arc::clone(self), lane: Arc::clone(lane) })
    }

    /// Gives free turns to those who wait. Whoever frees a turn and whoever begins to wait calls
    /// this, after it has said so: one of the two always sees the other.
    fn hand_out(self: &Arc<Self>) {
        let mut given = Vec::new();
        let mut queues = self.queues();
        while let Some((sender, turn)) = queues.next(self) {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            given.push((sender, turn));
        }
        drop(queues);
        for (sender, turn) in given {
            // Who no longer wants it drops it, which hands it on.
            drop(sender.send(turn));
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing panics while it is held, and its state is whole between statements.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn join(&mut self, lane: &Arc<Lane>, sender: oneshot::Sender<Turn>) -> Option<u64> {
        let now = self.now;
        let queue = self.by_tenant.entry(lane.tenant).or_insert_with(|| {
            lane.pass.fetch_max(now, Ordering::Relaxed);
            Queue { lane: Arc::clone(lane), waiting: VecDeque::new() }
        });
        if queue.waiting.len() >= lane.waiting_max {
            return None;
        }
        self.tickets += 1;
        queue.waiting.push_back((self.tickets, sender));
        self.order.insert((queue.lane.pass(), lane.tenant), ());
        Some(self.tickets)
    }

    /// The waiter whose turn it is, with its turn. Tenants that run as many as they may are passed
    /// over.
    fn next(&mut self, turns: &Arc<Turns>) -> Option<(oneshot::Sender<Turn>, Turn)> {
        let (tenant, turn) = self.order.keys().find_map(|(_, tenant)| {
            let turn = turns.enter(&self.by_tenant.get(tenant)?.lane)?;
            Some((*tenant, turn))
        })?;
        let queue = self.by_tenant.get_mut(&tenant)?;
        let (_, sender) = queue.waiting.pop_front()?;
        let pass = queue.lane.pass.fetch_add(queue.lane.stride(), Ordering::Relaxed);
        self.order.remove(&(pass, tenant));
        self.now = self.now.max(pass);
        if queue.waiting.is_empty() {
            self.by_tenant.remove(&tenant);
        } else {
            self.order.insert((queue.lane.pass(), tenant), ());
        }
        Some((sender, turn))
    }

    /// Whether the ticket still waited.
    fn leave(&mut self, tenant: TenantId, ticket: u64) -> bool {
        let Some(queue) = self.by_tenant.get_mut(&tenant) else { return false };
        let Some(place) = queue.waiting.iter().position(|(waiting, _)| *waiting == ticket) else {
            return false;
        };
        queue.waiting.remove(place);
        if queue.waiting.is_empty() {
            self.order.remove(&(queue.lane.pass(), tenant));
            self.by_tenant.remove(&tenant);
        }
        true
    }
}

/// A place in the queue. Who stops waiting leaves it.
struct Waiting {
    turns: Arc<Turns>,
    tenant: TenantId,
    ticket: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.turns.queues().leave(self.tenant, self.ticket) {
            self.turns.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.lane.leave();
        self.turns.free.fetch_add(1, Ordering::SeqCst);
        if self.turns.waiting.load(Ordering::SeqCst) > 0 {
            self.turns.hand_out();
        }
    }
}

fn take_one(counter: &AtomicUsize, step: impl Fn(usize) -> Option<usize>) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures_util::FutureExt as _;

    use super::*;

    fn lane(running_max: usize, weight: usize) -> Arc<Lane> {
        Lane::new(TenantId::new(), running_max, 1_000, weight)
    }

    /// The order in which `lanes`, each with so many waiting, get the one turn that there is.
    fn order(lanes: &[(&Arc<Lane>, usize)]) -> Vec<usize> {
        let turns = Turns::for_moments(1);
        let busy = turns.try_take(&lane(1, 1)).unwrap();
        let mut waiting = Vec::new();
        for (index, (lane, count)) in lanes.iter().enumerate() {
            for _ in 0..*count {
                waiting.push((index, Box::pin(turns.take(lane).unwrap())));
            }
        }
        drop(busy);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let mut ready = None;
            for (place, (index, waiter)) in waiting.iter_mut().enumerate() {
                if let Some(turn) = waiter.now_or_never() {
                    ready = Some((place, *index, turn));
                    break;
                }
            }
            let (place, index, turn) = ready.expect("somebody is next");
            drop(waiting.remove(place));
            order.push(index);
            drop(turn);
        }
        order
    }

    #[test]
    fn a_long_queue_does_not_delay_another_tenants_turn() {
        let (greedy, modest) = (lane(9, 1), lane(9, 1));
        assert_eq!(order(&[(&greedy, 5), (&modest, 2)]), [0, 1, 0, 1, 0, 0, 0]);
    }

    /// Its queue may be empty for a moment each time: it has had its share all the same.
    #[test]
    fn who_comes_back_at_once_passes_nobody() {
        let turns = Turns::for_moments(1);
        let (quick, patient) = (lane(9, 1), lane(9, 1));
        let mut turn = turns.try_take(&quick).unwrap();
        let mut next = Box::pin(turns.take(&quick).unwrap());
        let mut waiting = Box::pin(turns.take(&patient).unwrap());
        for _ in 0..2 {
            drop(turn);
            if waiting.as_mut().now_or_never().is_some() {
                return;
            }
            turn = next.now_or_never().expect("somebody is next");
            next = Box::pin(turns.take(&quick).unwrap());
        }
        panic!("it was passed twice");
    }

    #[test]
    fn those_who_came_at_once_do_not_all_go_at_once() {
        let (lane, max) = (lane(9, 1), Duration::from_secs(4));
        let waits: HashSet<Duration> = (0..100).map(|_| lane.patience(max)).collect();
        assert_eq!(waits.len(), 100);
        assert!(waits.iter().all(|wait| (max / 4 * 3..=max).contains(wait)));
    }

    #[test]
    fn turns_are_shared_by_weight() {
        let (heavy, light) = (lane(9, 3), lane(9, 1));
        let order = order(&[(&heavy, 9), (&light, 9)]);
        assert_eq!(order[..8].iter().filter(|index| **index == 0).count(), 6);
    }

    #[tokio::test]
    async fn a_tenant_has_no_more_than_it_may_and_others_pass_it() {
        let turns = Turns::for_moments(3);
        let (full, other) = (lane(1, 1), lane(9, 1));
        let first = turns.try_take(&full).unwrap();
        assert!(turns.try_take(&full).is_none());
        let mut second = Box::pin(turns.take(&full).unwrap());
        assert!(second.as_mut().now_or_never().is_none());
        let passing = turns.take(&other).unwrap().await;
        drop(first);
        drop((second.await, passing));
        assert_eq!(turns.free.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn the_greedy_leave_turns_for_others() {
        let turns = Turns::shared(12);
        let take_all = |lane: &Arc<Lane>| -> Vec<Turn> {
            std::iter::from_fn(|| turns.try_take(lane)).collect()
        };
        let (one, two, three) = (lane(99, 1), lane(99, 1), lane(99, 1));
        let ones = take_all(&one);
        assert_eq!(ones.len(), 6);
        let twos = take_all(&two);
        assert_eq!(twos.len(), 3);
        assert!(!take_all(&three).is_empty());
        drop((ones, twos));
        assert_eq!(take_all(&lane(99, 3)).len(), 9);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_no_trace() {
        let turns = Turns::for_moments(1);
        let lane = Lane::new(TenantId::new(), 9, 1, 1);
        let busy = turns.try_take(&lane).unwrap();
        let gone = turns.take(&lane).unwrap();
        assert_eq!(turns.take(&lane).err(), Some(NoTurn::QueueFull));
        drop(gone);
        let given_and_dropped = turns.take(&lane).unwrap();
        drop(busy);
        drop(given_and_dropped);
        assert_eq!(turns.waiting.load(Ordering::SeqCst), 0);
        drop(turns.try_take(&lane).unwrap());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_turn_is_lost_between_threads() {
        let turns = Turns::shared(9);
        let lanes: Vec<_> = (0..4).map(|_| lane(2, 1)).collect();
        let work = (0..400).map(|index| {
            let (turns, lane) = (Arc::clone(&turns), Arc::clone(&lanes[index % 4]));
            async move {
                let turn = match turns.try_take(&lane) {
                    Some(turn) => turn,
                    None => turns.take(&lane).unwrap().await,
                };
                tokio::task::yield_now().await;
                drop(turn);
            }
        });
        let mut tasks = tokio::task::JoinSet::new();
        work.for_each(|work| drop(tasks.spawn(work)));
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(turns.taken(), 0);
        assert!(turns.queues().by_tenant.is_empty());
    }
}
