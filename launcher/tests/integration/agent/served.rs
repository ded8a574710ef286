//! What workers leave can be read at the address in the launcher's row, with a token of the installation.

use std::time::SystemTime;

use cyberbrain_common::{
    db::instance,
    file_token::{Purpose, ROUTE, encode_path, sign},
    worker_log::{attempt_dir, segment_name},
};
use cyberbrain_core::ids::Fence;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::world::World;

async fn get(address: &str, path: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let path = encode_path(path);
    let request = format!("GET {ROUTE}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_a_worker_left_is_read_where_the_row_says() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let launcher = world.launcher(&[]).await;
    let job = world.simulation("run_ms=50,log_lines=3").await;
    let attempt = world.offer(job).await;
    world.until_released(attempt).await;
    let url: String =
        sqlx::query_scalar("select files_url from launchers").fetch_one(&world.pool).await.unwrap();
    let address = url.strip_prefix("http://").unwrap();
    let secret = instance::read(&mut world.db.connect().await).await.unwrap().secret;
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select path, size_bytes from run_artifacts").fetch_all(&world.pool).await.unwrap();
    assert_eq!(rows.len(), 2, "a result and a log: {rows:?}");
    for (path, size) in &rows {
        let token = sign(&secret, path, Purpose::Artifact, SystemTime::now());
        let answer = get(address, path, &token).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.to_lowercase().contains(&format!("content-length: {size}\r\n")), "{path}: {answer}");
    }
    let log = format!("{}/{}", attempt_dir(world.run, job, attempt), segment_name(Fence(1)));
    assert!(rows.iter().any(|(path, _)| *path == log), "{log} is in {rows:?}");
    let other = sign(b"no secret of ours", &log, Purpose::Log, SystemTime::now());
    assert!(get(address, &log, &other).await.starts_with("HTTP/1.1 401"));
    launcher.stop().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    world.assert_clean().await;
}

#[tokio::test]
async fn another_address_can_be_told() {
    let Some((world, _engine)) = World::simulated().await else { return };
    let options = ["--files-bind", "127.0.0.1:0", "--files-url", "http://gpu-7.example:9700"];
    let _launcher = world.launcher(&options).await;
    let url: String =
        sqlx::query_scalar("select files_url from launchers").fetch_one(&world.pool).await.unwrap();
    assert_eq!(url, "http://gpu-7.example:9700");
}
