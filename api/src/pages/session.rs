//! The cookie that stands for a key.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use clap::ValueEnum;
use cyberbrain_common::{
    keys::Principal,
    sessions::{self, Token},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    app::App,
    problem::{Kind, Problem},
};

/// Holds the token of a session.
pub(super) const SESSION: Cookie = Cookie { name: "cyberbrain_session", path: "/" };
/// Holds a token for the form of the login, before there is a session.
pub(super) const LOGIN: Cookie = Cookie { name: "cyberbrain_login", path: "/login" };

/// Whether cookies may travel over plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PageCookies {
    /// Only over TLS where the api serves it, or a proxy says by X-Forwarded-Proto that the browser uses it
    #[default]
    Auto,
    /// Only over TLS
    Secure,
    /// Also over plain HTTP
    Plain,
}

impl PageCookies {
    /// What follows for an api that serves TLS, or does not.
    pub(crate) fn where_tls_is(self, tls: Option<&TlsAcceptor>) -> Self {
        match (self, tls) {
            (Self::Auto, Some(_)) => Self::Secure,
            (Self::Auto | Self::Secure | Self::Plain, _) => self,
        }
    }

    fn secure(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Secure => true,
            Self::Plain => false,
            Self::Auto => headers
                .get("x-forwarded-proto")
                .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https")),
        }
    }
}

/// A cookie of ours.
pub(super) struct Cookie {
    name: &'static str,
    path: &'static str,
}

impl Cookie {
    /// The token in it, if there is one.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<Token> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| if name == self.name { value.parse().ok() } else { None })
    }

    /// `Set-Cookie` with this token.
    pub(super) fn set(&self, token: &Token, seconds: u32, app: &App, headers: &HeaderMap) -> HeaderValue {
        self.line(&token.expose(), seconds, app, headers)
    }

    /// `Set-Cookie` that makes the browser forget it.
    pub(super) fn forget(&self, app: &App, headers: &HeaderMap) -> HeaderValue {
        self.line("", 0, app, headers)
    }

    fn line(&self, value: &str, seconds: u32, app: &App, headers: &HeaderMap) -> HeaderValue {
        let Self { name, path } = self;
        let secure = if app.page_cookies().secure(headers) { "; Secure" } else { "" };
        let line =
            format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        HeaderValue::try_from(line).expect("base64 and plain words are a header value")
    }
}

/// A session that lasts.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub token: Token,
    pub principal: Principal,
}

/// The session of a request; `None` without one, or when it has ended.
pub(crate) async fn find(app: &App, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    let Some(token) = SESSION.read(headers) else { return Ok(None) };
    let mut connection = app.connection().await?;
    let principal = sessions::find(&mut connection, &token).await?;
    Ok(principal.map(|principal| Session { token, principal }))
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let session = parts.extensions.get::<Self>().cloned();
        session.ok_or_else(|| Problem::new(Kind::Internal, "this page needs a session"))
    }
}
