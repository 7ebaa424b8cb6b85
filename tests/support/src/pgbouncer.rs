//! pgbouncer, between a test and a PostgreSQL.

use crate::failure::or_fail;
use crate::folder::TempDir;
use crate::server::{Server, Service};
use crate::user::User;

/// A pgbouncer before one database.
#[derive(Debug)]
pub struct PgBouncer {
    // Before the folder, so that it is stopped before its folder goes.
    server: Server,
    _folder: TempDir,
    database: String,
}

impl PgBouncer {
    /// Starts one before the database of this URL, with these further lines of `[pgbouncer]`.
    #[track_caller]
    pub fn start(url: &str, settings: &str) -> Self {
        let address = url.rsplit_once('@').map_or(url, |(_, address)| address);
        let (host, database) = address.split_once('/').unwrap_or((address, "postgres"));
        let port = host.rsplit_once(':').map_or("5432", |(_, port)| port);
        let folder = TempDir::new("pgbouncer");
        let server = or_fail(Server::try_on_free_port(|listen| {
            let text = format!(
                "[databases]\n* = user=postgres host=127.0.0.1 port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen}\nunix_socket_dir =\n\
                 auth_type = any\nlogfile =\n{settings}\n"
            );
            let user = User::instead_of_root().ok().flatten();
            // A file that cannot be written fails the start, which says so.
            let _written = std::fs::write(folder.path().join("pgbouncer.ini"), text);
            Service::new("pgbouncer", listen, &folder)
                .args(["pgbouncer.ini"])
                .run_as(user)
        }));
        Self {
            server,
            _folder: folder,
            database: database.to_owned(),
        }
    }

    /// The database's URL through it.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/{}", self.server.address(), self.database)
    }
}
