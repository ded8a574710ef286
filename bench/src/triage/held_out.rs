//! Formats that say how well the others' lessons carry over: no mask and no number was ever changed for their sake.
//!
//! Their first accuracy (lowest of four seeds), before words that differ between messages were told from variables:
//! systemd 1.0, zookeeper 1.0, nova 0.48, kubernetes events 0.86, rabbitmq 0.74, blue gene 0.80.

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

/// The level is the type and the reason of the event.
pub const EVENTS: Templates = &[
    ("Warning  Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: {n}"),
    ("Normal   Pulled", "Container image \"registry.example.com/{thing}:v{n}\" already present on machine"),
    ("Normal   Created", "Created container {thing}"),
    ("Normal   Started", "Started container {thing}"),
    ("Warning  BackOff", "Back-off restarting failed container {thing} in pod {pod}_default({uuid})"),
    ("Normal   Killing", "Stopping container {thing}"),
    ("Normal   Scheduled", "Successfully assigned default/{pod} to node-{n}"),
    ("Normal   Pulling", "Pulling image \"registry.example.com/{thing}:v{n}\""),
    (
        "Normal   Pulled",
        "Successfully pulled image \"registry.example.com/{thing}:v{n}\" in {duration} ({duration} including waiting). Image size: {n} bytes.",
    ),
    ("Normal   ScalingReplicaSet", "Scaled up replica set {pod} to {n} from {n}"),
    ("Normal   ScalingReplicaSet", "Scaled down replica set {pod} to {n} from {n}"),
    (
        "Warning  FailedScheduling",
        "{n}/{n} nodes are available: {n} Insufficient memory, {n} node(s) had untolerated taint. preemption: {n}/{n} nodes are available: {n} No preemption victims found for incoming pod.",
    ),
    (
        "Warning  FailedMount",
        "MountVolume.SetUp failed for volume \"{thing}\" : secret \"{thing}\" not found",
    ),
    ("Normal   SuccessfulCreate", "Created pod: {pod}"),
    ("Normal   SuccessfulDelete", "Deleted pod: {pod}"),
];

pub const RABBITMQ: Templates = &[
    ("info", "accepting AMQP connection <0.{n}.0> ({ip}:{port} -> {ip}:5672)"),
    (
        "info",
        "connection <0.{n}.0> ({ip}:{port} -> {ip}:5672): user '{name}' authenticated and granted access to vhost '{thing}'",
    ),
    (
        "info",
        "closing AMQP connection <0.{n}.0> ({ip}:{port} -> {ip}:5672, vhost: '{thing}', user: '{name}')",
    ),
    ("warning", "client unexpectedly closed TCP connection <0.{n}.0>"),
    ("error", "missed heartbeats from client, timeout: {n}s"),
    ("info", "rabbit on node rabbit@{host} up"),
    ("info", "rabbit on node rabbit@{host} down"),
    ("warning", "memory resource limit alarm set on node rabbit@{host}."),
    ("warning", "memory resource limit alarm cleared on node rabbit@{host}"),
    ("warning", "disk resource limit alarm set on node rabbit@{host}."),
    (
        "error",
        "operation basic.publish caused a channel exception not_found: no exchange '{thing}' in vhost '{thing}'",
    ),
    ("info", "Waiting for Mnesia tables for {n} ms, {n} retries left"),
    ("info", "queue '{thing}' in vhost '{thing}': dropped {n} messages"),
    ("info", "Free disk space is sufficient. Free bytes: {n}. Limit: {n}"),
];

pub const BLUE_GENE: Templates = &[
    ("INFO", "generating core.{n}"),
    ("INFO", "instruction cache parity error corrected"),
    ("INFO", "{n} double-hummer alignment exceptions"),
    ("INFO", "CE sym {n}, at {0x}, mask {0x}"),
    ("FATAL", "data TLB error interrupt"),
    ("FATAL", "instruction TLB error interrupt"),
    ("FATAL", "data storage interrupt"),
    ("INFO", "ciod: Message code {n} is not 51 or 4294967295"),
    ("FATAL", "ciod: failed to read message prefix on control stream (CioStream socket to {ip}:{port}"),
    ("FATAL", "ciod: Error loading {path}: invalid or missing program image, No such file or directory"),
    ("INFO", "{n} L3 EDRAM error(s) (dcr {0x}) detected and corrected"),
    ("INFO", "total of {n} ddr error(s) detected and corrected"),
    ("INFO", "ddr: activating redundant bit steering: rank={n} symbol={n}"),
    ("FATAL", "program interrupt: illegal instruction......{n}"),
    ("FATAL", "program interrupt: privileged instruction...{n}"),
    ("FATAL", "rts: kernel terminated for reason {n}"),
];
