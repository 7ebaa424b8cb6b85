//! Redis, PostgreSQL and MariaDB by TLS.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use bekci_test_support::{MariaDb, Postgres, Server, Service, TempDir, find_program, psql};
use secrecy::SecretString;

use super::{authority::Authority, listener::gateway};

/// A Redis that speaks TLS alone.
fn redis(authority: &Authority, name: &str) -> (Server, TempDir) {
    let folder = TempDir::new("redis-tls");
    let (certificate, key) = authority.write("redis", &authority.issue(name));
    let server = Server::on_free_port(|port| {
        Service::new("redis-server", port, &folder)
            .args(["--bind", "127.0.0.1", "--port", "0", "--tls-port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--tls-auth-clients", "no"])
            .args(["--tls-cert-file", certificate.to_str().unwrap()])
            .args(["--tls-key-file", key.to_str().unwrap()])
            .args(["--tls-ca-cert-file", authority.file().to_str().unwrap()])
    });
    (server, folder)
}

/// How many clients speak with it, this question among them.
fn connections(redis: &Server, authority: &Authority) -> u64 {
    let port = redis.port().to_string();
    let told = Command::new(find_program("redis-cli").unwrap())
        .args([
            "--tls",
            "-h",
            "localhost",
            "-p",
            &port,
            "--cacert",
            authority.file().to_str().unwrap(),
        ])
        .args(["--insecure", "CLIENT", "LIST"])
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    // Who is still shaking hands, or never came through it, has said nothing yet.
    let spoke = |line: &&str| line.contains("addr=") && !line.contains("cmd=NULL");
    told.lines().filter(spoke).count() as u64
}

#[test]
fn redis_by_tls_is_used_where_its_certificate_is_good_and_not_where_it_is_another_s() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (what, believed, name, used) in [
        ("good", &authority, "localhost", true),
        ("another name", &authority, "other.test", false),
        ("unknown authority", &stranger, "localhost", false),
    ] {
        let (redis, _folder) = redis(&authority, name);
        let file = believed.file();
        let section = format!(
            "[redis]\nenabled = true\nurl = \"rediss://localhost:{}\"\nca_file = \"{}\"\n",
            redis.port(),
            file.display()
        );
        let upstream = "\"http://127.0.0.1:9\"";
        let node = gateway("", &section, upstream);
        let mut most = 0;
        for _ in 0..if used { crate::reloading::LOOKS } else { 100 } {
            most = most.max(connections(&redis, &authority));
            if used && most > 1 {
                break;
            }
            std::thread::sleep(crate::reloading::LOOK_EVERY);
        }
        assert_eq!(most > 1, used, "{what}: {}", node.server.log());
    }
}

/// Gives a PostgreSQL a certificate, which it shows from then on.
fn show(postgres: &Postgres, authority: &Authority, name: &str) {
    let issued = authority.issue(name);
    let url = postgres.url_for("postgres");
    for (file, text) in [("server.crt", &issued.certificate), ("server.key", &issued.key)] {
        // By its own hand, so that the key is its user's.
        psql(
            &url,
            &format!(
                "COPY (SELECT '{}') TO PROGRAM 'umask 077; base64 -d > {file}'",
                STANDARD.encode(text)
            ),
        );
    }
    psql(&url, "ALTER SYSTEM SET ssl = on");
    psql(&url, "SELECT pg_reload_conf()");
}

async fn connects(postgres: &Postgres, host: &str, authority: &Authority) -> Result<(), String> {
    let url = postgres.url_for("postgres").replace("127.0.0.1", host);
    let url = format!("{url}?sslmode=verify-full&sslrootcert={}", authority.file().display());
    let opened = bekci_store::connect(&SecretString::from(url), 1).await;
    opened.map(drop).map_err(|error| error.to_string())
}

#[actix_web::test]
async fn postgresql_by_tls_is_spoken_to_where_its_certificate_is_good_and_not_where_it_is_another_s() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let postgres = Postgres::start();
    connects(&postgres, "localhost", &authority).await.unwrap_err();
    show(&postgres, &authority, "localhost");
    let mut last = Err(String::new());
    for _ in 0..100 {
        last = connects(&postgres, "localhost", &authority).await;
        if last.is_ok() {
            break;
        }
        actix_web::rt::time::sleep(crate::reloading::LOOK_EVERY).await;
    }
    last.unwrap();
    connects(&postgres, "127.0.0.1", &authority).await.unwrap_err();
    connects(&postgres, "localhost", &stranger).await.unwrap_err();
}

async fn mariadb_connects(port: u16, host: &str, authority: &Authority) -> Result<(), String> {
    let file = authority.file();
    let url = format!(
        "mariadb://root@{host}:{port}/mysql?ssl-mode=verify_identity&ssl-ca={}",
        file.display()
    );
    let opened = bekci_store::connect(&SecretString::from(url), 1).await;
    opened.map(drop).map_err(|error| error.to_string())
}

#[actix_web::test]
async fn mariadb_by_tls_is_spoken_to_where_its_certificate_is_good_and_not_where_it_is_another_s() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.write("mariadb", &authority.issue("localhost"));
    // The server has a user of its own.
    std::fs::set_permissions(authority.folder.path(), Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let argument = |name: &str, path: &Path| format!("--ssl-{name}={}", path.display());
    let mariadb = MariaDb::start_with(&[&argument("cert", &certificate), &argument("key", &key)]);
    let port = mariadb.server().port();
    mariadb_connects(port, "localhost", &authority).await.unwrap();
    mariadb_connects(port, "127.0.0.1", &authority).await.unwrap_err();
    mariadb_connects(port, "localhost", &stranger).await.unwrap_err();
    let plain = MariaDb::shared().server().port();
    mariadb_connects(plain, "localhost", &authority).await.unwrap_err();
}
