//! Whom PostgreSQL runs as. It refuses to run as root, so root steps down to `postgres`, or to `nobody`.

use std::{fs, io, path::Path, time::Duration};

use tokio::process::Command;

use super::{Error, command};

/// The user that owns the data and runs the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// Whoever runs this process.
    Own { uid: u32 },
    /// We are root; this is whom the server runs as.
    Other { uid: u32, gid: u32, name: String },
}

impl Account {
    /// The caller, or as root the user `postgres`, or else `nobody`.
    ///
    /// # Errors
    /// [`Error::NoAccount`] when root finds neither.
    pub(super) fn choose() -> Result<Self, Error> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self::Own { uid });
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::from_users(&users).ok_or(Error::NoAccount)
    }

    fn from_users(users: &str) -> Option<Self> {
        ["postgres", "nobody"].into_iter().find_map(|wanted| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next().filter(|name| *name == wanted)?;
                let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
                let gid = fields.next()?.parse().ok()?;
                Some(Self::Other { uid, gid, name: name.to_owned() })
            })
        })
    }

    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Own { uid } | Self::Other { uid, .. } => *uid,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Own { uid } => format!("uid {uid}"),
            Self::Other { name, .. } => name.clone(),
        }
    }

    /// Makes the child of `command` this user, without supplementary groups.
    pub(super) fn apply(&self, command: &mut Command) {
        match self {
            Self::Own { .. } => {}
            Self::Other { uid, gid, .. } => {
                command.uid(*uid).gid(*gid);
            }
        }
    }

    /// Hands `path` itself to this user.
    pub(super) fn take(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Own { .. } => Ok(()),
            Self::Other { uid, gid, .. } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid)),
        }
    }

    /// Whether this user can enter `directory` and write there. Asked of the system, by trying: modes, ACLs
    /// and mount options of all parents count.
    pub(super) async fn can_use(&self, directory: &Path) -> Result<bool, Error> {
        let mut probe = command::command(Path::new("/bin/sh"));
        probe.arg("-c").arg(r#"cd -- "$1" && : >.probe && rm .probe"#).arg("probe").arg(directory);
        self.apply(&mut probe);
        Ok(command::run(probe, Duration::from_secs(10)).await?.status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn root_steps_down_to_postgres_then_nobody_and_never_to_root() {
        let root = "root:x:0:0:root:/root:/bin/bash\n";
        let nobody = "nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n";
        let postgres = "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";
        let found = |users: &str| Account::from_users(users).map(|account| (account.name(), account.uid()));

        assert_eq!(found(&[root, nobody, postgres].concat()), Some(("postgres".to_owned(), 101)));
        assert_eq!(found(&[root, nobody].concat()), Some(("nobody".to_owned(), 65534)));
        assert_eq!(found(root), None);
        assert_eq!(found("postgres:x:0:0::/:/bin/sh\n"), None);
        assert_eq!(found("postgres:x\nnobody:broken"), None);
    }
}
