//! Who asks, and whether they may: one layer per route, from the table.
//!
//! It runs before the body is read, so that nobody without a key makes us read megabytes. Query parameters that a route
//! does not know are refused here too, after the key.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{Extensions, HeaderMap, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use cyberbrain_common::keys::{self, Principal, Scope};

use crate::{
    app::App,
    extract::Query,
    pages::{self, Session},
    problem::{Kind, Problem},
    routes::{Access, Route},
    serve::Peer,
};

/// Stands for the address of a request that came over no connection of ours.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Lets the request through, with its [`Caller`] as an extension; on pages with the [`Session`] too.
pub(crate) async fn guard(
    State((app, route)): State<(App, &'static Route)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Address(from) = Address::of(request.extensions());
    let response = match check(&app, route, from, request.headers(), request.uri()).await {
        Ok(Passed::Anybody) => next.run(request).await,
        Ok(Passed::Key(principal)) => {
            request.extensions_mut().insert(Caller(principal));
            next.run(request).await
        }
        Ok(Passed::Browser(session)) => {
            request.extensions_mut().insert(Caller(session.principal.clone()));
            request.extensions_mut().insert(session);
            next.run(request).await
        }
        Ok(Passed::ToTheLogin) => pages::to("/login"),
        Err(problem) => problem.into_response(),
    };
    if route.is_for_browsers() { pages::in_html(response) } else { response }
}

/// Who asks.
enum Passed {
    Anybody,
    Key(Principal),
    Browser(Session),
    /// A browser without a session.
    ToTheLogin,
}

async fn check(
    app: &App,
    route: &Route,
    from: IpAddr,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Passed, Problem> {
    let passed = match route.access {
        Access::Open => return Ok(Passed::Anybody),
        Access::Scope(needed) => {
            let principal = authenticate(app, from, bearer(headers)).await?;
            if !principal.scope.covers(needed) {
                return Err(forbidden(&principal, needed));
            }
            Passed::Key(principal)
        }
        // Every scope may look.
        Access::Page => match pages::find_session(app, headers).await? {
            Some(session) => {
                if let Some(limits) = app.limits() {
                    limits.request(session.principal.key)?;
                }
                Passed::Browser(session)
            }
            None => return Ok(Passed::ToTheLogin),
        },
    };
    Query::check_known(uri, route.query)?;
    Ok(passed)
}

/// Who holds this key. Too many wrong ones from an address shut it out for a while.
pub(crate) async fn authenticate(
    app: &App,
    from: IpAddr,
    key: Result<&str, Problem>,
) -> Result<Principal, Problem> {
    if let Some(limits) = app.limits() {
        limits.admit(from)?;
    }
    let found = match key {
        Ok(key) => {
            let mut connection = app.connection().await?;
            keys::authenticate(&mut connection, key).await.map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    match (found, app.limits()) {
        (Ok(principal), Some(limits)) => limits.request(principal.key).map(|()| principal),
        (Err(problem), Some(limits)) if problem.kind == Kind::Unauthorized => {
            limits.failed(from)?;
            Err(problem)
        }
        (found, _) => found,
    }
}

/// The key of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::new(Kind::Unauthorized, "send the header Authorization: Bearer <API key>");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(Problem::new(Kind::Unauthorized, "there is more than one Authorization header"));
    }
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(missing()) }
}

fn forbidden(principal: &Principal, needed: Scope) -> Problem {
    let Principal { name, scope, .. } = principal;
    Problem::new(
        Kind::Forbidden,
        format!("key {name} has the scope {scope}; this needs {needed}: ask an admin for another key"),
    )
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address(pub IpAddr);

impl Address {
    fn of(extensions: &Extensions) -> Self {
        Self(extensions.get::<Peer>().map_or(UNKNOWN, |peer| peer.0.ip()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Who was let through.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Kind::Unauthorized, "this route is for known callers only"))
    }
}
