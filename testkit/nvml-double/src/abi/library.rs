//! The library as a whole, and finding cards.

use std::{
    ffi::{CStr, c_char, c_uint},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    DRIVER_NOT_LOADED, Handle, INVALID_ARGUMENT, LIB_RM_VERSION_MISMATCH, NO_PERMISSION, NOT_FOUND, Return,
    UNINITIALIZED, answer, handle_of, put, put_text, script,
};
use crate::script::{CardState, Init, Script};

/// How often it was initialised and not shut down again.
static USERS: AtomicUsize = AtomicUsize::new(0);

fn up() -> Result<Script, Return> {
    if USERS.load(Ordering::SeqCst) == 0 {
        return Err(UNINITIALIZED);
    }
    let script = script()?;
    coming_up(script.init).map(|()| script)
}

/// A driver that goes away under a running program fails every call.
pub(super) const fn coming_up(init: Init) -> Result<(), Return> {
    match init {
        Init::Ok => Ok(()),
        Init::DriverNotLoaded => Err(DRIVER_NOT_LOADED),
        Init::VersionMismatch => Err(LIB_RM_VERSION_MISMATCH),
        Init::NoPermission => Err(NO_PERMISSION),
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> Return {
    answer(|| {
        coming_up(script()?.init)?;
        USERS.fetch_add(1, Ordering::SeqCst);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> Return {
    nvmlInit_v2()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> Return {
    answer(|| {
        USERS
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |users| users.checked_sub(1))
            .map(drop)
            .map_err(|_| UNINITIALIZED)
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(_code: Return) -> *const c_char {
    c"an error of the double".as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetDriverVersion(to: *mut c_char, length: c_uint) -> Return {
    // SAFETY: the caller's buffer has this length.
    answer(|| unsafe { put_text(to, length, &up()?.driver_version) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(to: *mut c_uint) -> Return {
    answer(|| {
        let count = c_uint::try_from(up()?.cards.len()).map_err(|_| INVALID_ARGUMENT)?;
        // SAFETY: the caller's out-pointer.
        unsafe { put(to, count) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, to: *mut Handle) -> Return {
    answer(|| {
        let script = up()?;
        let card = script.cards.get(index as usize).ok_or(INVALID_ARGUMENT)?;
        if card.state == CardState::Lost {
            return Err(super::GPU_IS_LOST);
        }
        // SAFETY: the caller's out-pointer.
        unsafe { put(to, handle_of(&card.uuid)) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, to: *mut Handle) -> Return {
    answer(|| {
        if uuid.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: the caller's text, which ends with a zero.
        let uuid = unsafe { CStr::from_ptr(uuid) }.to_str().map_err(|_| INVALID_ARGUMENT)?;
        let script = up()?;
        let known = script.cards.iter().any(|card| card.uuid == uuid)
            || script.slices.iter().any(|slice| slice.uuid == uuid);
        if !known {
            return Err(NOT_FOUND);
        }
        // SAFETY: the caller's out-pointer.
        unsafe { put(to, handle_of(uuid)) }
    })
}
