//! Formats that say how well the others' lessons carry over: nothing was ever changed for their sake.

use super::systems::Templates;

pub const SYSTEMD: Templates = &[
    ("", "Started Session {n} of User {name}."),
    ("", "Starting Daily apt download activities..."),
    ("", "{thing}.service: Main process exited, code=exited, status={n}/FAILURE"),
    ("", "{thing}.service: Failed with result 'exit-code'."),
    ("", "{thing}.service: Scheduled restart job, restart counter is at {n}."),
    ("", "Started {thing}.service - The {thing} daemon."),
    ("", "Stopped {thing}.service - The {thing} daemon."),
    ("", "Created slice user-{n}.slice - User Slice of UID {n}."),
    ("", "run-docker-runtime\\x2drunc-moby-{hash}-runc.{hex}.mount: Deactivated successfully."),
    ("", "session-{n}.scope: Consumed {float}s CPU time."),
    ("", "{thing}.service: A process of this unit has been killed by the OOM killer."),
    ("", "Reached target timers.target - Timer Units."),
];

pub const ZOOKEEPER: Templates = &[
    ("INFO", "Received connection request /{ip}:{port}"),
    ("INFO", "Accepted socket connection from /{ip}:{port}"),
    ("INFO", "Closed socket connection for client /{ip}:{port} which had sessionid {0x}"),
    ("INFO", "Client attempting to establish new session at /{ip}:{port}"),
    ("INFO", "Established session {0x} with negotiated timeout {n} for client /{ip}:{port}"),
    ("WARN", "caught end of stream exception"),
    ("WARN", "Cannot open channel to {n} at election address {host}/{ip}:3888"),
    ("INFO", "Expiring session {0x}, timeout of {n}ms exceeded"),
    ("INFO", "Processed session termination for sessionid: {0x}"),
    ("WARN", "Connection broken for id {signed}, my id = {n}, error ="),
    ("WARN", "Interrupting SendWorker"),
    ("INFO", "Notification time out: {n}"),
    ("INFO", "Snapshotting: {0x} to {path}"),
];

pub const NOVA: Templates = &[
    ("INFO", "[instance: {uuid}] VM Started (Lifecycle Event)"),
    ("INFO", "[instance: {uuid}] VM Paused (Lifecycle Event)"),
    ("INFO", "[instance: {uuid}] During sync_power_state the instance has a pending task (spawning). Skip."),
    ("INFO", "[instance: {uuid}] Took {float} seconds to build instance."),
    ("INFO", "[instance: {uuid}] Total memory: {n} MB, used: {float} MB"),
    ("INFO", "[instance: {uuid}] Claim successful"),
    ("INFO", "[instance: {uuid}] Terminating instance"),
    ("WARNING", "Unknown base file: {path}"),
    ("INFO", "image {uuid} at ({path}): checking"),
    ("INFO", "Active base files: {path}"),
    (
        "WARNING",
        "While synchronizing instance power states, found {n} instances in the database and {n} instances on the hypervisor.",
    ),
    ("INFO", "{ip} \"GET /v2/{hex}/servers/detail HTTP/1.1\" status: 200 len: {n} time: {float}"),
];
