//! The whole launcher in this process, on a real database and a real engine. The test plays the scheduler.

mod adoption;
mod engine_faults;
mod granting;
mod guarding;
mod jobs;
mod leftovers;
mod many_hosts;
mod outages;
mod outcomes;
mod pulling;
mod reconciling;
mod registration;
mod registry;
mod report_files;
mod retention;
mod served;
mod staging;
mod telemetry;
mod through_the_gateway;
mod world;
