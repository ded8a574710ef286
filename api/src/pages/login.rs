//! In and out: a key is shown once, and a session stands for it from then on.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use cyberbrain_common::sessions::{self, LIFETIME_SECONDS, Token};

use super::{
    html,
    problem::with_head_of,
    session::{LOGIN, SESSION, Session, find},
    to,
};
use crate::{
    app::App,
    auth::{self, Address},
    extract::FormBody,
    problem::{Kind, Problem},
};

/// How long the form of the login can be sent.
const FORM_SECONDS: u32 = 60 * 60;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    form_token: String,
    /// Why the last try failed.
    refused: Option<String>,
}

/// `GET /login`.
pub(crate) async fn form(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    if find(&app, &headers).await?.is_some() {
        return Ok(to("/"));
    }
    page(&app, &headers, None)
}

/// `POST /login`: 303 with the session, or the form again with what was wrong.
pub(crate) async fn login(
    State(app): State<App>,
    Address(from): Address,
    headers: HeaderMap,
    body: FormBody,
) -> Result<Response, Problem> {
    body.only(&["csrf", "key"])?;
    check_form(&body, LOGIN.read(&headers).as_ref())?;
    let principal = match auth::authenticate(&app, from, Ok(body.field("key").trim())).await {
        Ok(principal) => principal,
        Err(problem) => return page(&app, &headers, Some(problem)),
    };
    let token = sessions::open(&mut *app.connection().await?, &principal).await?;
    let mut response = to("/");
    set(&mut response, SESSION.set(&token, LIFETIME_SECONDS, &app, &headers));
    set(&mut response, LOGIN.forget(&app, &headers));
    Ok(response)
}

/// `POST /logout`.
pub(crate) async fn logout(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    body: FormBody,
) -> Result<Response, Problem> {
    body.only(&["csrf"])?;
    check_form(&body, Some(&session.token))?;
    sessions::close(&mut *app.connection().await?, &session.token, &session.principal).await?;
    let mut response = to("/login");
    set(&mut response, SESSION.forget(&app, &headers));
    Ok(response)
}

fn page(app: &App, headers: &HeaderMap, refused: Option<Problem>) -> Result<Response, Problem> {
    let known = LOGIN.read(headers);
    let token = known.unwrap_or_else(Token::generate);
    let detail = refused.as_ref().map(|problem| problem.detail.clone());
    let mut response = html(&LoginPage { form_token: token.form_token(), refused: detail })?;
    if let Some(problem) = refused {
        response = with_head_of(&problem.into_response(), response);
    }
    set(&mut response, LOGIN.set(&token, FORM_SECONDS, app, headers));
    Ok(response)
}

fn set(response: &mut Response, cookie: HeaderValue) {
    response.headers_mut().append(header::SET_COOKIE, cookie);
}

/// Refuses a form that is not of a page that was made for this browser.
fn check_form(body: &FormBody, token: Option<&Token>) -> Result<(), Problem> {
    if token.is_some_and(|token| token.made_form(body.field("csrf"))) {
        return Ok(());
    }
    let detail =
        "the form is too old or was not made here: open the page again, allow its cookie, and send it anew";
    Err(Problem::new(Kind::Forbidden, detail))
}
