//! The whole launcher in this process, on a real database and a real engine. The test plays the scheduler.

mod adoption;
mod engine_faults;
mod guarding;
mod many_hosts;
mod outages;
mod outcomes;
mod reconciling;
mod registration;
mod retention;
mod served;
mod staging;
mod telemetry;
mod through_the_gateway;
mod world;
