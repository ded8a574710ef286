//! The whole launcher in this process, on a real database and a real engine. The test plays the scheduler.

mod adoption;
mod outcomes;
mod registration;
mod world;
