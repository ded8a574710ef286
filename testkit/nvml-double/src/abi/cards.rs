//! Questions about one card.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use super::{
    Device, Handle, INSUFFICIENT_SIZE, INVALID_ARGUMENT, MIB, NOT_FOUND, NOT_SUPPORTED, Return, answer,
    device, handle_of, put, put_text, script, uuid_of,
};
use crate::script::{Card, CardState};

/// `nvmlMemory_v2_t`.
#[repr(C)]
struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// `nvmlUtilization_t`.
#[repr(C)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

/// `nvmlProcessInfo_v2_t`.
#[repr(C)]
struct ProcessInfo {
    pid: c_uint,
    used_gpu_memory: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// What the header writes where there is no value.
const NO_MEMORY_VALUE: c_ulonglong = c_ulonglong::MAX;
const NO_INSTANCE: c_uint = c_uint::MAX;
/// Version 2 of a struct of this size: the header's `NVML_STRUCT_VERSION`.
const MEMORY_V2: usize = size_of::<Memory>() | (2 << 24);
const MAX_SLICES: c_uint = 7;

/// A card and not a slice.
fn card(handle: Handle) -> Result<Card, Return> {
    match device(handle)? {
        Device::Card(card) => Ok(card),
        Device::Slice(_) => Err(INVALID_ARGUMENT),
    }
}

/// Answers a question that a card may not answer.
///
/// # Safety
/// `to` is null or valid for a write.
unsafe fn tell<T>(to: *mut T, handle: Handle, value: impl FnOnce(&Card) -> Option<T>) -> Return {
    answer(|| {
        let value = value(&card(handle)?).ok_or(NOT_SUPPORTED)?;
        // SAFETY: by contract.
        unsafe { put(to, value) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(handle: Handle, to: *mut c_char, length: c_uint) -> Return {
    answer(|| {
        device(handle)?;
        // SAFETY: the caller's buffer has this length.
        unsafe { put_text(to, length, &uuid_of(handle)?) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetName(handle: Handle, to: *mut c_char, length: c_uint) -> Return {
    answer(|| {
        let name = match device(handle)? {
            Device::Card(card) => card.model,
            Device::Slice(slice) => format!("slice of {}", slice.parent),
        };
        // SAFETY: the caller's buffer has this length.
        unsafe { put_text(to, length, &name) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetIndex(handle: Handle, to: *mut c_uint) -> Return {
    answer(|| {
        let uuid = card(handle)?.uuid;
        let index = script()?.cards.iter().position(|card| card.uuid == uuid).ok_or(NOT_FOUND)?;
        // SAFETY: the caller's out-pointer.
        unsafe { put(to, c_uint::try_from(index).map_err(|_| INVALID_ARGUMENT)?) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(handle: Handle, to: *mut Memory) -> Return {
    answer(|| {
        let (total, reserved, used) = match device(handle)? {
            Device::Card(card) if card.state == CardState::Unified => return Err(NOT_SUPPORTED),
            Device::Card(card) => (card.total_mib, card.reserved_mib, card.used_mib),
            Device::Slice(slice) => (slice.total_mib, slice.reserved_mib, slice.used_mib),
        };
        if to.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: not null; the caller filled in the version.
        let version = unsafe { (*to).version };
        if version as usize != MEMORY_V2 {
            return Err(INVALID_ARGUMENT);
        }
        let free = total.saturating_sub(reserved + used);
        // SAFETY: the caller's out-pointer.
        unsafe {
            put(
                to,
                Memory {
                    version,
                    total: total * MIB,
                    reserved: reserved * MIB,
                    free: free * MIB,
                    used: used * MIB,
                },
            )
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUtilizationRates(handle: Handle, to: *mut Utilization) -> Return {
    // SAFETY: the caller's out-pointer.
    unsafe {
        tell(to, handle, |card| {
            // A partitioned card has none.
            let told = card.utilization_percent.filter(|_| card.state != CardState::Mig)?;
            Some(Utilization { gpu: told, memory: told / 2 })
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTemperature(handle: Handle, _sensor: c_int, to: *mut c_uint) -> Return {
    // SAFETY: the caller's out-pointer.
    unsafe { tell(to, handle, |card| card.temperature_celsius) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPowerUsage(handle: Handle, to: *mut c_uint) -> Return {
    // SAFETY: the caller's out-pointer.
    unsafe { tell(to, handle, |card| card.power_milliwatts) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(
    handle: Handle,
    kind: c_int,
    counter: c_int,
    to: *mut c_ulonglong,
) -> Return {
    const UNCORRECTED: c_int = 1;
    const VOLATILE: c_int = 0;
    // SAFETY: the caller's out-pointer.
    unsafe {
        tell(to, handle, |card| {
            // Only those since the driver was loaded are in the script.
            let errors = if kind == UNCORRECTED { card.ecc_errors } else { card.corrected_ecc_errors };
            errors.map(|errors| if counter == VOLATILE { errors } else { 0 })
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(
    handle: Handle,
    to: *mut c_ulonglong,
) -> Return {
    // SAFETY: the caller's out-pointer.
    unsafe { tell(to, handle, |card| card.throttle_reasons) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigMode(
    handle: Handle,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> Return {
    answer(|| {
        let mode = c_uint::from(card(handle)?.state == CardState::Mig);
        // SAFETY: the caller's out-pointers.
        unsafe {
            put(current, mode)?;
            put(pending, mode)
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(handle: Handle, to: *mut c_uint) -> Return {
    // The most there can be, as the real one says, not how many there are.
    // SAFETY: the caller's out-pointer.
    unsafe { tell(to, handle, |_| Some(MAX_SLICES)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    handle: Handle,
    index: c_uint,
    to: *mut Handle,
) -> Return {
    answer(|| {
        let parent = card(handle)?.uuid;
        let script = script()?;
        let mut slices = script.slices.iter().filter(|slice| slice.parent == parent);
        let slice = slices.nth(index as usize).ok_or(NOT_FOUND)?;
        // SAFETY: the caller's out-pointer.
        unsafe { put(to, handle_of(&slice.uuid)) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    handle: Handle,
    count: *mut c_uint,
    to: *mut ProcessInfo,
) -> Return {
    answer(|| {
        device(handle)?;
        let uuid = uuid_of(handle)?;
        let processes: Vec<_> =
            script()?.processes.into_iter().filter(|process| process.card == uuid).collect();
        if count.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: not null; the caller filled in how many it has room for.
        let room = unsafe { *count } as usize;
        // SAFETY: the caller's out-pointer.
        unsafe { put(count, c_uint::try_from(processes.len()).map_err(|_| INVALID_ARGUMENT)?)? };
        if processes.is_empty() {
            return Ok(());
        }
        if room < processes.len() || to.is_null() {
            return Err(INSUFFICIENT_SIZE);
        }
        for (index, process) in processes.into_iter().enumerate() {
            let info = ProcessInfo {
                pid: process.pid,
                used_gpu_memory: process.used_mib.map_or(NO_MEMORY_VALUE, |used| used * MIB),
                gpu_instance: NO_INSTANCE,
                compute_instance: NO_INSTANCE,
            };
            // SAFETY: the caller has room for so many.
            unsafe { put(to.add(index), info)? };
        }
        Ok(())
    })
}
