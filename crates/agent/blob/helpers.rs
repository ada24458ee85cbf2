//! Helpers, by number: C functions of the helper's arguments and the slot.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::Relaxed;

use crate::abi::{ARRAY, Control, HASH, Map, Process, Site, Slot};
use crate::hash::{self, E2BIG, EEXIST, EINVAL};
use crate::memory;
use crate::ring;
use crate::sys;

const EFAULT: i64 = -14;
const EAGAIN: i64 = -11;
const CLOCK_GETTIME: u64 = 228;
const GETPID: u64 = 39;
const GETTID: u64 = 186;
const GETUID: u64 = 102;
const GETGID: u64 = 104;
const PRCTL: u64 = 157;
const PR_GET_NAME: u64 = 16;
const PROCESS_VM_READV: u64 = 310;
const ESRCH: i64 = -3;

fn site(slot: &Slot) -> &Site {
    // SAFETY: set before the programs run.
    unsafe { &*(slot.site as *const Site) }
}

fn process(slot: &Slot) -> &Process {
    // SAFETY: as above.
    unsafe { &*(site(slot).process as *const Process) }
}

fn control(slot: &Slot) -> &Control {
    // SAFETY: as above.
    unsafe { &*(site(slot).control as *const Control) }
}

macro_rules! helper {
    ($name:ident($($arg:ident: $ty:ty),*; $slot:ident) $body:block) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $ty),*, $slot: &Slot) -> u64 {
            #[allow(unused_unsafe)]
            // SAFETY: the verifier has seen that arguments are what the helper takes.
            unsafe { ($body) as u64 }
        }
    };
}

fn value_of(map: &Map, index: u32, cpu: u32) -> u64 {
    let copy = if map.copies == 0 { 0 } else { cpu.min(map.copies - 1) };
    map.base + u64::from(index) * map.size + u64::from(copy) * u64::from(map.stride)
}

helper!(ring3_helper_1(map: &Map, key: *const u8, _c: u64, _d: u64, _e: u64; slot) {
    match map.kind {
        ARRAY => {
            let index = key.cast::<u32>().read_unaligned();
            if index < map.max { value_of(map, index, slot.cpu) } else { 0 }
        }
        HASH => hash::lookup(map, key, slot.cpu),
        _ => 0,
    }
});

helper!(ring3_helper_2(map: &Map, key: *const u8, value: *const u8, flags: u64, _e: u64; slot) {
    match map.kind {
        ARRAY => {
            let index = key.cast::<u32>().read_unaligned();
            if flags > 2 {
                EINVAL
            } else if index >= map.max {
                E2BIG
            } else if flags == 1 {
                EEXIST
            } else {
                let to = value_of(map, index, slot.cpu) as *mut u8;
                memory::copy(to, value, map.value_size as usize);
                0
            }
        }
        HASH => hash::update(map, key, value, flags, slot),
        _ => EINVAL,
    }
});

helper!(ring3_helper_3(map: &Map, key: *const u8, _c: u64, _d: u64, _e: u64; slot) {
    match map.kind {
        HASH => hash::delete(map, key, slot),
        _ => EINVAL,
    }
});

#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

fn time(clock: u64, slot: &Slot) -> u64 {
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    let place = &raw mut time;
    let vdso = process(slot).clock;
    if vdso != 0 {
        // SAFETY: the vdso's function, a C function.
        let function: extern "C" fn(u64, *mut Time) -> i32 = unsafe { core::mem::transmute(vdso) };
        function(clock, place);
    } else {
        sys::call(CLOCK_GETTIME, [clock, place as u64, 0, 0, 0, 0]);
    }
    // SAFETY: written by the call.
    let time = unsafe { place.read_volatile() };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

helper!(ring3_helper_5(_a: u64, _b: u64, _c: u64, _d: u64, _e: u64; slot) { time(1, slot) });
helper!(ring3_helper_125(_a: u64, _b: u64, _c: u64, _d: u64, _e: u64; slot) { time(7, slot) });

helper!(ring3_helper_7(_a: u64, _b: u64, _c: u64, _d: u64, _e: u64; slot) {
    let state = control(slot).random.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> 32
});

helper!(ring3_helper_8(_a: u64, _b: u64, _c: u64, _d: u64, _e: u64; slot) { u64::from(slot.cpu) });

helper!(ring3_helper_14(_a: u64, _b: u64, _c: u64, _d: u64, _e: u64; _slot) {
    let (tgid, tid) = (sys::call(GETPID, [0; 6]), sys::call(GETTID, [0; 6]));
    (tgid as u64) << 32 | tid as u64 & 0xffff_ffff
});

helper!(ring3_helper_15(_a: u64, _b: u64, _c: u64, _d: u64, _e: u64; _slot) {
    let (uid, gid) = (sys::call(GETUID, [0; 6]), sys::call(GETGID, [0; 6]));
    (gid as u64) << 32 | uid as u64 & 0xffff_ffff
});

helper!(ring3_helper_16(buffer: *mut u8, size: u64, _c: u64, _d: u64, _e: u64; _slot) {
    let mut name = [0_u8; 16];
    let place = name.as_mut_ptr();
    sys::call(PRCTL, [PR_GET_NAME, place as u64, 0, 0, 0, 0]);
    let len = (size as u32 as usize).min(16);
    memory::copy(buffer, place, len);
    memory::zero(buffer.add(len), size as u32 as usize - len);
    if len < 16 && len > 0 {
        buffer.add(len - 1).write(0);
    }
    0
});

/// Reads memory that may not be there; how many bytes were read.
unsafe fn read(to: *mut u8, from: u64, len: usize, slot: &Slot) -> i64 {
    let (local, remote) = ([to as u64, len as u64], [from, len as u64]);
    let args = |pid: u64| [pid, local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0];
    let done = sys::call(PROCESS_VM_READV, args(process(slot).pid));
    if done != ESRCH {
        return done;
    }
    sys::call(PROCESS_VM_READV, args(sys::call(GETPID, [0; 6]) as u64))
}

unsafe fn probe_read(to: *mut u8, len: u64, from: u64, slot: &Slot) -> i64 {
    let len = len as u32 as usize;
    // SAFETY: the caller's word.
    unsafe {
        if len == 0 || read(to, from, len, slot) == len as i64 {
            return 0;
        }
        memory::zero(to, len);
    }
    EFAULT
}

/// Whether programs call this memory their own.
fn is_own(from: u64, len: u64, slot: &Slot) -> bool {
    let control = control(slot);
    from >= control.own_start && from < control.own_end && len <= control.own_end - from
}

unsafe fn probe_read_own(to: *mut u8, len: u64, from: u64, slot: &Slot) -> i64 {
    let len = len as u32 as u64;
    // SAFETY: memory that is there; the caller's word.
    unsafe {
        if is_own(from, len, slot) {
            memory::copy(to, from as *const u8, len as usize);
            return 0;
        }
        memory::zero(to, len as usize);
    }
    EFAULT
}

/// A text and its zero byte: how long it is.
unsafe fn probe_read_str(to: *mut u8, len: u64, from: u64, slot: &Slot) -> i64 {
    const PIECE: usize = 128;
    let len = len as u32 as usize;
    if len == 0 {
        return 0;
    }
    let mut piece = MaybeUninit::<[u8; PIECE]>::uninit();
    let start = piece.as_mut_ptr().cast::<u8>();
    let mut done = 0;
    // SAFETY: within both buffers; the caller's word.
    unsafe {
        while done < len {
            let want = (len - done).min(PIECE);
            let got = read(start, from.wrapping_add(done as u64), want, slot);
            let mut i = 0;
            while (i as i64) < got {
                let byte = start.add(i).read_volatile();
                to.add(done + i).write_volatile(byte);
                i += 1;
                if byte == 0 {
                    return (done + i) as i64;
                }
            }
            if got < want as i64 {
                memory::zero(to, len);
                return EFAULT;
            }
            done += want;
        }
        to.add(len - 1).write(0);
    }
    len as i64
}

helper!(ring3_helper_112(to: *mut u8, len: u64, from: u64, _d: u64, _e: u64; slot) {
    probe_read(to, len, from, slot)
});
helper!(ring3_helper_148(to: *mut u8, len: u64, from: u64, _d: u64, _e: u64; slot) {
    probe_read(to, len, from, slot)
});
helper!(ring3_helper_113(to: *mut u8, len: u64, from: u64, _d: u64, _e: u64; slot) {
    probe_read_own(to, len, from, slot)
});
helper!(ring3_helper_4(to: *mut u8, len: u64, from: u64, _d: u64, _e: u64; slot) {
    if is_own(from, len as u32 as u64, slot) {
        probe_read_own(to, len, from, slot)
    } else {
        probe_read(to, len, from, slot)
    }
});
helper!(ring3_helper_114(to: *mut u8, len: u64, from: u64, _d: u64, _e: u64; slot) {
    probe_read_str(to, len, from, slot)
});

helper!(ring3_helper_130(map: &Map, data: *const u8, len: u64, flags: u64, _e: u64; slot) {
    if flags > 3 {
        EINVAL
    } else {
        match ring::reserve(map, len, slot) {
            0 => EAGAIN,
            to => {
                memory::copy(to as *mut u8, data, len as usize);
                ring::commit(to, false);
                0
            }
        }
    }
});
helper!(ring3_helper_131(map: &Map, len: u64, flags: u64, _d: u64, _e: u64; slot) {
    if flags != 0 { 0 } else { ring::reserve(map, len, slot) }
});
helper!(ring3_helper_132(data: u64, _b: u64, _c: u64, _d: u64, _e: u64; _slot) {
    ring::commit(data, false);
    0
});
helper!(ring3_helper_133(data: u64, _b: u64, _c: u64, _d: u64, _e: u64; _slot) {
    ring::commit(data, true);
    0
});
helper!(ring3_helper_134(map: &Map, what: u64, _c: u64, _d: u64, _e: u64; _slot) {
    ring::query(map, what)
});

helper!(ring3_helper_173(_a: u64, _b: u64, _c: u64, _d: u64, _e: u64; slot) { site(slot).ip });
helper!(ring3_helper_174(_a: u64, _b: u64, _c: u64, _d: u64, _e: u64; slot) { slot.cookie });
