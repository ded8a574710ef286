//! A PostgreSQL of our own: as root and not, reused, with one owner, and gone with it.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use cyberbrain_common::postgres::{self, Error, Install, Notice, Options, Place, Postgres, Search, Server};
use cyberbrain_testkit::{Need, TestDb, require, wait_until};
use rustix::process::Signal;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    leash::watchdog_of,
    owner::{Owner, runs, signal},
};

const LIMIT: Duration = Duration::from_secs(30);

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A place that others can enter, as /var/lib or a home is.
fn open_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn options(directory: &Path) -> Options {
    Options { place: Place::Directory(directory.to_owned()), ..Options::temporary() }
}

async fn open(options: &Options) -> (Box<Server>, Vec<Notice>) {
    let notices = Mutex::new(Vec::new());
    let database =
        postgres::open(options, &|notice| notices.lock().unwrap().push(notice.clone())).await.unwrap();
    match database {
        Postgres::Own(server) => (server, notices.into_inner().unwrap()),
        Postgres::Given { .. } => panic!("no URL was given"),
    }
}

async fn fails(options: &Options) -> Error {
    postgres::open(options, &|_| {}).await.expect_err("this can't be opened")
}

async fn ask(url: &str, query: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let answer: String = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

async fn run(url: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn answers_durably_and_never_runs_as_root() {
    if !require(Need::Postgres) {
        return;
    }
    let directory = open_directory();
    let path = directory.path().join("postgres");
    let (server, notices) =
        open(&Options { max_connections: 40, ..Options::lasting(None, path.clone()) }).await;

    assert_eq!(notices, [Notice::Creating { path: path.clone() }]);
    assert_eq!(
        ask(server.url(), "select current_database() || ' ' || current_user").await,
        "cyberbrain cyberbrain"
    );
    let settings = "select current_setting('fsync') || ' ' || current_setting('synchronous_commit') || ' '
        || current_setting('max_connections') || ' ' || current_setting('server_encoding') || ' '
        || datcollate from pg_database where datname = current_database()";
    assert_eq!(ask(server.url(), settings).await, "on on 40 UTF8 C.UTF-8");
    assert_ne!(fs::metadata(format!("/proc/{}", server.pid())).unwrap().uid(), 0);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(path.join("password")).unwrap().mode() & 0o777, 0o600);

    // Neither door opens without the password.
    let stranger = server.url().replace("cyberbrain:", "cyberbrain:x");
    assert!(PgConnection::connect(&stranger).await.is_err());
    let socket = server.socket_dir().join(format!(".s.PGSQL.{}", server.port()));
    assert!(socket.exists());

    let pid = server.pid();
    server.stop().await.unwrap();
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_second_start_has_the_data_of_the_first() {
    if !require(Need::Postgres) {
        return;
    }
    let directory = open_directory();
    let path = directory.path().join("postgres");
    let (server, _) = open(&options(&path)).await;
    run(server.url(), "create table kept as select 'still here' as word").await;
    server.stop().await.unwrap();

    let (server, notices) = open(&options(&path)).await;
    assert_eq!(notices, []);
    assert_eq!(ask(server.url(), "select word from kept").await, "still here");
    let version = server.data_dir().join("PG_VERSION");
    server.stop().await.unwrap();

    // Data that no installed version can read is left as it is.
    fs::write(&version, "12\n").unwrap();
    let error = fails(&options(&path)).await;
    assert!(matches!(error, Error::OtherVersion { data: 12, .. }), "{error:?}");
    assert!(version.exists());
}

#[tokio::test]
async fn a_place_under_a_closed_parent_is_moved_and_found_again() {
    if !require(Need::Postgres) {
        return;
    }
    // As /root is.
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let wanted = closed.path().join("data/postgres");
    let (server, notices) = open(&options(&wanted)).await;
    let data = server.data_dir();
    run(server.url(), "create table kept as select 'still here' as word").await;
    server.stop().await.unwrap();

    if root() {
        let used = data.parent().unwrap().to_owned();
        assert!(used.starts_with("/var/lib/cyberbrain"), "{used:?}");
        assert!(
            notices.contains(&Notice::Elsewhere { wanted: wanted.clone(), used: used.clone() }),
            "{notices:?}"
        );
        assert_eq!(fs::read_to_string(wanted.join("LOCATION")).unwrap().trim(), used.to_str().unwrap());
    } else {
        assert_eq!(data, wanted.join("data"));
    }
    let (server, _) = open(&options(&wanted)).await;
    assert_eq!(server.data_dir(), data);
    assert_eq!(ask(server.url(), "select word from kept").await, "still here");
    server.stop().await.unwrap();
    fs::remove_dir_all(data.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn works_for_an_unprivileged_user() {
    if !require(Need::Postgres) || !root() {
        // As somebody else than root, every other test here shows it.
        return;
    }
    const NOBODY: u32 = 65534;
    let directory = open_directory();
    let binary = directory.path().join("owner");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();

    for place in [PathBuf::new(), home.join("postgres")] {
        let owner = Owner::start(&binary, &place, Some(NOBODY)).await;
        let server = owner.server;
        assert_eq!(fs::metadata(format!("/proc/{server}")).unwrap().uid(), NOBODY);
        owner.kill().await;
        wait_until("the server to end with its owner", LIMIT, async || !runs(server)).await;
    }
}

#[tokio::test]
async fn a_killed_owner_leaves_no_server_and_no_temporary_directory() {
    if !require(Need::Postgres) {
        return;
    }
    let owner = Owner::start(&std::env::current_exe().unwrap(), Path::new(""), None).await;
    let (server, home) = (owner.server, owner.data.parent().unwrap().to_owned());
    assert!(runs(server) && home.exists());
    owner.kill().await;
    wait_until("the server to end with its owner", LIMIT, async || !runs(server)).await;
    wait_until("its directory to go", LIMIT, async || !home.exists()).await;
}

#[tokio::test]
async fn a_start_right_after_the_owner_was_killed_has_the_data() {
    if !require(Need::Postgres) {
        return;
    }
    let directory = open_directory();
    let path = directory.path().join("postgres");
    let owner = Owner::start(&std::env::current_exe().unwrap(), &path, None).await;
    let first = owner.server;
    owner.kill().await;

    let (server, _) = open(&options(&path)).await;
    assert!(!runs(first));
    assert_eq!(ask(server.url(), "select 'yes'").await, "yes");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_lost_owner_and_watchdog_is_ended_first() {
    if !require(Need::Postgres) {
        return;
    }
    let directory = open_directory();
    let path = directory.path().join("postgres");
    let owner = Owner::start(&std::env::current_exe().unwrap(), &path, None).await;
    let leftover = owner.server;
    signal(watchdog_of(leftover).await, Signal::KILL);
    owner.kill().await;
    assert!(runs(leftover));

    let (server, notices) = open(&options(&path)).await;
    assert_eq!(notices, [Notice::EndingLeftover { pid: leftover }]);
    assert!(!runs(leftover));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_another_program_is_no_obstacle() {
    if !require(Need::Postgres) {
        return;
    }
    let directory = open_directory();
    let path = directory.path().join("postgres");
    let (server, _) = open(&options(&path)).await;
    let file = server.data_dir().join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap();
    server.stop().await.unwrap();

    // A process of the same user that lives and is no server, as after a restart of the machine.
    let mut stranger = Command::new("sleep");
    stranger.arg("600").kill_on_drop(true);
    if root() {
        stranger.uid(fs::metadata(&path).unwrap().uid());
    }
    let stranger = stranger.spawn().unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&file, format!("{}\n{rest}", stranger.id().unwrap())).unwrap();
    let (server, notices) = open(&options(&path)).await;
    assert_eq!(notices, []);
    assert!(runs(stranger.id().unwrap()));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_owner_is_refused_while_the_first_lives() {
    if !require(Need::Postgres) {
        return;
    }
    let directory = open_directory();
    let path = directory.path().join("postgres");
    let (server, _) = open(&options(&path)).await;
    let error = fails(&options(&path)).await;
    assert!(matches!(&error, Error::InUse { path: shown } if *shown == path), "{error:?}");
    assert_eq!(ask(server.url(), "select 'unharmed'").await, "unharmed");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_with_other_files_is_left_alone() {
    if !require(Need::Postgres) || !root() {
        return;
    }
    let directory = open_directory();
    fs::write(directory.path().join("thesis.txt"), "years of work").unwrap();
    let error = fails(&options(directory.path())).await;
    assert!(matches!(error, Error::NotOurs { .. }), "{error:?}");
    assert_eq!(fs::metadata(directory.path()).unwrap().uid(), 0);
}

#[tokio::test]
async fn without_programs_there_is_one_error_with_the_line_to_type() {
    let options = Options {
        search: Search::Only(vec!["/nonexistent".into()]),
        install: Install::Never,
        ..Options::temporary()
    };
    let error = fails(&options).await;
    let Error::NotFound { too_old: None, line } = &error else { panic!("{error:?}") };
    assert!(!line.is_empty());
    assert_eq!(
        error.to_string(),
        format!(
            "no PostgreSQL 15 or newer found. Type\n\n    {line}\n\nand try again, or set DATABASE_URL to a server \
             that you have"
        )
    );
}

#[tokio::test]
async fn programs_that_are_too_old_are_named() {
    let directory = open_directory();
    for program in ["initdb", "postgres"] {
        let path = directory.path().join(program);
        fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let search = Search::Only(vec![directory.path().to_owned()]);
    let error = fails(&Options { search, install: Install::Never, ..Options::temporary() }).await;
    assert!(matches!(error, Error::NotFound { too_old: Some(14), .. }), "{error:?}");
}

#[tokio::test]
async fn a_given_server_is_used_as_it_is_or_named_without_its_password() {
    let Some(db) = TestDb::empty().await else { return };
    let given = |url: &str| Options { url: Some(url.to_owned()), ..Options::temporary() };
    let database = postgres::open(&given(&db.url), &|_| {}).await.unwrap();
    assert_eq!(database.url(), db.url);
    database.stop().await.unwrap();
    assert_eq!(ask(&db.url, "select 'left running'").await, "left running");

    let nobody_there = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = db.url_through(nobody_there);
    let error = fails(&given(&url)).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let password = url.split(['@', ':']).nth(2).unwrap();
    let text = error.to_string();
    assert!(!text.contains(password) && text.contains(&nobody_there.to_string()), "{text}");
}
