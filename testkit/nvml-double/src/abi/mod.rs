//! The C functions. Types and codes are written down here from NVIDIA's header, not taken from the wrapper
//! under test.
//!
//! Safety, for all of them: the caller is `nvml-wrapper`, which passes valid, writable out-pointers of the
//! documented types, or null where the header allows it. Handles are numbers dressed as pointers and are never
//! followed.

mod cards;
mod events;
mod library;

use std::{
    collections::BTreeMap,
    env,
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::script::{Card, CardState, Script, Slice};

type Return = c_int;
type Handle = *mut c_void;

const SUCCESS: Return = 0;
const UNINITIALIZED: Return = 1;
const INVALID_ARGUMENT: Return = 2;
const NOT_SUPPORTED: Return = 3;
const NO_PERMISSION: Return = 4;
const NOT_FOUND: Return = 6;
const INSUFFICIENT_SIZE: Return = 7;
const DRIVER_NOT_LOADED: Return = 9;
const TIMEOUT: Return = 10;
const GPU_IS_LOST: Return = 15;
const RESET_REQUIRED: Return = 16;
const LIB_RM_VERSION_MISMATCH: Return = 18;
const UNKNOWN: Return = 999;

const MIB: u64 = 1024 * 1024;
/// How often a waiting or hung call looks at the script again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The script that belongs to a library at this path.
pub(crate) fn script_beside(library: &Path) -> PathBuf {
    let mut path = library.as_os_str().to_owned();
    path.push(".script");
    path.into()
}

/// Reads the script. An unreadable one is a driver that answers nonsense.
fn script() -> Result<Script, Return> {
    let path = env::var_os("FAKE_NVML").map(PathBuf::from).or_else(own_script).ok_or(UNKNOWN)?;
    let text = std::fs::read_to_string(path).map_err(|_| UNKNOWN)?;
    text.parse().map_err(|_| UNKNOWN)
}

fn own_script() -> Option<PathBuf> {
    let mut found = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: the address is one of this library's; the struct is ours and outlives the call.
    let known = unsafe { libc::dladdr(own_script as *const c_void, &mut found) };
    if known == 0 || found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own string, which lives as long as the library.
    let path = unsafe { CStr::from_ptr(found.dli_fname) };
    Some(script_beside(Path::new(path.to_str().ok()?)))
}

/// Handles by UUID, from 1.
static HANDLES: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

fn handles() -> MutexGuard<'static, BTreeMap<String, usize>> {
    HANDLES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn handle_of(uuid: &str) -> Handle {
    let mut handles = handles();
    let next = handles.len() + 1;
    let number = *handles.entry(uuid.to_owned()).or_insert(next);
    std::ptr::without_provenance_mut(number)
}

fn uuid_of(handle: Handle) -> Result<String, Return> {
    let number = handle.addr();
    handles()
        .iter()
        .find(|(_, known)| **known == number)
        .map(|(uuid, _)| uuid.clone())
        .ok_or(INVALID_ARGUMENT)
}

/// A card or a slice, as the script has it now.
enum Device {
    Card(Card),
    Slice(Slice),
}

/// What a handle stands for now; waits while it hangs.
fn device(handle: Handle) -> Result<Device, Return> {
    let uuid = uuid_of(handle)?;
    loop {
        let script = script()?;
        library::coming_up(script.init)?;
        if let Some(slice) = script.slices.iter().find(|slice| slice.uuid == uuid) {
            return Ok(Device::Slice(slice.clone()));
        }
        // A card that is not in the script any more was pulled out.
        let card = script.cards.into_iter().find(|card| card.uuid == uuid).ok_or(GPU_IS_LOST)?;
        match card.state {
            CardState::Lost => return Err(GPU_IS_LOST),
            CardState::ResetRequired => return Err(RESET_REQUIRED),
            CardState::Hung => pause(),
            CardState::Ok | CardState::Unified | CardState::Mig => return Ok(Device::Card(card)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver that hangs blocks the calling thread")]
fn pause() {
    std::thread::sleep(LOOK_AGAIN);
}

/// Runs the body of a C function.
fn answer(body: impl FnOnce() -> Result<(), Return>) -> Return {
    body().err().unwrap_or(SUCCESS)
}

/// Writes a value to an out-pointer.
///
/// # Safety
/// `to` is null or valid for a write of `T`.
unsafe fn put<T>(to: *mut T, value: T) -> Result<(), Return> {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and valid by contract.
    unsafe { to.write(value) };
    Ok(())
}

/// Copies a text with its end.
///
/// # Safety
/// `to` is null or valid for `length` bytes.
unsafe fn put_text(to: *mut c_char, length: c_uint, text: &str) -> Result<(), Return> {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    if text.len() >= length as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: room for the text and its end was checked.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), to, text.len());
        to.add(text.len()).write(0);
    }
    Ok(())
}
