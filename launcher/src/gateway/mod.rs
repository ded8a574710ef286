//! The LLM gateway: what workers reach language models through, in the way of OpenAI's API.
//!
//! ```text
//! worker ─ token of its attempt ─▶ server ─▶ attempts: open? budget? ─▶ forward: endpoint, next endpoint …
//!        ◀─ meter: every piece, as it comes, looked at and passed on ◀──────────────────────────┘
//!                        └─ ledger ─▶ one row of llm_calls
//! ```
//! Guarantees: only workers of open attempts of this installation are served; prompts and answers pass through and are
//! kept nowhere; every call that went to an endpoint leaves one row with counts, and counts that are our own estimate
//! say so; every wait and every buffer has a bound. All launchers of a host listen at the same port (SO_REUSEPORT) and
//! know every token, so a container that is adopted keeps its gateway. Deliberately absent: caching, prompt rewriting,
//! TLS.

mod attempts;
mod budget;
mod config;
mod connect;
mod forward;
mod health;
mod ledger;
mod meter;
mod reach;
mod refusal;
mod request;
mod route;
mod server;
mod start;
mod tls;
mod usage;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use cyberbrain_common::{
    db::{Pool, instance::Instance},
    stall::StallLimit,
    worker_token,
};
use cyberbrain_core::{ids::AttemptId, staging::LlmAccess};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{
    attempts::{Attempts, Known},
    budget::Limits,
    connect::EndpointClient,
    health::Health,
    ledger::Ledger,
    server::KIB,
};
use crate::connections::{self, Terms};

pub use config::{ConfigError, Endpoints, Problem};
pub(crate) use start::start;

const MAX_CONNECTIONS: usize = 4_096;
const BACKLOG: u32 = 1_024;
/// How long the head of a request may take, and a connection be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a worker may read nothing of what is there.
const STALL_LIMIT: Duration = Duration::from_secs(120);
/// How long open answers may take after the stop.
const DRAIN: Duration = Duration::from_secs(5);
/// Memory for requests that have not been answered yet.
const REQUEST_MEMORY_BYTES: usize = 64 * KIB * KIB;
/// How long the end of an attempt waits for its last rows.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// What OpenAI's clients look for.
const BASE_URL_VARIABLE: &str = "OPENAI_BASE_URL";
const KEY_VARIABLE: &str = "OPENAI_API_KEY";

/// What all connections share.
#[derive(Debug)]
struct Shared {
    secret: Vec<u8>,
    endpoints: Endpoints,
    clients: Vec<EndpointClient>,
    health: Health,
    attempts: Attempts,
    ledger: Ledger,
    request_memory: Arc<Semaphore>,
    pool: Pool,
}

/// A gateway that listens and does not answer yet.
pub struct Gateway {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What the drivers of attempts have to do with the gateway.
#[derive(Debug, Clone)]
pub struct Access {
    shared: Arc<Shared>,
    /// What workers are told.
    base_url: String,
}

/// Bounds on what one attempt may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Tokens in all; absent means no bound.
    pub tokens: Option<u64>,
    /// Calls at once.
    pub calls: u32,
}

impl Gateway {
    /// Listens, beside any sibling that does.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub fn bind(
        address: SocketAddr,
        endpoints: Endpoints,
        budget: Budget,
        instance: &Instance,
        pool: Pool,
    ) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let clients = endpoints
            .list
            .iter()
            .map(|endpoint| connect::client(endpoint.reach, endpoints.timeouts.connect, endpoint.tls.clone()))
            .collect();
        let shared = Shared {
            secret: instance.secret.clone(),
            clients,
            health: Health::new(endpoints.list.len()),
            attempts: Attempts::new(pool.clone(), Limits { tokens: budget.tokens, calls: budget.calls }),
            ledger: Ledger::new(),
            request_memory: Arc::new(Semaphore::new(REQUEST_MEMORY_BYTES / KIB)),
            endpoints,
            pool,
        };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// For workers that are told this address, e.g. `http://172.17.0.1:21234/v1`.
    #[must_use]
    pub fn access(&self, base_url: String) -> Access {
        Access { shared: Arc::clone(&self.shared), base_url }
    }

    /// Answers until `stop`; answers that are open then get five seconds. Returns when the last row is written.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { listener, shared } = self;
        let writing = CancellationToken::new();
        let writer = {
            let (shared, writing) = (Arc::clone(&shared), writing.clone());
            tokio::spawn(async move { shared.ledger.write(&shared.pool, writing).await })
        };
        let keeper = {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tokio::spawn(async move { shared.attempts.keep_up(stop).await })
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        let terms = Terms { server: "gateway", most: MAX_CONNECTIONS, drain: DRAIN };
        connections::serve(listener, terms, stop, move |stream| {
            let shared = Arc::clone(&shared);
            let service = service_fn(move |request| server::answer(Arc::clone(&shared), request));
            http.serve_connection(TokioIo::new(StallLimit::new(stream, STALL_LIMIT)), service)
        })
        .await;
        writing.cancel();
        let _ = writer.await;
        let _ = keeper.await;
    }
}

impl Access {
    /// What a worker is told in its input.
    pub(crate) fn told(&self) -> LlmAccess {
        let models = self.shared.endpoints.model_names().into_iter().map(str::to_owned).collect();
        LlmAccess::Gateway { base_url: self.base_url.clone(), models }
    }

    /// What a worker gets in its environment, under the names that OpenAI's clients look for. The key is nowhere else.
    #[must_use]
    pub fn environment(&self, attempt: AttemptId) -> [(&'static str, String); 2] {
        [
            (BASE_URL_VARIABLE, self.base_url.clone()),
            (KEY_VARIABLE, worker_token::sign(&self.shared.secret, attempt)),
        ]
    }

    /// Waits a little until the rows of this attempt, whose container has ended, are written: so that they are in the
    /// report of a Run that ends with it.
    pub(crate) async fn settle(&self, attempt: AttemptId) {
        let settled = async {
            if self.shared.attempts.idle(attempt).await == Known::Yes {
                self.shared.ledger.settled().await;
            }
        };
        if timeout(SETTLE_LIMIT, settled).await.is_err() {
            tracing::debug!("the attempt's last calls to language models are not on record yet");
        }
    }

    /// The attempt has ended: its token is good for nothing any more.
    pub(crate) fn close(&self, attempt: AttemptId) {
        self.shared.attempts.close(attempt);
    }
}
