//! Events: critical errors, told to whoever waits.

use std::{
    collections::BTreeMap,
    ffi::{c_uint, c_ulonglong},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Handle, INVALID_ARGUMENT, NOT_SUPPORTED, Return, TIMEOUT, answer, device, handle_of, pause, put, script,
    uuid_of,
};

const CRITICAL_XID: c_ulonglong = 8;

/// `nvmlEventData_t`.
#[repr(C)]
struct EventData {
    device: Handle,
    event_type: c_ulonglong,
    event_data: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// One event set: the cards registered with it, and how many lines of the script it has told.
#[derive(Debug, Default)]
struct Set {
    cards: Vec<String>,
    told: usize,
}

static SETS: Mutex<BTreeMap<usize, Set>> = Mutex::new(BTreeMap::new());

fn sets() -> MutexGuard<'static, BTreeMap<usize, Set>> {
    SETS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetCreate(to: *mut Handle) -> Return {
    answer(|| {
        // What was reported before there was a set is told to nobody.
        let told = script()?.xids.len();
        let mut sets = sets();
        let number = sets.keys().last().map_or(1, |last| last + 1);
        sets.insert(number, Set { cards: Vec::new(), told });
        // SAFETY: the caller's out-pointer.
        unsafe { put(to, std::ptr::without_provenance_mut(number)) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetFree(set: Handle) -> Return {
    answer(|| sets().remove(&set.addr()).map(drop).ok_or(INVALID_ARGUMENT))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetSupportedEventTypes(handle: Handle, to: *mut c_ulonglong) -> Return {
    answer(|| {
        device(handle)?;
        // SAFETY: the caller's out-pointer.
        unsafe { put(to, CRITICAL_XID) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceRegisterEvents(handle: Handle, types: c_ulonglong, set: Handle) -> Return {
    answer(|| {
        device(handle)?;
        if types != CRITICAL_XID {
            return Err(NOT_SUPPORTED);
        }
        let uuid = uuid_of(handle)?;
        sets().get_mut(&set.addr()).map(|set| set.cards.push(uuid)).ok_or(INVALID_ARGUMENT)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetWait_v2(set: Handle, to: *mut EventData, timeout_ms: c_uint) -> Return {
    answer(|| {
        let deadline = Instant::now() + Duration::from_millis(timeout_ms.into());
        loop {
            if let Some((card, code)) = next_event(set)? {
                let data = EventData {
                    device: handle_of(&card),
                    event_type: CRITICAL_XID,
                    event_data: code,
                    gpu_instance: c_uint::MAX,
                    compute_instance: c_uint::MAX,
                };
                // SAFETY: the caller's out-pointer.
                return unsafe { put(to, data) };
            }
            if Instant::now() >= deadline {
                return Err(TIMEOUT);
            }
            pause();
        }
    })
}

fn next_event(set: Handle) -> Result<Option<(String, u64)>, Return> {
    let xids = script()?.xids;
    let mut sets = sets();
    let set = sets.get_mut(&set.addr()).ok_or(INVALID_ARGUMENT)?;
    while let Some(xid) = xids.get(set.told) {
        set.told += 1;
        if set.cards.contains(&xid.card) {
            return Ok(Some((xid.card.clone(), xid.code)));
        }
    }
    Ok(None)
}
