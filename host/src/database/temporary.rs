//! Bounds the temporary files of SQLite's connections: what is sorted, grouped or kept to be undone. What
//! they have in memory is bounded from the moment on when they open their file.
//!
//! SQLite itself has no limit for them. So units are opened through a file system of our own, which
//! hands every other file to SQLite's and counts what is written to temporary ones. sqlx runs each
//! connection on a thread of its own, so that what a thread's files take is what a connection's do.

#![allow(unsafe_code, reason = "a file system of SQLite's is a table of C functions")]

use std::collections::BTreeSet;
use std::ffi::{CString, c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use libsqlite3_sys as ffi;

use super::SqlConfig;
use super::memory::{self, Shared};
use crate::error::{Error, Result};
use crate::metering::locked;

/// What a statement fails with whose connection may keep no more: a kind of `SQLITE_FULL` that is
/// nobody else's.
pub(crate) const TEMPORARY_FULL: c_int = ffi::SQLITE_FULL | (0x7f << 8);

/// A file system of SQLite's that counts.
struct FileSystem {
    inner: *mut ffi::sqlite3_vfs,
    bytes_max: u64,
    memory: Arc<Shared>,
}

/// A temporary file. SQLite's own file follows it in memory.
#[repr(C)]
struct Counted {
    file: ffi::sqlite3_file,
    bytes: u64,
    bytes_max: u64,
    /// Of all temporary files of this connection; from [`Arc::into_raw`].
    total: *const AtomicU64,
}

thread_local! {
    static TOTAL: Arc<AtomicU64> = Arc::default();
}

/// The name of the file system whose connections keep as much in temporary files and in memory as
/// `config` says.
///
/// # Errors
/// When SQLite does not take it.
pub(super) fn file_system(config: &SqlConfig) -> Result<String> {
    /// Those that there are. They live as long as the process: connections may.
    static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    let bytes_max = config.temp_file_max_bytes.get();
    let (of_one, of_all) = (config.memory_max_bytes, config.memory_shared_max_bytes);
    let name = format!("hostel-{bytes_max}-{}-{}", of_one.get(), of_all.get());
    let mut known = locked(&KNOWN);
    if known.contains(&name) {
        return Ok(name);
    }
    memory::install()?;
    let refused = || Error::internal("SQLite refused the limit of its temporary files");
    // SAFETY: no name stands for the default one, which is never unregistered.
    let inner = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    if inner.is_null() {
        return Err(refused());
    }
    let c_name = CString::new(name.clone()).map_err(|_| refused())?;
    // SAFETY: SQLite's file systems are never changed once they are registered.
    let mut vfs = unsafe { *inner };
    let counted = c_int::try_from(size_of::<Counted>()).map_err(|_| refused())?;
    let memory = Shared::new(of_one.as_usize(), of_all.as_usize());
    vfs.szOsFile += counted;
    vfs.pNext = std::ptr::null_mut();
    vfs.zName = c_name.into_raw();
    vfs.pAppData = Box::into_raw(Box::new(FileSystem { inner, bytes_max, memory })).cast();
    // The others of SQLite's functions (this version is pinned) never look at whose they are.
    vfs.xOpen = Some(open);
    // SAFETY: what is registered lives for ever.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) };
    if code != ffi::SQLITE_OK {
        return Err(refused());
    }
    known.insert(name.clone());
    Ok(name)
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: `file_system` registers no other data, and never frees it.
    let system = unsafe { &*(*vfs).pAppData.cast::<FileSystem>() };
    memory::bound_this_thread(&system.memory);
    // SAFETY: as above, and SQLite's own file system opens files.
    let Some(open) = (unsafe { (*system.inner).xOpen }) else { return ffi::SQLITE_CANTOPEN };
    if flags & ffi::SQLITE_OPEN_DELETEONCLOSE == 0 {
        // SAFETY: the arguments are those of SQLite, whose `file` has more room than is needed.
        return unsafe { open(system.inner, name, file, flags, flags_out) };
    }
    let counted = file.cast::<Counted>();
    // SAFETY: `szOsFile` says that there is room for both, one after the other; both are aligned
    // like pointers, as what SQLite allocates is.
    unsafe {
        let inner = counted.add(1).cast::<ffi::sqlite3_file>();
        (*inner).pMethods = std::ptr::null();
        let code = open(system.inner, name, inner, flags, flags_out);
        let methods = if (*inner).pMethods.is_null() {
            // It will not be closed.
            std::ptr::null()
        } else {
            &raw const METHODS
        };
        let total = if methods.is_null() {
            std::ptr::null()
        } else {
            Arc::into_raw(TOTAL.with(Arc::clone))
        };
        counted.write(Counted {
            file: ffi::sqlite3_file { pMethods: methods },
            bytes: 0,
            bytes_max: system.bytes_max,
            total,
        });
        code
    }
}

/// The first version, which knows no memory that is mapped: all that is written passes by here.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Asks SQLite's own file the same.
macro_rules! inner {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: `open` has put an open file of SQLite's behind ours.
        unsafe {
            let inner = $file.cast::<Counted>().add(1).cast::<ffi::sqlite3_file>();
            match (*(*inner).pMethods).$method {
                Some(method) => method(inner $(, $argument)*),
                None => ffi::SQLITE_IOERR,
            }
        }
    }};
}

/// # Safety
/// `file` was opened by [`open`], is not closed, and nobody else uses it.
unsafe fn counted<'f>(file: *mut ffi::sqlite3_file) -> (&'f mut Counted, &'f AtomicU64) {
    // SAFETY: by this function's contract; the total lives until the file is closed.
    unsafe {
        let counted = &mut *file.cast::<Counted>();
        let total = counted.total;
        (counted, &*total)
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let code = inner!(file, xClose);
    // SAFETY: SQLite closes what it has opened, once.
    let (counted, total) = unsafe { counted(file) };
    total.fetch_sub(counted.bytes, Ordering::Relaxed);
    // SAFETY: it came from `into_raw`, and is not used again.
    drop(unsafe { Arc::from_raw(counted.total) });
    code
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite writes to what it has opened, from one thread at a time.
    let (counted, total) = unsafe { counted(file) };
    let end = u64::try_from(offset.saturating_add(length.into())).unwrap_or(u64::MAX);
    let more = end.saturating_sub(counted.bytes);
    if total.fetch_add(more, Ordering::Relaxed).saturating_add(more) > counted.bytes_max {
        total.fetch_sub(more, Ordering::Relaxed);
        return TEMPORARY_FULL;
    }
    counted.bytes += more;
    // Where that fails, the statement does, and closes its files.
    inner!(file, xWrite, data, length, offset)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    let code = inner!(file, xTruncate, length);
    // SAFETY: as for `write`.
    let (counted, total) = unsafe { counted(file) };
    let less = counted.bytes.saturating_sub(u64::try_from(length).unwrap_or(0));
    if code == ffi::SQLITE_OK {
        counted.bytes -= less;
        total.fetch_sub(less, Ordering::Relaxed);
    }
    code
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    data: *mut c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    inner!(file, xRead, data, length, offset)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    inner!(file, xSync, flags)
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    inner!(file, xFileSize, size)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    inner!(file, xLock, level)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    inner!(file, xUnlock, level)
}

unsafe extern "C" fn check_reserved_lock(
    file: *mut ffi::sqlite3_file,
    is_locked: *mut c_int,
) -> c_int {
    inner!(file, xCheckReservedLock, is_locked)
}

/// All that is asked of temporary files in this way are hints, by some of which they would grow.
unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    inner!(file, xSectorSize)
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    inner!(file, xDeviceCharacteristics)
}
