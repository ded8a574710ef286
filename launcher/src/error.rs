//! Why a launcher can't start, or has to end.

use std::{io, net::SocketAddr, path::PathBuf};

use cyberbrain_common::{
    db::{self, hosts::RegisterError},
    telemetry,
};

use crate::{gateway::ConfigError, gpu::SpecError, preflight, registry_auth::AuthError, runtime};

/// Why a launcher can't start, or has to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("logs or metrics can't be set up")]
    Telemetry(#[from] telemetry::Error),
    #[error("the database can't be used; check DATABASE_URL and whether it has been migrated")]
    Database(#[from] db::Error),
    #[error("this host is not registered")]
    Register(#[from] RegisterError),
    #[error(
        "the container engine can't be used; start it, check its address (DOCKER_HOST) and the rights of this user on its socket, or choose --runtime process"
    )]
    Engine(#[from] runtime::Error),
    #[error("--fake-gpus can't be understood")]
    Gpus(#[from] SpecError),
    #[error("{} can't be used; choose other directories with --data-dir and --logs", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{given:?} is no name for a host: use letters, digits, '.', '_' and '-', 63 at most, and set CYBERBRAIN_HOST"
    )]
    HostName { given: String },
    #[error("workers can't run here; --skip-preflight starts nevertheless")]
    Preflight(#[from] preflight::Error),
    #[error("the ready file can't be written")]
    Announce(#[source] io::Error),
    #[error(
        "{address} can't be bound for the file server; choose another address with CYBERBRAIN_FILES_BIND or --files-bind"
    )]
    Files {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{} can't be used for secrets or models; correct --secrets-dir or --model-cache", path.display())]
    Grant {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    RegistryAuth(#[from] AuthError),
    #[error("--model-cache names {name} twice")]
    CacheTwice { name: String },
    #[error(transparent)]
    LlmEndpoints(#[from] ConfigError),
    #[error(
        "{address} can't be bound for the LLM gateway; choose another address with CYBERBRAIN_LLM_BIND or --llm-bind (in a container: 0.0.0.0, with the port published where workers see it, and --llm-url saying where)"
    )]
    Gateway {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(
        "the engine has no network \"bridge\" on which workers could find the LLM gateway; say where it is to listen and how workers reach it with --llm-bind and --llm-url"
    )]
    NoBridge,
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
    #[error("this launcher was ended from outside: its row says so. Start it again to register anew")]
    Ended,
}
