//! Labelled logs in the manner of LogHub: what real systems write, every line with the template that it came from.
//!
//! Message texts follow the sources of the systems they are named for; the variable parts are those of
//! [`Random::fill`]. A few templates make most of the lines, as in real logs. Of access logs a template is a route with
//! its method and status.

use super::{
    later,
    random::Random,
    systems::{self, Templates},
};

/// One format.
#[derive(Clone, Copy)]
pub struct Format {
    pub name: &'static str,
    /// What its figure is worth.
    pub use_of: Use,
    pub templates: Templates,
    /// Puts head and message together: level, message.
    pub line: fn(&mut Random, &str, &str) -> String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Masks and tree were made with an eye on its lines.
    Tuned,
    /// Written when they were made, and grouped as well as this then: the lowest of four seeds.
    Later { first_percent: u8 },
}

/// One line and the number of its true template.
pub struct Labelled {
    pub text: String,
    pub truth: usize,
}

pub const FORMATS: &[Format] = &[
    tuned("hdfs", systems::HDFS, |r, level, message| {
        r.fill(&format!("081109 203615 {{n}} {level} {message}"))
    }),
    tuned("openssh", systems::OPENSSH, |r, _, message| {
        r.fill(&format!("Dec 10 {{clock}} LabSZ sshd[{{n}}]: {message}"))
    }),
    tuned("nginx access", systems::NGINX_ACCESS, |r, status, message| {
        r.fill(&format!(
            "{{ip}} - - [10/Dec/2025:{{clock}} +0000] \"{message} HTTP/1.1\" {status} {{n}} \"{{url}}\" \"Mozilla/5.0 (X11; Linux x86_64)\""
        ))
    }),
    tuned("nginx error", systems::NGINX_ERROR, |r, level, message| {
        r.fill(&format!("2025/12/10 {{clock}} [{level}] {{n}}#{{n}}: *{{n}} {message}"))
    }),
    tuned("apache error", systems::APACHE, |r, level, message| {
        r.fill(&format!("[Sun Dec 04 {{clock}} 2005] [{level}] {message}"))
    }),
    tuned("postgresql", systems::POSTGRES, |r, level, message| {
        r.fill(&format!("2025-12-10 {{clock}}.123 UTC [{{n}}] {level}:  {message}"))
    }),
    tuned("klog", systems::KUBERNETES, |r, level, message| {
        r.fill(&format!("{level}1210 {{clock}}.123456   {{n}} kubelet.go:{{n}}] {message}"))
    }),
    tuned("json", systems::JSON, |r, level, message| {
        let (message, id) = (r.fill(message).replace('"', "\\\""), r.hex(12));
        let time = r.below(2_000_000_000);
        format!(
            r#"{{"level":{level},"time":{time},"pid":17,"hostname":"web-1","reqId":"{id}","msg":"{message}"}}"#
        )
    }),
    tuned("python", systems::PYTHON, |r, level, message| {
        r.fill(&format!("2025-12-10 {{clock}},123 - shop.worker - {level} - {message}"))
    }),
    tuned("spring", systems::SPRING, |r, level, message| {
        r.fill(&format!("2025-12-10 {{clock}}.123  {level} {{n}} --- [nio-8080-exec-{{n}}] c.s.orders.OrderService : {message}"))
    }),
    tuned("redis", systems::REDIS, |r, mark, message| {
        r.fill(&format!("{{n}}:M 10 Dec 2025 {{clock}}.123 {mark} {message}"))
    }),
    tuned("kernel", systems::KERNEL, |r, _, message| r.fill(&format!("[{{n}}.123456] {message}"))),
    tuned("logfmt", systems::LOGFMT, |r, level, message| {
        r.fill(&format!("time=2025-12-10T06:25:41.123Z level={level} {message}"))
    }),
    later(100, "systemd", later::SYSTEMD, |r, _, message| {
        r.fill(&format!("Dec 10 {{clock}} node-7 systemd[1]: {message}"))
    }),
    later(100, "zookeeper", later::ZOOKEEPER, |r, level, message| {
        r.fill(&format!("2025-12-10 {{clock}},123 - {level}  [QuorumPeer[myid=1]/0.0.0.0:2181:FastLeaderElection@{{n}}] - {message}"))
    }),
    later(48, "nova", later::NOVA, |r, level, message| {
        r.fill(&format!(
            "2025-12-10 {{clock}}.123 {{n}} {level} nova.compute.manager [req-{{uuid}} - - - - -] {message}"
        ))
    }),
    later(86, "kubernetes events", later::EVENTS, |r, level, message| {
        r.fill(&format!("{{n}}s   {level}   pod/{{pod}}   {message}"))
    }),
    later(74, "rabbitmq", later::RABBITMQ, |r, level, message| {
        r.fill(&format!("2025-12-10 {{clock}}.123456+00:00 [{level}] <0.{{n}}.0> {message}"))
    }),
    later(80, "blue gene", later::BLUE_GENE, |r, level, message| {
        r.fill(&format!(
            "- 1117838570 2005.06.03 R{{n}}-M{{n}}-N{{n}}-C:J{{n}}-U{{n}} 2005-06-03-15.42.50.675872 R{{n}}-M{{n}}-N{{n}}-C:J{{n}}-U{{n}} RAS KERNEL {level} {message}"
        ))
    }),
    later(74, "mysql", later::MYSQL, |r, level, message| {
        r.fill(&format!("2025-12-10T{{clock}}.123456Z {{n}} [{level}] {message}"))
    }),
    later(59, "ceph", later::CEPH, |r, level, message| {
        r.fill(&format!("2025-12-10T{{clock}}.123456+0000 mon.a (mon.0) {{n}} : cluster [{level}] {message}"))
    }),
    later(96, "cassandra", later::CASSANDRA, |r, level, message| {
        let (thread, rest) = message.split_once(']').unwrap_or(("", message));
        let (place, rest) = rest.split_once(" - ").unwrap_or(("", rest));
        r.fill(&format!("{level} {thread}] 2025-12-10 {{clock}},123{place} - {rest}"))
    }),
    later(100, "haproxy", later::HAPROXY, |r, _, message| {
        r.fill(&format!("<134>Dec 10 {{clock}} haproxy[{{n}}]: {message}"))
    }),
    later(89, "vault", later::VAULT, |r, level, message| {
        r.fill(&format!("2025-12-10T{{clock}}.123Z [{level}]  {message}"))
    }),
];

const fn tuned(
    name: &'static str,
    templates: Templates,
    line: fn(&mut Random, &str, &str) -> String,
) -> Format {
    Format { name, use_of: Use::Tuned, templates, line }
}

const fn later(
    first_percent: u8,
    name: &'static str,
    templates: Templates,
    line: fn(&mut Random, &str, &str) -> String,
) -> Format {
    Format { name, use_of: Use::Later { first_percent }, templates, line }
}

impl Format {
    /// So many lines of it.
    pub fn lines(&self, seed: u64, count: usize) -> Vec<Labelled> {
        let mut random = Random::new(seed);
        // The share of a template falls with its place; every one has one.
        let weights: Vec<u64> = (0..self.templates.len() as u64).map(|at| 400 / (at + 2) + 4).collect();
        let total: u64 = weights.iter().sum();
        let mut line = |_| {
            let mut ticket = random.below(total);
            let truth = weights.iter().position(|&weight| {
                let found = ticket < weight;
                ticket = ticket.saturating_sub(weight);
                found
            });
            let truth = truth.unwrap_or(0);
            let (level, message) = self.templates[truth];
            Labelled { text: (self.line)(&mut random, level, message), truth }
        };
        (0..count).map(&mut line).collect()
    }
}
