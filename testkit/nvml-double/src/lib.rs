//! A double of NVIDIA's management library: the same C functions, answering from a text file.
//!
//! Built as a shared library, it is loaded by the real `nvml-wrapper` in place of `libnvidia-ml.so.1`, so that
//! a test goes through the real foreign-function path. It reads its [`Script`] anew at each call: editing the
//! file injects a fault into a program that is running.
//!
//! The file is the one named by `FAKE_NVML`, else `<path of the loaded library>.script`. [`Double`] gives each
//! test a copy of the library and a script of its own.
//!
//! What it proves: our code against the C interface. What it can't prove: the driver, or the container
//! toolkit.

mod abi;
mod install;
mod script;

pub use install::{Double, InstallError};
pub use script::{Card, CardState, Init, Malformed, Process, Script, Slice, Xid};
