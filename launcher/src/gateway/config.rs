//! The endpoints file: what it says, and whether it can be used.
//!
//! ```json
//! {
//!   "endpoints": [
//!     {"name": "gpu-box", "kind": "vllm", "base_url": "http://192.168.1.20:8000/v1",
//!      "models": {"default": "Qwen/Qwen3-8B"}, "key_file": "/etc/cyberbrain/vllm.key"},
//!     {"name": "spare", "kind": "ollama", "models": {"default": "qwen3:8b"}}
//!   ],
//!   "connect_timeout_seconds": 3, "answer_timeout_seconds": 600, "idle_timeout_seconds": 60
//! }
//! ```
//! Keys are read from a file or the environment, once, and are shown nowhere. Deliberately absent: keys in this file.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cyberbrain_core::text_enum;
use hyper::{Uri, header::HeaderValue, http::uri::Scheme};
use serde::Deserialize;
use tokio_rustls::rustls::ClientConfig;

use super::{
    reach::Reach,
    tls::{self, BadRoots},
};

const MAX_ENDPOINTS: usize = 64;
const MAX_MODELS: usize = 256;
/// As in the database.
const MAX_ENDPOINT_NAME: usize = 64;
const MAX_MODEL_NAME: usize = 200;
const MAX_TIMEOUT_SECONDS: u32 = 24 * 3_600;

text_enum! {
    /// What answers at an endpoint.
    Kind("kind of endpoint") {
        Vllm = "vllm",
        LlamaCpp = "llama_cpp",
        Ollama = "ollama",
        /// Anything else that speaks OpenAI's API.
        OpenAi = "openai",
    }
}

impl Kind {
    /// Where it listens unless told otherwise.
    const fn usual_url(self) -> Option<&'static str> {
        match self {
            Self::Vllm => Some("http://127.0.0.1:8000/v1"),
            Self::LlamaCpp => Some("http://127.0.0.1:8080/v1"),
            Self::Ollama => Some("http://127.0.0.1:11434/v1"),
            Self::OpenAi => None,
        }
    }
}

/// A usable configuration.
#[derive(Debug, Clone)]
pub struct Endpoints {
    pub(super) list: Vec<Endpoint>,
    pub(super) timeouts: Timeouts,
}

/// How long the gateway waits for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeouts {
    pub connect: Duration,
    /// Until the head of the answer is there; without streaming that is when all of it has been generated.
    pub answer: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
}

/// One endpoint.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub name: String,
    pub kind: Kind,
    /// `http://host[:port]` or `https://…`, and a path without a slash at its end.
    pub base_url: String,
    pub models: Models,
    /// The whole value of the header `Authorization`; marked sensitive.
    pub authorization: Option<HeaderValue>,
    pub reach: Reach,
    /// For `https`.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Names for workers, and what the endpoint calls each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Models(BTreeMap<String, String>);

impl Models {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Why the endpoints file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{} can't be read; check the path given with --llm-endpoints", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is no endpoints file; docs/OPERATIONS.md shows one", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{}: {problem}", path.display())]
    Wrong {
        path: PathBuf,
        #[source]
        problem: Problem,
    },
}

/// What is wrong with a file that can be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{count} endpoints; name 1 to {MAX_ENDPOINTS}")]
    EndpointCount { count: usize },
    #[error(
        "{given:?} is no name for an endpoint: use 1 to {MAX_ENDPOINT_NAME} of a-z, 0-9, '.', '_' and '-'"
    )]
    EndpointName { given: String },
    #[error("two endpoints are called {name}; give each its own name")]
    NameTwice { name: String },
    #[error("endpoint {name}: {given:?} is no kind; known are vllm, llama_cpp, ollama and openai")]
    Kind { name: String, given: String },
    #[error("endpoint {name}: say where it is with base_url; for the kind openai there is no usual address")]
    NoUrl { name: String },
    #[error(
        "endpoint {name}: base_url must look like http://192.168.1.20:8000/v1, or the same with https: no user, and no query"
    )]
    Url { name: String },
    #[error(
        "endpoint {name}: {address} is not on this machine or a private network; \"allow_remote\": true sends prompts there all the same"
    )]
    Remote { name: String, address: IpAddr },
    #[error(
        "endpoint {name}: {count} models; name 1 to {MAX_MODELS}, as {{\"name for workers\": \"name at the endpoint\"}}"
    )]
    ModelCount { name: String, count: usize },
    #[error(
        "endpoint {name}: {given:?} is no name of a model: use 1 to {MAX_MODEL_NAME} visible ASCII characters"
    )]
    ModelName { name: String, given: String },
    #[error("endpoint {name}: give key_file or key_env, not both")]
    TwoKeys { name: String },
    #[error("endpoint {name}: its key can't be read from {from}")]
    NoKey { name: String, from: String },
    #[error("endpoint {name}: the key in {from} is empty or holds characters that no header may have")]
    BadKey { name: String, from: String },
    #[error("endpoint {name}: ca_file {}: {why}", path.display())]
    Roots { name: String, path: PathBuf, why: BadRoots },
    #[error("endpoint {name}: ca_file says whom to believe of a base_url with https; this one is http")]
    RootsInTheClear { name: String },
    #[error("{field} is {given}; it must be 1 to {MAX_TIMEOUT_SECONDS}")]
    Timeout { field: &'static str, given: u32 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    endpoints: Vec<EndpointText>,
    #[serde(default = "three")]
    connect_timeout_seconds: u32,
    #[serde(default = "six_hundred")]
    answer_timeout_seconds: u32,
    #[serde(default = "sixty")]
    idle_timeout_seconds: u32,
}

const fn three() -> u32 {
    3
}
const fn six_hundred() -> u32 {
    600
}
const fn sixty() -> u32 {
    60
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointText {
    name: String,
    kind: String,
    base_url: Option<String>,
    models: BTreeMap<String, String>,
    key_file: Option<PathBuf>,
    key_env: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    allow_remote: bool,
}

impl Endpoints {
    /// Reads and checks the file; keys from where it says.
    ///
    /// # Errors
    /// [`ConfigError`], in one sentence that says what to do.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let file: FileText = serde_json::from_slice(&text)
            .map_err(|source| ConfigError::Malformed { path: path.to_owned(), source })?;
        check(file, |name| std::env::var(name).ok())
            .map_err(|problem| ConfigError::Wrong { path: path.to_owned(), problem })
    }

    /// The names that workers may use, each once.
    pub(super) fn model_names(&self) -> BTreeSet<&str> {
        self.list.iter().flat_map(|endpoint| endpoint.models.0.keys().map(String::as_str)).collect()
    }

    /// The first endpoint that serves it.
    pub(super) fn first_for(&self, model: &str) -> Option<&Endpoint> {
        self.list.iter().find(|endpoint| endpoint.models.get(model).is_some())
    }
}

fn check(file: FileText, env: impl Fn(&str) -> Option<String>) -> Result<Endpoints, Problem> {
    let count = file.endpoints.len();
    if count == 0 || count > MAX_ENDPOINTS {
        return Err(Problem::EndpointCount { count });
    }
    let timeouts = Timeouts {
        connect: seconds("connect_timeout_seconds", file.connect_timeout_seconds)?,
        answer: seconds("answer_timeout_seconds", file.answer_timeout_seconds)?,
        idle: seconds("idle_timeout_seconds", file.idle_timeout_seconds)?,
    };
    let mut names = BTreeSet::new();
    let mut list = Vec::new();
    for text in file.endpoints {
        let endpoint = check_endpoint(text, &env)?;
        if !names.insert(endpoint.name.clone()) {
            return Err(Problem::NameTwice { name: endpoint.name });
        }
        list.push(endpoint);
    }
    Ok(Endpoints { list, timeouts })
}

fn check_endpoint(text: EndpointText, env: impl Fn(&str) -> Option<String>) -> Result<Endpoint, Problem> {
    let name = text.name;
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MAX_ENDPOINT_NAME || !name.bytes().all(fits) {
        return Err(Problem::EndpointName { given: name });
    }
    let kind: Kind = text.kind.parse().map_err(|_| Problem::Kind { name: name.clone(), given: text.kind })?;
    let reach = if text.allow_remote { Reach::Anywhere } else { Reach::LocalOnly };
    let given = text.base_url.or_else(|| kind.usual_url().map(str::to_owned));
    let given = given.ok_or_else(|| Problem::NoUrl { name: name.clone() })?;
    let (base_url, scheme) = check_url(&name, &given, reach)?;
    let tls = trust(&name, &scheme, text.ca_file)?;
    let count = text.models.len();
    if count == 0 || count > MAX_MODELS {
        return Err(Problem::ModelCount { name, count });
    }
    let is_model = |text: &str| {
        !text.is_empty() && text.len() <= MAX_MODEL_NAME && text.bytes().all(|c| c.is_ascii_graphic())
    };
    if let Some(bad) =
        text.models.iter().flat_map(|(ours, theirs)| [ours, theirs]).find(|text| !is_model(text))
    {
        return Err(Problem::ModelName { name, given: bad.clone() });
    }
    let authorization = key(&name, text.key_file, text.key_env, env)?;
    Ok(Endpoint { name, kind, base_url, models: Models(text.models), authorization, reach, tls })
}

/// The address without a slash at its end. One that is written as numbers is held to `reach` here, so that a mistake is
/// known at the start; a name is held to it at each connection.
fn check_url(name: &str, given: &str, reach: Reach) -> Result<(String, Scheme), Problem> {
    let wrong = || Problem::Url { name: name.to_owned() };
    let url: Uri = given.parse().map_err(|_| wrong())?;
    let authority = url.authority().ok_or_else(wrong)?;
    let scheme =
        url.scheme().filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme)).ok_or_else(wrong)?;
    let plain = url.query().is_none()
        && !given.contains('#')
        && !authority.as_str().contains('@')
        && !authority.host().is_empty();
    if !plain {
        return Err(wrong());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) if !reach.allows(address) => Err(Problem::Remote { name: name.to_owned(), address }),
        Ok(_) | Err(_) => Ok((given.trim_end_matches('/').to_owned(), scheme.clone())),
    }
}

/// Whom an endpoint with `https` is believed by.
fn trust(name: &str, scheme: &Scheme, file: Option<PathBuf>) -> Result<Option<Arc<ClientConfig>>, Problem> {
    match (*scheme == Scheme::HTTPS, file) {
        (true, file) => tls::config(file.as_deref()).map(Some).map_err(|why| Problem::Roots {
            name: name.to_owned(),
            path: file.unwrap_or_default(),
            why,
        }),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(Problem::RootsInTheClear { name: name.to_owned() }),
    }
}

fn key(
    name: &str,
    file: Option<PathBuf>,
    variable: Option<String>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<HeaderValue>, Problem> {
    let (from, text) = match (file, variable) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(Problem::TwoKeys { name: name.to_owned() }),
        (Some(path), None) => (format!("the file {}", path.display()), std::fs::read_to_string(path).ok()),
        (None, Some(variable)) => (format!("the environment variable {variable}"), env(&variable)),
    };
    let text = text.ok_or_else(|| Problem::NoKey { name: name.to_owned(), from: from.clone() })?;
    let key = text.trim();
    let value = HeaderValue::from_str(&format!("Bearer {key}"));
    match value {
        Ok(mut value) if !key.is_empty() => {
            value.set_sensitive(true);
            Ok(Some(value))
        }
        Ok(_) | Err(_) => Err(Problem::BadKey { name: name.to_owned(), from }),
    }
}

fn seconds(field: &'static str, given: u32) -> Result<Duration, Problem> {
    if given == 0 || given > MAX_TIMEOUT_SECONDS {
        return Err(Problem::Timeout { field, given });
    }
    Ok(Duration::from_secs(given.into()))
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;

    pub(in crate::gateway) fn endpoint(name: &str, models: &[(&str, &str)]) -> Endpoint {
        Endpoint {
            name: name.to_owned(),
            kind: Kind::Vllm,
            base_url: "http://127.0.0.1:8000/v1".to_owned(),
            models: Models(models.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()),
            authorization: None,
            reach: Reach::LocalOnly,
            tls: None,
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
