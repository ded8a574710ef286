//! What the systems write: level and text of each message, the most frequent first.

/// Level and text of each template.
pub type Templates = &'static [(&'static str, &'static str)];

pub const HDFS: Templates = &[
    ("INFO", "dfs.DataNode$DataXceiver: Receiving block blk_{signed} src: /{ip}:{port} dest: /{ip}:50010"),
    (
        "INFO",
        "dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blockMap updated: {ip}:50010 is added to blk_{signed} size {n}",
    ),
    ("INFO", "dfs.DataNode$PacketResponder: PacketResponder {n} for block blk_{signed} terminating"),
    ("INFO", "dfs.DataNode$PacketResponder: Received block blk_{signed} of size {n} from /{ip}"),
    ("INFO", "dfs.FSNamesystem: BLOCK* NameSystem.allocateBlock: /user/root{path} blk_{signed}"),
    ("INFO", "dfs.FSNamesystem: BLOCK* NameSystem.delete: blk_{signed} is added to invalidSet of {ip}:50010"),
    ("INFO", "dfs.FSDataset: Deleting block blk_{signed} file {path}"),
    ("INFO", "dfs.DataNode$DataXceiver: {ip}:50010 Served block blk_{signed} to /{ip}"),
    ("WARN", "dfs.DataNode$DataXceiver: {ip}:50010:Got exception while serving blk_{signed} to /{ip}:"),
    ("INFO", "dfs.DataBlockScanner: Verification succeeded for blk_{signed}"),
    (
        "WARN",
        "dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: Redundant addStoredBlock request received for blk_{signed} on {ip}:50010 size {n}",
    ),
    ("INFO", "dfs.DataNode: {ip}:50010 Starting thread to transfer block blk_{signed} to {ips}"),
];

pub const OPENSSH: Templates = &[
    ("", "Failed password for {name} from {ip} port {port} ssh2"),
    ("", "Failed password for invalid user {name} from {ip} port {port} ssh2"),
    ("", "Invalid user {name} from {ip}"),
    ("", "input_userauth_request: invalid user {name} [preauth]"),
    (
        "",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={ip}  user={name}",
    ),
    ("", "pam_unix(sshd:auth): check pass; user unknown"),
    ("", "Received disconnect from {ip}: 11: Bye Bye [preauth]"),
    ("", "Connection closed by {ip} [preauth]"),
    ("", "reverse mapping checking getaddrinfo for {host} [{ip}] failed - POSSIBLE BREAK-IN ATTEMPT!"),
    ("", "Accepted password for {name} from {ip} port {port} ssh2"),
    ("", "Accepted publickey for {name} from {ip} port {port} ssh2: RSA SHA256:{hash}"),
    ("", "pam_unix(sshd:session): session opened for user {name} by (uid=0)"),
    ("", "pam_unix(sshd:session): session closed for user {name}"),
    ("", "error: maximum authentication attempts exceeded for {name} from {ip} port {port} ssh2 [preauth]"),
    ("", "Did not receive identification string from {ip}"),
];

/// The level is the status.
pub const NGINX_ACCESS: Templates = &[
    ("200", "GET /api/v1/orders/{n}"),
    ("200", "GET /api/v1/users/{uuid}/carts"),
    ("200", "GET /static/app.{hex}.js"),
    ("201", "POST /api/v1/orders"),
    ("304", "GET /favicon.ico"),
    ("404", "GET /api/v1/orders/{n}"),
    ("502", "POST /api/v1/orders"),
    ("401", "GET /api/v1/me"),
    ("200", "GET /search?q={thing}&page={n}"),
    ("204", "DELETE /api/v1/carts/{n}/items/{n}"),
    ("200", "GET /healthz"),
    ("499", "PUT /api/v1/profiles/{uuid}"),
];

pub const NGINX_ERROR: Templates = &[
    (
        "error",
        "connect() failed (111: Connection refused) while connecting to upstream, client: {ip}, server: shop.example.com, request: \"GET /api/{thing} HTTP/1.1\", upstream: \"http://{ip}:8080/api/{thing}\", host: \"shop.example.com\"",
    ),
    (
        "error",
        "upstream timed out (110: Connection timed out) while reading response header from upstream, client: {ip}, server: shop.example.com, request: \"POST /{thing} HTTP/1.1\", upstream: \"http://{ip}:8080/{thing}\", host: \"shop.example.com\"",
    ),
    (
        "error",
        "open() \"{path}\" failed (2: No such file or directory), client: {ip}, server: shop.example.com, request: \"GET /{thing}.php HTTP/1.1\", host: \"{host}\"",
    ),
    (
        "warn",
        "a client request body is buffered to a temporary file {path}, client: {ip}, server: shop.example.com, request: \"POST /upload HTTP/1.1\", host: \"{host}\"",
    ),
    (
        "crit",
        "SSL_do_handshake() failed (SSL: error:{hex}:SSL routines::bad key share) while SSL handshaking, client: {ip}, server: 0.0.0.0:443",
    ),
    (
        "error",
        "client intended to send too large body: {n} bytes, client: {ip}, server: shop.example.com, request: \"PUT /{thing}/{n} HTTP/1.1\", host: \"{host}\"",
    ),
    ("info", "client {ip} closed keepalive connection"),
    (
        "error",
        "no live upstreams while connecting to upstream, client: {ip}, server: shop.example.com, request: \"GET /{thing} HTTP/1.1\", upstream: \"http://backend/{thing}\", host: \"{host}\"",
    ),
];

pub const APACHE: Templates = &[
    ("notice", "jk2_init() Found child {n} in scoreboard slot {n}"),
    ("notice", "workerEnv.init() ok {path}"),
    ("error", "mod_jk child workerEnv in error state {n}"),
    ("error", "[client {ip}] Directory index forbidden by rule: {path}"),
    ("error", "[client {ip}] File does not exist: {path}"),
    ("error", "jk2_init() Can't find child {n} in scoreboard"),
    ("error", "[client {ip}] script not found or unable to stat: {path}"),
    ("notice", "caught SIGTERM, shutting down"),
    ("warn", "child process {n} still did not exit, sending a SIGTERM"),
    ("error", "[client {ip}] user {name}: authentication failure for \"/{thing}\": Password Mismatch"),
    ("notice", "Apache/2.4.{n} (Unix) configured -- resuming normal operations"),
];

pub const POSTGRES: Templates = &[
    ("LOG", "duration: {float} ms  statement: SELECT * FROM {thing} WHERE id = {n}"),
    ("LOG", "connection received: host={ip} port={port}"),
    ("LOG", "connection authorized: user={name} database={thing} application_name={thing}"),
    ("LOG", "disconnection: session time: 0:{clock}.123 user={name} database={thing} host={ip} port={port}"),
    ("ERROR", "duplicate key value violates unique constraint \"{thing}_pkey\""),
    ("DETAIL", "Key (id)=({n}) already exists."),
    ("ERROR", "relation \"{thing}\" does not exist at character {n}"),
    (
        "LOG",
        "checkpoint complete: wrote {n} buffers ({float}%); 0 WAL file(s) added, {n} removed, {n} recycled; write={float} s, sync={float} s, total={float} s",
    ),
    ("LOG", "checkpoint starting: time"),
    ("FATAL", "password authentication failed for user \"{name}\""),
    ("ERROR", "deadlock detected"),
    ("DETAIL", "Process {n} waits for ShareLock on transaction {n}; blocked by process {n}."),
    ("LOG", "automatic vacuum of table \"shop.public.{thing}\": index scans: {n}"),
    ("LOG", "could not receive data from client: Connection reset by peer"),
    ("FATAL", "sorry, too many clients already"),
];

pub const KUBERNETES: Templates = &[
    (
        "I",
        "\"SyncLoop (PLEG): event for pod\" pod=\"default/{pod}\" event={\"ID\":\"{uuid}\",\"Type\":\"ContainerStarted\",\"Data\":\"{hash}\"}",
    ),
    ("I", "\"SyncLoop UPDATE\" source=\"api\" pods=[\"default/{pod}\"]"),
    (
        "E",
        "\"Error syncing pod, skipping\" err=\"failed to \\\"StartContainer\\\" for \\\"{thing}\\\" with CrashLoopBackOff\" pod=\"default/{pod}\" podUID=\"{uuid}\"",
    ),
    (
        "W",
        "\"Failed to process watch event\" err=\"rpc error: code = Unknown desc = no such container {hash}\"",
    ),
    (
        "I",
        "\"operationExecutor.MountVolume started for volume\" volumeName=\"{thing}\" pod=\"default/{pod}\"",
    ),
    (
        "E",
        "\"Probe failed\" probeType=\"Readiness\" pod=\"default/{pod}\" podUID=\"{uuid}\" containerName=\"{thing}\" probeResult=\"failure\" output=\"HTTP probe failed with statuscode: {n}\"",
    ),
    ("I", "Starting to sync pod status with apiserver"),
    (
        "I",
        "Trace[{n}]: \"List etcd3\" key:/{thing},resourceVersion:{n},limit:{n} ({clock}.123) (total time: {duration}):",
    ),
    ("W", "watch of *v1.ConfigMap ended with: too old resource version: {n} ({n})"),
    (
        "I",
        "\"Killing container with a grace period\" pod=\"default/{pod}\" containerName=\"{thing}\" containerID=\"containerd://{hash}\" gracePeriod={n}",
    ),
];

/// The level is pino's number.
pub const JSON: Templates = &[
    ("30", "request completed in {duration}"),
    ("30", "user {name} signed in from {ip}"),
    ("30", "order {uuid} placed by {name}"),
    ("40", "slow query on {thing} took {duration}"),
    ("50", "payment {uuid} refused: {phrase}"),
    ("50", "connect ECONNREFUSED {ip}:{port}"),
    ("30", "cache {thing} refreshed, {n} entries of {size}"),
    ("30", "job {glued} picked up {n} tasks"),
    ("40", "retrying {url} in {duration}, attempt {n}"),
    ("20", "feature flags loaded: {names}"),
    ("50", "mail to {email} bounced"),
    ("30", "listening on port {port}"),
];

pub const PYTHON: Templates = &[
    ("INFO", "Task shop.tasks.{thing}[{uuid}] received"),
    ("INFO", "Task shop.tasks.{thing}[{uuid}] succeeded in {float}s: None"),
    ("ERROR", "Task shop.tasks.{thing}[{uuid}] raised unexpected: ValueError('{phrase}')"),
    (
        "WARNING",
        "Retrying (Retry(total={n}, connect=None)) after connection broken by 'ReadTimeoutError': /{thing}/{n}",
    ),
    ("INFO", "Loaded {n} rows from {path} in {duration}"),
    ("DEBUG", "Acquired lock {n} on {path}"),
    ("INFO", "epoch {n} loss {float} accuracy {float}"),
    ("ERROR", "CUDA out of memory. Tried to allocate {size} (GPU {n}; {size} total capacity)"),
    ("INFO", "Model {thing} loaded on device cuda:{n}"),
    ("WARNING", "Skipping batch ids [{numbers}]"),
    ("INFO", "Uploading {path} to bucket {thing}"),
    ("INFO", "worker {glued} is alive, uptime {clock}"),
];

pub const SPRING: Templates = &[
    ("INFO", "Order {uuid} for customer {name} created in {n} ms"),
    ("INFO", "Fetching {thing} for customer id={n}"),
    ("WARN", "HikariPool-{n} - Connection is not available, request timed out after {n}ms."),
    (
        "ERROR",
        "Servlet.service() for servlet [dispatcherServlet] threw exception [Request processing failed: {phrase}]",
    ),
    ("INFO", "Resolved [{class}: Request method '{thing}' is not supported]"),
    ("DEBUG", "Mapped to {class}#find{n}({n})"),
    ("INFO", "Initializing Spring DispatcherServlet 'dispatcherServlet'"),
    ("INFO", "Tomcat started on port {port} (http) with context path '/{thing}'"),
    ("WARN", "Circuit breaker '{thing}' changed state from CLOSED to OPEN after {n} failures"),
    ("INFO", "Kafka consumer group {thing} assigned partitions [{numbers}]"),
    ("ERROR", "Could not send mail to {email}: {phrase}"),
    ("INFO", "Started OrderApplication in {float} seconds (process running for {float})"),
];

/// The level is Redis' mark.
pub const REDIS: Templates = &[
    ("*", "{n} changes in {n} seconds. Saving..."),
    ("*", "Background saving started by pid {n}"),
    ("*", "DB saved on disk"),
    ("*", "Background saving terminated with success"),
    ("-", "Accepted {ip}:{port}"),
    ("-", "Client closed connection id={n} addr={ip}:{port} fd={n} name={thing} age={n}"),
    ("*", "RDB: {n} MB of memory used by copy-on-write"),
    ("#", "Error condition on socket for SYNC: Connection refused"),
    ("*", "Connecting to MASTER {ip}:{port}"),
    ("*", "MASTER <-> REPLICA sync started"),
    ("#", "WARNING: Memory overcommit must be enabled! maxmemory {n}"),
    ("*", "Asynchronous AOF fsync is taking too long (disk is busy?). Queue {n}"),
];

pub const KERNEL: Templates = &[
    (
        "",
        "audit: type=1400 audit({n}.123:{n}): apparmor=\"DENIED\" operation=\"open\" profile=\"{thing}\" name=\"{path}\" pid={n} comm=\"{name}\" requested_mask=\"r\"",
    ),
    (
        "",
        "Out of memory: Killed process {n} ({name}) total-vm:{n}kB, anon-rss:{n}kB, file-rss:{n}kB, shmem-rss:0kB, UID:{n} pgtables:{n}kB oom_score_adj:0",
    ),
    ("", "{name} invoked oom-killer: gfp_mask={0x}(GFP_KERNEL), order=0, oom_score_adj={n}"),
    ("", "oom_reaper: reaped process {n} ({name}), now anon-rss:{n}kB, file-rss:0kB, shmem-rss:0kB"),
    ("", "NVRM: Xid (PCI:0000:{n}:00): {n}, pid={n}, name={name}, Ch {0x}"),
    ("", "{glued}: renamed from veth{hex}"),
    ("", "docker0: port {n}(veth{hex}) entered blocking state"),
    ("", "docker0: port {n}(veth{hex}) entered forwarding state"),
    ("", "EXT4-fs ({glued}): mounted filesystem {uuid} r/w with ordered data mode. Quota mode: none."),
    (
        "",
        "blk_update_request: I/O error, dev {glued}, sector {n} op 0x0:(READ) flags 0x80700 phys_seg {n} prio class 0",
    ),
    ("", "{name}[{n}]: segfault at {n} ip {hex} sp {hex} error 4 in libc.so.6[{hex}+{n}]"),
    ("", "TCP: request_sock_TCP: Possible SYN flooding on port {port}. Sending cookies."),
    ("", "nvidia-uvm: Loaded the UVM driver, major device number {n}."),
];

pub const LOGFMT: Templates = &[
    (
        "INFO",
        "msg=\"request handled\" method=GET path=/api/{thing}/{n} status={n} duration={duration} trace={hex}",
    ),
    ("INFO", "msg=\"user logged in\" user={name} remote={ip}:{port}"),
    ("WARN", "msg=\"slow query\" table={thing} took={duration} rows={n}"),
    (
        "ERROR",
        "msg=\"upstream failed\" host={host} err=\"dial tcp {ip}:{port}: connect: connection refused\"",
    ),
    ("INFO", "msg=\"compacted block\" block={hex} from={n} to={n} size={size}"),
    ("DEBUG", "msg=\"cache miss\" key={thing}:{n} shard={n}"),
    ("ERROR", "msg=\"job failed\" job={uuid} attempt={n} err=\"{phrase}\""),
    ("INFO", "msg=\"leader elected\" id={glued} term={n}"),
    ("WARN", "msg=\"certificate expires soon\" domain={host} days={n}"),
    ("INFO", "msg=\"scrape completed\" targets={n} duration={float} errors={n}"),
    ("INFO", "msg=\"config reloaded\" file={path} hash={hash}"),
];
