//! Long statements: few of them run at once, in turns that go around among the tenants.
//!
//! On the server, a guest's statement has the priority of everybody's, and nothing slows it down or
//! halts it for a moment, as is done on SQLite. So what is long needs a turn. Each tenant has some time
//! for which it needs none: a report now and then waits for nobody. What outlasts that is cancelled
//! where it can be run again, which it then is in its turn. What only waits, for a lock or a disk, is
//! not long.
//!
//! Until it is known to be short, a statement is on trial, and only some are at once: dozens of long ones
//! that begin together would leave nobody the processor time to find out that they are.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::super::units::Failure;
use super::answer::{Fault, Prepared};
use super::process::{Load, Process};
use crate::error::{Error, ErrorKind, Result};
use crate::metering::locked;
use crate::names::TenantId;
use crate::processor::micros;
use crate::turns::{Lane, Turn, Turns};

/// When a statement is looked at for the first time: what ends before is not long.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// How long it goes on computing from then on until it is looked at again, and its tenant's credit charged.
const PIECE: Duration = Duration::from_millis(50);
/// How much longer a tenant's statements may compute, all together, and need no turn.
const CREDIT_MAX: Duration = Duration::from_millis(200);
/// How long it takes until a tenant has its credit again, in terms of what it spent. Each may have a
/// thousandth of a processor for ever: what ten of them have together is not felt in a 99th percentile.
const PAYBACK: u32 = 1_000;
/// Statements on trial at once, for each processor of the server: those that are short end in a moment.
const TRIALS_PER_PROCESSOR: usize = 2;
/// How much slower a statement on trial is taken to be because of others that compute, at most. On a
/// server that has too much to do, what is short is not long; but what is long is found out.
const CROWD_MAX: usize = 4;
/// For how long a tenant that has used up its credit has none, at most.
const DEBT_MAX: Duration = Duration::from_secs(10);
/// How long a statement that cannot be run again goes on without a turn.
const PATIENCE: Duration = Duration::from_secs(1);
/// Texts of which it is known that they are short; modules have tens of them.
const TEXTS_MAX: usize = 1_000;
/// What the server says of a statement that was cancelled.
const CANCELLED: &str = "57014";

/// What the statements of all tenants share on one server.
pub(super) struct LongTurns {
    turns: Arc<Turns>,
    trials: Arc<Turns>,
    processors: usize,
}

impl LongTurns {
    /// For as many long statements at once, on a server that has one processor more.
    pub(super) fn new(long_statements: usize) -> Self {
        let processors = long_statements + 1;
        Self {
            turns: Turns::shared(long_statements),
            trials: Turns::for_moments(TRIALS_PER_PROCESSOR * processors),
            processors,
        }
    }

    /// How many wait, for a turn or to be on trial.
    pub(super) fn waiting(&self) -> usize {
        self.turns.waiting() + self.trials.waiting()
    }

    /// What a statement has had of a processor, of those that so many share.
    fn part_of(&self, time: Duration, all: usize) -> Duration {
        let crowd = all.clamp(self.processors, CROWD_MAX * self.processors);
        time.mul_f64(self.processors as f64 / crowd as f64)
    }
}

/// One tenant's long statements, in whichever of its units.
pub(super) struct LongStatements {
    all: Arc<LongTurns>,
    lane: Arc<Lane>,
    on_trial: Arc<Lane>,
    /// How long they wait for a turn.
    wait: Duration,
    began: Instant,
    /// Microseconds after `began` when the tenant has all of its credit.
    whole_at: AtomicU64,
    /// Texts that were short when they last ran.
    short: Mutex<HashSet<u64>>,
}

impl LongStatements {
    /// None yet, of one of those who share all turns.
    pub(super) fn new(all: &Arc<LongTurns>, tenant: TenantId, wait: Duration) -> Arc<Self> {
        let lane = || Lane::new(tenant, usize::MAX, usize::MAX, 1);
        Arc::new(Self {
            all: Arc::clone(all),
            lane: lane(),
            on_trial: lane(),
            wait,
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
        self.one_of(&self.all.turns, &self.lane, deadline).await
    }

    /// A turn, if there is one.
    fn try_turn(&self) -> Option<Turn> {
        self.all.turns.try_take(&self.lane)
    }

    /// A place among those on trial, in the same way.
    async fn trial(&self, deadline: Instant) -> Result<Turn> {
        match self.try_trial() {
            Some(trial) => Ok(trial),
            None => self.one_of(&self.all.trials, &self.on_trial, deadline).await,
        }
    }

    /// A place among those on trial, if there is one.
    fn try_trial(&self) -> Option<Turn> {
        self.all.trials.try_take(&self.on_trial)
    }

    async fn one_of(
        &self,
        turns: &Arc<Turns>,
        lane: &Arc<Lane>,
        deadline: Instant,
    ) -> Result<Turn> {
        let deadline = deadline.min(Instant::now() + lane.patience(self.wait));
        let waiting = turns.take(lane).map_err(|_| no_turn())?;
        timeout_at(deadline.into(), waiting).await.map_err(|_| no_turn())
    }

    /// Whether a statement was short when it last ran.
    fn is_short(&self, statement: &Prepared) -> bool {
        locked(&self.short).contains(&statement.text)
    }

    /// What a statement needs before it begins. Who goes on asking for what needs a turn pays nothing
    /// back.
    fn needs(&self, is_short: bool) -> Needs {
        let has_credit = !self.credit().is_zero();
        match (is_short, has_credit) {
            (true, true) => Needs::Nothing,
            // What has been short may be long with other values.
            (true, false) | (false, true) => Needs::Trial,
            (false, false) => {
                self.whole_at.fetch_max(self.latest(), Ordering::Relaxed);
                Needs::Turn
            }
        }
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
        let mut short = locked(&self.short);
        if short.len() >= TEXTS_MAX {
            short.clear();
        }
        short.insert(statement.text);
    }

    fn was_long(&self, statement: &Prepared) {
        locked(&self.short).remove(&statement.text);
    }
}

/// What a statement needs before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// It is short, and its tenant has credit.
    Nothing,
    /// A place among those of which it is to be found out.
    Trial,
    /// A turn: the tenant's credit is used up, and nobody knows that this one is short.
    Turn,
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
    /// Whether it was short when it last ran.
    was_short: bool,
    process: Arc<Process>,
    began: Instant,
    /// When it was looked at, or began.
    looked: Instant,
    /// When it is looked at next; never where it has a turn.
    next_look: Option<Instant>,
    /// What it has had of a processor until it was looked at.
    computed: Duration,
    can_be_repeated: bool,
    /// Whether it was cancelled because it had no turn.
    was_cancelled: bool,
    is_long: bool,
    has_ended: bool,
    /// Its own; it may be part of what has one.
    turn: Option<Turn>,
    /// Its place among those on trial, until something is known.
    trial: Option<Turn>,
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
        let (mut turn, mut trial) = (None, None);
        let deadline = Instant::now() + time.min(tenant.wait);
        let mut is_short = tenant.is_short(statement);
        let mut needs = tenant.needs(is_short);
        if needs == Needs::Trial && !way.has_turn() {
            trial = Some(tenant.trial(deadline).await.map_err(Failure::Refused)?);
            // Meanwhile, others of its tenant may have used up the credit, or shown that it is long.
            is_short = tenant.is_short(statement);
            needs = tenant.needs(is_short);
        }
        if needs == Needs::Turn {
            trial = None;
            match way {
                Way::Again(Some(_)) => {}
                Way::Again(none) => *none = Some(tenant.try_turn().ok_or(Failure::GaveWay)?),
                Way::Once => turn = Some(tenant.turn(deadline).await.map_err(Failure::Refused)?),
            }
        }
        let has_turn = turn.is_some() || way.has_turn();
        let mut pace = Self::of_unknown(tenant, way, process);
        pace.statement = Some(Arc::clone(statement));
        pace.was_short = is_short;
        (pace.turn, pace.trial) = (turn, trial);
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
            was_short: false,
            process: Arc::clone(process),
            began,
            looked: began,
            next_look: (!way.has_turn()).then(|| began + FIRST_LOOK),
            computed: Duration::ZERO,
            can_be_repeated: matches!(way, Way::Again(_)),
            was_cancelled: false,
            is_long: false,
            has_ended: false,
            turn: None,
            trial: None,
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
                            self.go_on_in(turn);
                            continue;
                        }
                    }
                }
            }
            self.was_cancelled = true;
            // Until that is done: later, it could be another statement that is cancelled.
            let cancelling = timeout_at(end.into(), self.process.cancel());
            cancelling.await.map_err(|_| Failure::Overdue)?;
            // It ends in a moment, unless the server does not do what it is asked.
            let moment = end.min(Instant::now() + FIRST_LOOK);
            if let Ok(part) = timeout_at(moment.into(), &mut part).await {
                return Ok(part);
            }
            self.trial = None;
        }
    }

    /// Looks at it: it goes on where it only waits, where its tenant has credit, and where there is a turn.
    async fn may_go_on(&mut self) -> bool {
        match self.process.load().await {
            Load::Computing { all } => self.may_compute(all),
            load => {
                self.looked = Instant::now();
                self.next_look = Some(self.looked + FIRST_LOOK);
                if matches!(load, Load::Waiting) {
                    // It may wait for one that is to be on trial.
                    self.trial = None;
                }
                true
            }
        }
    }

    /// The same, where it is one of so many that have computed since it was looked at.
    fn may_compute(&mut self, all: usize) -> bool {
        let now = Instant::now();
        let since = now - std::mem::replace(&mut self.looked, now);
        // It may have given its place back, or have needed none while it was short.
        self.trial = self.trial.take().or_else(|| self.tenant.try_trial());
        let spent = match self.trial {
            Some(_) => self.tenant.all.part_of(since, all),
            None => since,
        };
        self.computed += spent;
        if self.trial.is_some() && self.computed < FIRST_LOOK {
            self.next_look = Some(now + PIECE);
            return true;
        }
        if std::mem::replace(&mut self.is_long, true) {
            self.tenant.charge(spent);
        }
        if !self.tenant.credit().is_zero() {
            self.next_look = Some(now + PIECE);
            return true;
        }
        self.next_look = None;
        let Some(turn) = self.tenant.try_turn() else { return false };
        self.go_on_in(turn);
        true
    }

    /// It has its turn, and needs no place among those on trial.
    fn go_on_in(&mut self, turn: Turn) {
        (self.turn, self.trial) = (Some(turn), None);
    }

    /// Goes on with the next statement of a script.
    ///
    /// # Errors
    /// [`Failure::GaveWay`] where those before took too long together, or one ended before it could be
    /// cancelled.
    pub(super) fn go_on(&mut self) -> Result<(), Failure> {
        let is_due = self.next_look.is_some_and(|look| look <= Instant::now());
        if self.was_cancelled || (is_due && !self.may_compute(1)) {
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
        self.trial = None;
        self.next_look = self.next_look.map(|_| self.began + FIRST_LOOK);
    }

    /// Others are waited for, and it needs no turn meanwhile.
    pub(super) async fn pause<T>(&mut self, others: impl Future<Output = T>) -> T {
        self.settle();
        (self.turn, self.trial) = (None, None);
        let done = others.await;
        self.begin_again();
        self.next_look = Some(self.began + FIRST_LOOK);
        done
    }

    /// It has ended by itself.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// What it took in its turn is taken out of the tenant's credit as a whole, once.
    fn settle(&mut self) {
        let took = self.began.elapsed();
        if self.next_look.is_none() && took >= FIRST_LOOK {
            self.is_long = true;
            self.tenant.charge(took);
        }
        self.begin_again();
    }

    fn begin_again(&mut self) {
        self.began = Instant::now();
        (self.looked, self.computed) = (self.began, Duration::ZERO);
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.settle();
        let Some(statement) = &self.statement else { return };
        if self.is_long {
            self.tenant.was_long(statement);
        } else if self.has_ended && !self.was_short {
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
    use futures_util::FutureExt as _;

    use super::*;

    fn unit() -> Arc<LongStatements> {
        LongStatements::new(&Arc::new(LongTurns::new(1)), TenantId::new(), Duration::ZERO)
    }

    fn statement(text: u64) -> Prepared {
        Prepared { name: String::new(), text, parameters: vec![], columns: vec![] }
    }

    #[test]
    fn who_has_used_up_its_credit_needs_a_turn_but_for_what_is_short() {
        let unit = unit();
        assert_eq!((unit.needs(true), unit.needs(false)), (Needs::Nothing, Needs::Trial));
        unit.charge(CREDIT_MAX + PIECE);
        assert_eq!((unit.needs(true), unit.needs(false)), (Needs::Trial, Needs::Turn));
    }

    #[test]
    fn a_statement_is_what_it_was_when_it_last_ran() {
        let (unit, statement, other) = (unit(), statement(1), statement(2));
        unit.was_short(&statement);
        assert!(unit.is_short(&statement) && !unit.is_short(&other));
        unit.was_long(&statement);
        assert!(!unit.is_short(&statement));
    }

    #[test]
    fn a_statement_among_many_has_had_a_part_but_no_less_than_a_quarter() {
        let (of_two, time) = (LongTurns::new(1), Duration::from_millis(100));
        let parts = [1, 2, 4, 8, 800].map(|computing| of_two.part_of(time, computing).as_millis());
        assert_eq!(parts, [100, 100, 50, 25, 25]);
    }

    #[tokio::test]
    async fn some_are_on_trial_at_once_and_tenants_go_around() {
        let all = Arc::new(LongTurns::new(1));
        let wait = Duration::from_secs(60);
        let [greedy, modest] = [(); 2].map(|()| LongStatements::new(&all, TenantId::new(), wait));
        let soon = || Instant::now() + wait;
        let mut trials = Vec::new();
        for _ in 0..2 * TRIALS_PER_PROCESSOR {
            trials.push(greedy.trial(soon()).await.unwrap());
        }
        assert!(greedy.trial(Instant::now()).await.is_err());
        let mut waiting = (0..9).map(|_| Box::pin(greedy.trial(soon()))).collect::<Vec<_>>();
        assert!(futures_util::future::select_all(&mut waiting).now_or_never().is_none());
        let mut modest = Box::pin(modest.trial(soon()));
        assert!((&mut modest).now_or_never().is_none());
        trials.truncate(2);
        let first_or_second = modest.now_or_never();
        assert!(first_or_second.is_some_and(|trial| trial.is_ok()));
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
