//! Who we are to a registry: a file of the form of Docker's `config.json`.
//!
//! Guarantees: what is read here has no `Debug` or `Display` that shows it, and goes to the engine only. The file is
//! read before each pull, so that a changed password counts at once. Deliberately absent: credential helpers, which
//! are programs that somebody else wrote.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

/// More than any such file has.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// What the file calls the registry of names without one.
const HUB: [&str; 3] = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];

/// Where the logins are.
#[derive(Debug, Clone, Default)]
pub struct RegistryAuth {
    file: Option<PathBuf>,
}

/// How to log in to one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub registry: String,
    pub username: Option<String>,
    pub password: Option<String>,
    pub identity_token: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Why there is no login. Nothing of the file's content is in it.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("{} can't be read ({kind}); correct --registry-auth-file", path.display())]
    Unreadable { path: PathBuf, kind: io::ErrorKind },
    #[error("{} is not of the form of Docker's config.json (line {line}, column {column})", path.display())]
    Form { path: PathBuf, line: usize, column: usize },
    #[error("{} says nothing usable of the registry {registry}: give auth, or username and password", path.display())]
    Entry { path: PathBuf, registry: String },
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl RegistryAuth {
    /// Reads the file once, so that a wrong one is told at the start.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn new(file: Option<PathBuf>) -> Result<Self, AuthError> {
        if let Some(file) = &file {
            read(file)?;
        }
        Ok(Self { file })
    }

    /// The login for the registry of this image; `None` if the file has none. Reads the disk.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn login_for(&self, image: &str) -> Result<Option<Login>, AuthError> {
        let Some(path) = &self.file else { return Ok(None) };
        let registry = registry_of(image);
        let mut config = read(path)?;
        let names = if registry == HUB[2] { HUB.to_vec() } else { vec![registry] };
        let schemes = ["", "https://", "http://"];
        let spelled = names.iter().flat_map(|name| schemes.map(|scheme| format!("{scheme}{name}")));
        let Some(entry) = spelled.into_iter().find_map(|name| config.auths.remove(&name)) else {
            return Ok(None);
        };
        let unusable = || AuthError::Entry { path: path.clone(), registry: registry.to_owned() };
        let (username, password) = match (entry.username, entry.password, entry.auth) {
            (Some(username), Some(password), _) => (Some(username), Some(password)),
            (_, _, Some(auth)) if !auth.is_empty() => {
                let pair = STANDARD.decode(auth.trim()).ok().and_then(|pair| String::from_utf8(pair).ok());
                let pair = pair.ok_or_else(unusable)?;
                let (username, password) = pair.split_once(':').ok_or_else(unusable)?;
                (Some(username.to_owned()), Some(password.to_owned()))
            }
            _ if entry.identitytoken.is_some() => (None, None),
            _ => return Err(unusable()),
        };
        let registry = registry.to_owned();
        Ok(Some(Login { registry, username, password, identity_token: entry.identitytoken }))
    }
}

fn read(path: &Path) -> Result<Config, AuthError> {
    let unreadable = |error: io::Error| AuthError::Unreadable { path: path.to_owned(), kind: error.kind() };
    let mut text = Vec::new();
    File::open(path).map_err(unreadable)?.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(unreadable)?;
    serde_json::from_slice(&text).map_err(|error| AuthError::Form {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}

/// The first step of a name is a registry if it looks like a host.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        Some(_) | None => HUB[2],
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn auth(text: &str) -> (tempfile::NamedTempFile, Result<RegistryAuth, AuthError>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let auth = RegistryAuth::new(Some(file.path().to_owned()));
        (file, auth)
    }

    #[test]
    fn the_login_of_the_images_registry_is_found_and_never_shown() {
        let text = format!(
            r#"{{"auths": {{"r.local:5000": {{"auth": "{}"}}, "https://plain.local": {{"username": "u2", "password": "hunter3"}},
                "https://index.docker.io/v1/": {{"auth": "{}"}}, "broken.local": {{"auth": "%%"}}, "empty.local": {{}}}},
                "credsStore": "desktop"}}"#,
            STANDARD.encode("u1:hunter2:x"),
            STANDARD.encode("hub:hunter4"),
        );
        let (_file, auth) = auth(&text);
        let auth = auth.unwrap();
        for (image, registry, username, password) in [
            ("r.local:5000/team/a@sha256:00", "r.local:5000", "u1", "hunter2:x"),
            ("plain.local/a@sha256:00", "plain.local", "u2", "hunter3"),
            ("library/a@sha256:00", "docker.io", "hub", "hunter4"),
            ("a@sha256:00", "docker.io", "hub", "hunter4"),
        ] {
            let login = auth.login_for(image).unwrap().unwrap();
            assert_eq!(
                (login.registry.as_str(), login.username.as_deref(), login.password.as_deref()),
                (registry, Some(username), Some(password))
            );
            assert!(!format!("{login:?}").contains("hunter"), "{login:?}");
        }
        assert_eq!(auth.login_for("other.local/a@sha256:00").unwrap(), None);
        for image in ["broken.local/a", "empty.local/a"] {
            let error = auth.login_for(image).unwrap_err().to_string();
            assert!(error.contains("says nothing usable"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_none_is_told_at_the_start_without_its_content() {
        let (_file, wrong) = auth("{\"auths\": {\"r\": {\"password\": \"hunter2\" oops}}");
        let error = wrong.unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2") && error.to_string().contains("line 1"),
            "{error}"
        );
        let error = RegistryAuth::new(Some("/does/not/exist".into())).unwrap_err().to_string();
        assert!(error.contains("--registry-auth-file"), "{error}");
    }
}
