//! Long statements: few of them run at once, in turns that go around among the tenants.
//!
//! On the server, a guest's statement has the priority of everybody's, and nothing slows it down or
//! halts it for a moment, as is done on SQLite. So what is long needs a turn. Each tenant has some time
//! for which it needs none: a report now and then waits for nobody. What outlasts that is cancelled
//! where it can be run again, which it then is in its turn. What only waits, for a lock or a disk, is
//! not long.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::super::units::Failure;
use super::answer::{Fault, Prepared};
use super::process::Process;
use crate::error::{Error, ErrorKind, Result};
use crate::metering::locked;
use crate::names::TenantId;
use crate::processor::micros;
use crate::turns::{Lane, Turn, Turns};

/// When a statement is looked at for the first time: what ends before is not long.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// How long it may compute from then on until it is looked at again. What is taken out of its tenant's
/// credit is a multiple of that.
const PIECE: Duration = Duration::from_millis(50);
/// How much longer a tenant's statements may compute, all together, and need no turn.
const CREDIT_MAX: Duration = Duration::from_millis(200);
/// How long it takes until a tenant has its credit again, in terms of what it spent. Each may have a
/// thousandth of a processor for ever: what ten of them have together is not felt in a 99th percentile.
const PAYBACK: u32 = 1_000;
/// For how long a tenant that has used up its credit has none, at most.
const DEBT_MAX: Duration = Duration::from_secs(10);
/// How long a statement that cannot be run again goes on without a turn.
const PATIENCE: Duration = Duration::from_secs(1);
/// Texts of which it is known that they are short; modules have tens of them.
const TEXTS_MAX: usize = 1_000;
/// What the server says of a statement that was cancelled.
const CANCELLED: &str = "57014";

/// One tenant's long statements, in whichever of its units.
pub(super) struct LongStatements {
    turns: Arc<Turns>,
    lane: Arc<Lane>,
    /// How long they wait for a turn.
    wait: Duration,
    /// How many have waited.
    waits: AtomicU32,
    began: Instant,
    /// Microseconds after `began` when the tenant has all of its credit.
    whole_at: AtomicU64,
    /// Texts that were short when they last ran.
    short: Mutex<HashSet<u64>>,
}

impl LongStatements {
    /// None yet, of one of those who share `turns`.
    pub(super) fn new(turns: &Arc<Turns>, tenant: TenantId, wait: Duration) -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::clone(turns),
            lane: Lane::new(tenant, usize::MAX, usize::MAX, 1),
            wait,
            waits: AtomicU32::new(0),
            began: Instant::now(),
            whole_at: AtomicU64::new(0),
            short: Mutex::default(),
        })
    }

    /// A turn, after a wait that is bounded by the configuration and by `deadline`.
    ///
    /// # Errors
    /// `unavailable` when others' statements did not end in time.
    pub(super) async fn turn(&self, deadline: Instant) -> Result<Turn> {
        let deadline = deadline.min(Instant::now() + self.next_wait());
        let waiting = self.turns.take(&self.lane).map_err(|_| no_turn())?;
        timeout_at(deadline.into(), waiting).await.map_err(|_| no_turn())
    }

    /// From three quarters to all of what is configured. Hundreds that come at once would else be told at
    /// once, and come again at once: so they spread.
    fn next_wait(&self) -> Duration {
        const PARTS: u32 = 128;

        let number = self.waits.fetch_add(1, Ordering::Relaxed) % PARTS;
        self.wait - self.wait / 4 * number / PARTS
    }

    /// A turn, if there is one.
    fn try_turn(&self) -> Option<Turn> {
        self.turns.try_take(&self.lane)
    }

    /// Whether a statement needs a turn before it begins: the tenant's credit is used up, and nobody knows
    /// that this one is short. Who goes on asking for such pays nothing back.
    fn needs_turn(&self, statement: &Prepared) -> bool {
        let needs = self.credit().is_zero() && !locked(&self.short).contains(&statement.text);
        if needs {
            self.whole_at.fetch_max(self.latest(), Ordering::Relaxed);
        }
        needs
    }

    /// When the tenant has all of its credit, if its debt is as large as it can be.
    fn latest(&self) -> u64 {
        micros(self.began.elapsed() + CREDIT_MAX * PAYBACK + DEBT_MAX)
    }

    fn credit(&self) -> Duration {
        match self.whole_at.load(Ordering::Relaxed) {
            0 => CREDIT_MAX,
            whole_at => {
                let missing = whole_at.saturating_sub(micros(self.began.elapsed()));
                CREDIT_MAX.saturating_sub(Duration::from_micros(missing) / PAYBACK)
            }
        }
    }

    /// Takes `time` out of the tenant's credit, which may become a debt.
    fn charge(&self, time: Duration) {
        let (now, latest) = (micros(self.began.elapsed()), self.latest());
        let price = micros(time.saturating_mul(PAYBACK));
        let charged = |whole_at: u64| Some(now.max(whole_at).saturating_add(price).min(latest));
        // It always has a value to store.
        let _ = self.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
    }

    fn was_short(&self, statement: &Prepared) {
        // Each connection tells of a text once, while nobody asks for it.
        if !statement.is_known.swap(true, Ordering::Relaxed) || self.credit().is_zero() {
            let mut short = locked(&self.short);
            if short.len() >= TEXTS_MAX {
                short.clear();
            }
            short.insert(statement.text);
        }
    }

    fn was_long(&self, statement: &Prepared) {
        locked(&self.short).remove(&statement.text);
    }
}

/// What becomes of a connection's statements that need a turn and have none.
#[derive(Default)]
pub(super) enum Way {
    /// They wait for one, and fail when none comes: what they belong to cannot be run again.
    #[default]
    Once,
    /// They are given up, and are run again where there is a turn for all of them.
    Again(Option<Turn>),
}

impl Way {
    pub(super) fn has_turn(&self) -> bool {
        matches!(self, Self::Again(Some(_)))
    }
}

/// Watches over a statement that runs, or over those of a script as if they were one.
pub(super) struct Pace {
    tenant: Arc<LongStatements>,
    /// None for a script, and for the end of a transaction: of these, nothing is known.
    statement: Option<Arc<Prepared>>,
    process: Arc<Process>,
    began: Instant,
    /// When it is looked at next; never where it has a turn.
    next_look: Option<Instant>,
    can_be_repeated: bool,
    /// Whether it was cancelled because it had no turn.
    was_cancelled: bool,
    is_long: bool,
    has_ended: bool,
    /// Its own; it may be part of what has one.
    turn: Option<Turn>,
}

impl Pace {
    /// Begins with a statement, as soon as it may, after as long as it may take at most.
    ///
    /// # Errors
    /// [`Failure::GaveWay`] where it is to be run again in its turn, `unavailable` where that did not come
    /// in `time`.
    pub(super) async fn begin(
        tenant: &Arc<LongStatements>,
        way: &mut Way,
        statement: &Arc<Prepared>,
        process: &Arc<Process>,
        time: Duration,
    ) -> Result<Self, Failure> {
        let mut turn = None;
        if tenant.needs_turn(statement) {
            match way {
                Way::Again(Some(_)) => {}
                Way::Again(none) => *none = Some(tenant.try_turn().ok_or(Failure::GaveWay)?),
                Way::Once => {
                    let deadline = Instant::now() + time.min(tenant.wait);
                    turn = Some(tenant.turn(deadline).await.map_err(Failure::Refused)?);
                }
            }
        }
        let has_turn = turn.is_some() || way.has_turn();
        let mut pace = Self::of_unknown(tenant, way, process);
        pace.statement = Some(Arc::clone(statement));
        pace.turn = turn;
        if has_turn {
            pace.next_look = None;
        }
        Ok(pace)
    }

    /// Begins with a script, or with the end of a transaction, which others may wait for: it needs a turn
    /// once it is long.
    pub(super) fn of_unknown(
        tenant: &Arc<LongStatements>,
        way: &Way,
        process: &Arc<Process>,
    ) -> Self {
        let began = Instant::now();
        Self {
            tenant: Arc::clone(tenant),
            statement: None,
            process: Arc::clone(process),
            began,
            next_look: (!way.has_turn()).then(|| began + FIRST_LOOK),
            can_be_repeated: matches!(way, Way::Again(_)),
            was_cancelled: false,
            is_long: false,
            has_ended: false,
            turn: None,
        }
    }

    /// Waits for a part of the answer, until `deadline` at most.
    pub(super) async fn wait<T>(
        &mut self,
        deadline: Option<Instant>,
        part: impl Future<Output = Result<T, Fault>>,
    ) -> Result<Result<T, Fault>, Failure> {
        let mut part = pin!(part);
        loop {
            let look = match (self.next_look, deadline) {
                (Some(look), Some(deadline)) => look.min(deadline),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => return Ok(part.await),
            };
            match timeout_at(look.into(), &mut part).await {
                Ok(part) => return Ok(part),
                Err(_) if Some(look) == deadline => return Err(Failure::Overdue),
                Err(_) => {}
            }
            let end = deadline.unwrap_or_else(|| Instant::now() + self.tenant.wait);
            let may_go_on = tokio::select! {
                biased;
                part = &mut part => return Ok(part),
                looked = timeout_at(end.into(), self.may_go_on()) => {
                    looked.map_err(|_| Failure::Overdue)?
                }
            };
            if may_go_on {
                continue;
            }
            if !self.can_be_repeated {
                let tenant = Arc::clone(&self.tenant);
                tokio::select! {
                    biased;
                    part = &mut part => return Ok(part),
                    turn = tenant.turn(end.min(Instant::now() + PATIENCE)) => {
                        if let Ok(turn) = turn {
                            self.turn = Some(turn);
                            continue;
                        }
                    }
                }
            }
            self.was_cancelled = true;
            // Until that is done: later, it could be another statement that is cancelled.
            let cancelling = timeout_at(end.into(), self.process.cancel());
            cancelling.await.map_err(|_| Failure::Overdue)?;
        }
    }

    /// Looks at it: it goes on where it only waits, where its tenant has credit, and where there is a turn.
    async fn may_go_on(&mut self) -> bool {
        if !self.process.is_computing().await {
            self.next_look = Some(Instant::now() + FIRST_LOOK);
            return true;
        }
        self.may_compute()
    }

    fn may_compute(&mut self) -> bool {
        if std::mem::replace(&mut self.is_long, true) {
            self.tenant.charge(PIECE);
        }
        if !self.tenant.credit().is_zero() {
            self.next_look = Some(Instant::now() + PIECE);
            return true;
        }
        self.next_look = None;
        self.turn = self.tenant.try_turn();
        self.turn.is_some()
    }

    /// Goes on with the next statement of a script.
    ///
    /// # Errors
    /// [`Failure::GaveWay`] where those before took too long together, or one ended before it could be
    /// cancelled.
    pub(super) fn go_on(&mut self) -> Result<(), Failure> {
        let is_due = self.next_look.is_some_and(|look| look <= Instant::now());
        if self.was_cancelled || (is_due && !self.may_compute()) {
            return Err(Failure::GaveWay);
        }
        Ok(())
    }

    /// Leaves its turn to what comes after it on the same way.
    pub(super) fn leave_turn_to(mut self, way: &mut Way) {
        self.settle();
        if let Way::Again(turn @ None) = way {
            *turn = self.turn.take();
        }
    }

    /// What came of it, where that was for want of a turn.
    pub(super) fn explain(&self, fault: &Fault) -> Option<Failure> {
        match fault {
            Fault::Refused(refusal) if self.was_cancelled && refusal.code == CANCELLED => {
                Some(match self.can_be_repeated {
                    true => Failure::GaveWay,
                    false => Failure::Refused(no_turn()),
                })
            }
            _ => None,
        }
    }

    /// The same statement runs once more.
    pub(super) fn run_again(&mut self) {
        self.settle();
        self.is_long = false;
        self.next_look = self.next_look.map(|_| self.began + FIRST_LOOK);
    }

    /// Others are waited for, and it needs no turn meanwhile.
    pub(super) async fn pause<T>(&mut self, others: impl Future<Output = T>) -> T {
        self.settle();
        self.turn = None;
        let done = others.await;
        self.began = Instant::now();
        self.next_look = Some(self.began + FIRST_LOOK);
        done
    }

    /// It has ended by itself.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// What it took in its turn is taken out of the tenant's credit as a whole, once.
    fn settle(&mut self) {
        let began = std::mem::replace(&mut self.began, Instant::now());
        if self.next_look.is_none() {
            let took = began.elapsed();
            if took >= FIRST_LOOK {
                self.is_long = true;
                self.tenant.charge(took);
            }
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.settle();
        let Some(statement) = &self.statement else { return };
        if self.is_long {
            self.tenant.was_long(statement);
        } else if self.has_ended {
            self.tenant.was_short(statement);
        }
    }
}

fn no_turn() -> Error {
    let message = "long statements of others did not end in time";
    Error::new(ErrorKind::Unavailable, "database-busy", message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn unit() -> Arc<LongStatements> {
        LongStatements::new(&Turns::shared(1), TenantId::new(), Duration::ZERO)
    }

    fn statement(text: u64) -> Prepared {
        let is_known = AtomicBool::new(false);
        Prepared { name: String::new(), text, is_known, parameters: vec![], columns: vec![] }
    }

    #[test]
    fn who_has_used_up_its_credit_needs_a_turn_but_for_what_is_short() {
        let (unit, short, other) = (unit(), statement(1), statement(2));
        assert_eq!(unit.credit(), CREDIT_MAX);
        unit.was_short(&short);
        assert!(!unit.needs_turn(&other));
        unit.charge(CREDIT_MAX + PIECE);
        assert!(unit.needs_turn(&other) && !unit.needs_turn(&short));
        unit.was_long(&short);
        assert!(unit.needs_turn(&short));
        // It is told of again, though this connection has told of it before.
        unit.was_short(&short);
        assert!(!unit.needs_turn(&short));
    }

    #[test]
    fn a_debt_has_its_bounds() {
        let unit = unit();
        unit.charge(Duration::from_secs(86_400));
        unit.charge(Duration::MAX);
        assert!(unit.whole_at.load(Ordering::Relaxed) <= unit.latest());
    }

    #[test]
    fn texts_are_not_kept_without_end() {
        let unit = unit();
        for text in 0..10 * TEXTS_MAX as u64 {
            unit.was_short(&statement(text));
        }
        assert!(locked(&unit.short).len() <= TEXTS_MAX);
    }
}
