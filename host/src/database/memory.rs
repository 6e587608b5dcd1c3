//! Bounds the memory of SQLite's connections: what a statement is compiled to, keeps while it runs, and
//! answers. A text of a few hundred bytes can ask for gigabytes.
//!
//! SQLite itself has one bound for the whole process: who came near it would take what others need.
//! So it allocates by functions of our own, which know whose each piece is. sqlx runs each connection
//! on a thread of its own, so that what a thread allocates is its connection's, whoever frees it.
//!
//! The memory itself is the C library's, as it would be without us: an allocator that gives each thread
//! pages of its own (mimalloc) takes four times as much for a thousand connections.

#![allow(unsafe_code, reason = "an allocator of SQLite's is a table of C functions")]

use std::alloc::{GlobalAlloc as _, Layout, System};
use std::cell::{Cell, OnceCell};
use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use libsqlite3_sys as ffi;

use crate::error::{Error, Result};
use crate::metering::locked;

/// What a connection may have of its own, in bytes. Half of it is SQLite's cache of pages. What
/// connections have beyond it comes out of what all of them share.
const OWN: usize = 4 << 20;
/// Bytes of a value from which on it is looked at when it is answered. Smaller ones count as what their
/// statement keeps: as many as a row may have, in all rows that sqlx lets wait (50), take 12 MB.
const LARGE: usize = 64;
/// Bytes that SQLite puts behind a copy.
const TERMINATOR_MAX: usize = 8;
/// How long it is waited for somebody who takes rows, until the statement's time is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An option of SQLite's with which all connections share one cache of pages.
const ONE_CACHE: &CStr = c"ENABLE_MEMORY_MANAGEMENT";

/// What the connections of some units may have together.
pub(super) struct Shared {
    /// Bytes of one connection.
    connection_max: usize,
    /// Bytes of all of them, beyond [`OWN`] of each.
    all_max: usize,
    taken: AtomicUsize,
}

impl Shared {
    pub(super) fn new(connection_max: usize, all_max: usize) -> Arc<Self> {
        Arc::new(Self { connection_max, all_max, taken: AtomicUsize::new(0) })
    }
}

/// What one connection has.
struct Account {
    shared: Arc<Shared>,
    /// Bytes that count: of statements that were compiled, that run, and of small answers.
    held: AtomicUsize,
    /// Bytes of rows that nobody has taken. SQLite has made them, and they wait.
    answered: AtomicUsize,
    /// For who waits until rows are taken.
    waits: Mutex<bool>,
    taken: Condvar,
}

impl Account {
    fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            held: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            waits: Mutex::new(false),
            taken: Condvar::new(),
        })
    }

    /// Adds `bytes` to what it has, unless that is too much.
    fn charge(&self, bytes: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        if after <= OWN {
            return true;
        }
        let more = after - before.max(OWN);
        let all = self.shared.taken.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        if after <= self.shared.connection_max && all <= self.shared.all_max {
            return true;
        }
        self.credit(bytes);
        false
    }

    fn credit(&self, bytes: usize) {
        let before = self.held.fetch_sub(bytes, Ordering::Relaxed);
        let less = before.saturating_sub(OWN.max(before.saturating_sub(bytes)));
        if less > 0 {
            self.shared.taken.fetch_sub(less, Ordering::Relaxed);
        }
    }

    /// A value of a row was freed.
    fn take(&self, bytes: usize) {
        self.answered.fetch_sub(bytes, Ordering::Relaxed);
        if *locked(&self.waits) {
            self.taken.notify_one();
        }
    }

    /// Waits until there is room for a row of so many bytes beside those that nobody has taken, or for
    /// as long as `goes_on`.
    fn wait_for_room(&self, bytes: usize, goes_on: impl Fn() -> bool) {
        let mut waits = locked(&self.waits);
        loop {
            let answered = self.answered.load(Ordering::Relaxed);
            let has_room = answered == 0 || answered + bytes <= self.shared.connection_max / 4;
            *waits = !has_room && goes_on();
            if !*waits {
                return;
            }
            let waiting = self.taken.wait_timeout(waits, LOOK_AGAIN);
            waits = waiting.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

/// A thread that runs a connection.
struct Owner {
    account: Arc<Account>,
    /// Bytes of large values in the row that is being answered. What sqlx copies of them is bounded by
    /// itself: it would not survive that there is no memory for it.
    answering: Cell<usize>,
}

thread_local! {
    static OWNER: OnceCell<Owner> = const { OnceCell::new() };
}

/// Has everything that SQLite allocates on this thread from now on count as one connection's.
pub(super) fn bound_this_thread(shared: &Arc<Shared>) {
    OWNER.with(|owner| {
        owner.get_or_init(|| Owner { account: Account::new(shared), answering: Cell::new(0) });
    });
}

/// Called on a connection's thread when `statement` has made a row, which is copied for who asked for it:
/// waits while those that nobody has taken are too large, for as long as `goes_on`.
///
/// # Safety
/// SQLite says that the statement has a row, and nobody else uses it meanwhile.
pub(super) unsafe fn answers(statement: *mut ffi::sqlite3_stmt, goes_on: impl Fn() -> bool) {
    OWNER.with(|owner| {
        let Some(owner) = owner.get() else { return };
        // With half of it free there is room for whatever is in the other half.
        if owner.account.held.load(Ordering::Relaxed) <= owner.account.shared.connection_max / 2 {
            return;
        }
        // SAFETY: by this function's contract. Texts and blobs are not converted by being measured.
        let bytes = unsafe {
            (0..ffi::sqlite3_data_count(statement))
                .filter(|&column| {
                    let kind = ffi::sqlite3_column_type(statement, column);
                    [ffi::SQLITE_TEXT, ffi::SQLITE_BLOB].contains(&kind)
                })
                .filter_map(|column| {
                    usize::try_from(ffi::sqlite3_column_bytes(statement, column)).ok()
                })
                .filter(|&bytes| bytes >= LARGE)
                .map(|bytes| bytes + TERMINATOR_MAX)
                .sum()
        };
        if bytes > 0 {
            owner.account.wait_for_room(bytes, goes_on);
        }
        owner.answering.set(bytes);
    });
}

/// Stands before each piece of memory.
#[repr(C, align(16))]
struct Header {
    /// From [`Arc::into_raw`]; null where it is nobody's.
    account: *const Account,
    bytes: u32,
    /// Whether it is of a row that was answered.
    is_answer: bool,
}

impl Header {
    /// Whether the piece may have `to` bytes instead of `from`, which its owner has from now on.
    fn resize(&self, from: u32, to: u32) -> bool {
        // SAFETY: each piece holds its account.
        let Some(account) = (unsafe { self.account.as_ref() }) else { return true };
        let (more, less) = (to.saturating_sub(from) as usize, from.saturating_sub(to) as usize);
        if self.is_answer {
            account.answered.fetch_add(more, Ordering::Relaxed);
            account.take(less);
            return true;
        }
        account.credit(less);
        account.charge(more)
    }
}

const ALIGN: usize = align_of::<Header>();
const HEAD: usize = size_of::<Header>();

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(HEAD)?, ALIGN).ok()
}

/// Whose the next piece is, and whether it is of a row that is answered.
///
/// # Errors
/// When its owner may have no more.
fn owned(bytes: usize) -> Result<(*const Account, bool), ()> {
    // SQLite may be called when the thread ends, after what is the thread's own.
    let owned = OWNER.try_with(|owner| {
        let Some(owner) = owner.get() else { return Ok((std::ptr::null(), false)) };
        let left = owner.answering.get();
        let is_answer = bytes >= LARGE && left >= bytes;
        if is_answer {
            owner.answering.set(left - bytes);
            owner.account.answered.fetch_add(bytes, Ordering::Relaxed);
        } else if !owner.account.charge(bytes) {
            return Err(());
        }
        Ok((Arc::into_raw(Arc::clone(&owner.account)), is_answer))
    });
    owned.unwrap_or(Ok((std::ptr::null(), false)))
}

/// Takes a piece off its owner's account.
///
/// # Safety
/// `head` is what [`owned`] said of a piece that is freed now.
unsafe fn disown(head: &Header) {
    if head.account.is_null() {
        return;
    }
    // SAFETY: by this function's contract, it came from `into_raw` and is not used again.
    let account = unsafe { Arc::from_raw(head.account) };
    if head.is_answer {
        account.take(head.bytes as usize);
    } else {
        account.credit(head.bytes as usize);
    }
}

/// # Safety
/// `piece` came from [`allocate`] or [`reallocate`] and was not freed.
unsafe fn head_of<'p>(piece: *mut c_void) -> &'p mut Header {
    // SAFETY: by this function's contract, a header stands before it; SQLite has each piece once.
    unsafe { &mut *piece.cast::<Header>().sub(1) }
}

unsafe extern "C" fn allocate(bytes: c_int) -> *mut c_void {
    let Ok(wanted) = u32::try_from(bytes) else { return std::ptr::null_mut() };
    let Some(layout) = layout(wanted as usize) else { return std::ptr::null_mut() };
    let Ok((account, is_answer)) = owned(wanted as usize) else { return std::ptr::null_mut() };
    let head = Header { account, bytes: wanted, is_answer };
    // SAFETY: a header is not empty.
    let start = unsafe { System.alloc(layout) }.cast::<Header>();
    if start.is_null() {
        // SAFETY: the piece that it was for is not made.
        unsafe { disown(&head) };
        return std::ptr::null_mut();
    }
    // SAFETY: there is room for a header and for what is asked for, aligned like the header.
    unsafe {
        start.write(head);
        start.add(1).cast()
    }
}

unsafe extern "C" fn free(piece: *mut c_void) {
    if piece.is_null() {
        return;
    }
    // SAFETY: SQLite frees what was allocated, once.
    unsafe {
        let head = head_of(piece);
        disown(head);
        if let Some(layout) = layout(head.bytes as usize) {
            System.dealloc(std::ptr::from_mut(head).cast(), layout);
        }
    }
}

unsafe extern "C" fn reallocate(piece: *mut c_void, bytes: c_int) -> *mut c_void {
    let Ok(wanted) = u32::try_from(bytes) else { return std::ptr::null_mut() };
    // SAFETY: SQLite passes what was allocated and not freed.
    let head = unsafe { head_of(piece) };
    let had = head.bytes;
    let (Some(before), Some(after)) = (layout(had as usize), layout(wanted as usize)) else {
        return std::ptr::null_mut();
    };
    if !head.resize(had, wanted) {
        return std::ptr::null_mut();
    }
    // SAFETY: it was allocated with this layout, and what it becomes is not empty.
    let start = unsafe { System.realloc(std::ptr::from_mut(head).cast(), before, after.size()) };
    if start.is_null() {
        head.resize(wanted, had);
        return std::ptr::null_mut();
    }
    let start = start.cast::<Header>();
    // SAFETY: the header was taken along.
    unsafe {
        (*start).bytes = wanted;
        start.add(1).cast()
    }
}

unsafe extern "C" fn size(piece: *mut c_void) -> c_int {
    if piece.is_null() {
        return 0;
    }
    // SAFETY: SQLite asks for the size of what was allocated and not freed.
    let bytes = unsafe { head_of(piece) }.bytes;
    // It came from one.
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

unsafe extern "C" fn round_up(bytes: c_int) -> c_int {
    bytes.saturating_add(7) & !7
}

/// Has SQLite allocate by these functions, in the whole process and for as long as it lives.
///
/// # Errors
/// When SQLite was used before.
pub(super) fn install() -> Result<()> {
    static OUTCOME: LazyLock<c_int> = LazyLock::new(|| {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(allocate),
            xFree: Some(free),
            xRealloc: Some(reallocate),
            xSize: Some(size),
            xRoundup: Some(round_up),
            xInit: Some(begin),
            xShutdown: Some(end),
            pAppData: std::ptr::null_mut(),
        };
        // SAFETY: this option takes a pointer to such a table, and copies it.
        let code = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods) };
        if code != ffi::SQLITE_OK {
            return code;
        }
        // SAFETY: the name ends with a zero.
        if unsafe { ffi::sqlite3_compileoption_used(ONE_CACHE.as_ptr()) } != 0 {
            tracing::warn!(
                "tenants share SQLite's cache of pages: build with LIBSQLITE3_FLAGS=-USQLITE_{}",
                ONE_CACHE.to_string_lossy()
            );
        }
        // Its own count of the whole process' memory, for which all threads would wait for each other.
        // SAFETY: this option takes an int.
        unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0 as c_int) }
    });

    match *OUTCOME {
        ffi::SQLITE_OK => Ok(()),
        _ => {
            Err(Error::internal("SQLite was used before there was a platform to bound its memory")
                .hint(
                    "build the platform before the program opens a database of its own with SQLite",
                ))
        }
    }
}

unsafe extern "C" fn begin(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn end(_: *mut c_void) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(connection_max: usize, all_max: usize) -> (Arc<Shared>, Arc<Account>) {
        let shared = Shared::new(connection_max, all_max);
        let account = Account::new(&shared);
        (shared, account)
    }

    #[test]
    fn each_connection_has_a_cache_of_its_own() {
        // SAFETY: the name ends with a zero.
        let is_one = unsafe { ffi::sqlite3_compileoption_used(ONE_CACHE.as_ptr()) };
        assert_eq!(is_one, 0, "`.cargo/config.toml` says how SQLite is built");
    }

    #[test]
    fn a_connection_has_no_more_than_it_may() {
        let (shared, account) = account(3 * OWN, 10 * OWN);
        assert!(account.charge(2 * OWN) && account.charge(OWN));
        assert!(!account.charge(1));
        assert_eq!(shared.taken.load(Ordering::Relaxed), 2 * OWN);
        account.credit(OWN);
        assert!(account.charge(1));
        account.credit(2 * OWN + 1);
        let left = (account.held.load(Ordering::Relaxed), shared.taken.load(Ordering::Relaxed));
        assert_eq!(left, (0, 0));
    }

    #[test]
    fn what_all_have_together_leaves_each_its_own() {
        let (shared, greedy) = account(8 * OWN, 4 * OWN);
        let other = Account::new(&shared);
        assert!(greedy.charge(5 * OWN) && !greedy.charge(1));
        assert!(other.charge(OWN) && !other.charge(1));
        greedy.credit(5 * OWN);
        assert!(other.charge(1));
    }

    #[test]
    fn pieces_are_freed_by_whoever_is_done_with_them() {
        let (shared, _) = account(8 * OWN, 8 * OWN);
        let owner = Arc::clone(&shared);
        let piece = std::thread::spawn(move || {
            bound_this_thread(&owner);
            // SAFETY: as SQLite does it.
            unsafe {
                let piece = allocate(1000);
                let piece = reallocate(piece, c_int::try_from(2 * OWN).unwrap());
                assert_eq!(size(piece), c_int::try_from(2 * OWN).unwrap());
                assert!(reallocate(piece, c_int::try_from(9 * OWN).unwrap()).is_null());
                piece as usize
            }
        });
        let piece = piece.join().unwrap();
        assert_eq!(shared.taken.load(Ordering::Relaxed), OWN);
        // SAFETY: as SQLite does it.
        unsafe { free(piece as *mut c_void) };
        assert_eq!(shared.taken.load(Ordering::Relaxed), 0);
    }
}
