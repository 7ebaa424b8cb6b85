//! Any program that listens on a port, for as long as a test needs it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use crate::failure::{Failure, or_fail};
use crate::folder::TempDir;
use crate::nursery;
use crate::port::try_free_port;
use crate::program::{find_program, name_of, run};
use crate::user::User;

/// How often a server is looked at while it starts or ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Looks before a start is given up: a minute, for machines that do much else.
const LOOKS_AT_START: u32 = 3_000;
/// Looks before a server that was told to stop is killed: ten seconds.
const LOOKS_AT_STOP: u32 = 500;
/// How long one connect of the probe may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Ports tried when others keep taking them.
const PORTS: u32 = 5;

type Probe = Box<dyn Fn(u16) -> bool + Send + Sync>;

/// How to run a program that listens on a port: what a [`Server`] is started from.
///
/// A launcher for one more program is short:
///
/// ```no_run
/// use bekci_test_support::{Server, Service, TempDir};
///
/// struct Nginx { server: Server, _folder: TempDir }
///
/// impl Nginx {
///     fn start(locations: &str) -> Self {
///         let folder = TempDir::new("nginx");
///         let server = Server::on_free_port(|port| {
///             let config = format!(
///                 "daemon off; pid nginx.pid; events {{}} http {{ access_log off; server {{ listen 127.0.0.1:{port}; {locations} }} }}"
///             );
///             std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
///             // TERM, since its workers would outlive a master that is killed.
///             Service::new("nginx", port, &folder).args(["-e", "stderr", "-c", "nginx.conf", "-p", "."]).stop_signal("TERM")
///         });
///         Self { server, _folder: folder }
///     }
/// }
/// ```
pub struct Service {
    program: String,
    arguments: Vec<OsString>,
    folder: PathBuf,
    port: u16,
    stop_signal: &'static str,
    user: Option<User>,
    environment: Vec<OsString>,
    probe: Probe,
}

impl Service {
    /// `program` is looked for as [`find_program`] does, runs in `folder`, and must listen on 127.0.0.1:`port`.
    pub fn new(program: &str, port: u16, folder: &TempDir) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            folder: folder.path().to_owned(),
            port,
            stop_signal: "KILL",
            user: None,
            environment: Vec::new(),
            probe: Box::new(|port| connect(port).is_some()),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let mut variable = OsString::from(name);
        variable.push("=");
        variable.push(value);
        self.environment.push(variable);
        self
    }

    /// The signal that ends it, on drop and when the test process dies: a name as `kill -s` takes it.
    ///
    /// `KILL` unless set. A program with child processes needs one that it passes on to them.
    #[must_use]
    pub fn stop_signal(mut self, name: &'static str) -> Self {
        self.stop_signal = name;
        self
    }

    /// What shows that it is ready, asked again and again; without this, that its port takes a connection.
    #[must_use]
    pub fn ready_when(mut self, probe: impl Fn(u16) -> bool + Send + Sync + 'static) -> Self {
        self.probe = Box::new(probe);
        self
    }

    pub(crate) fn run_as(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Server {
        or_fail(self.try_start())
    }

    /// As [`Service::start`].
    ///
    /// # Errors
    /// A [`Failure`] that holds what the program wrote.
    pub fn try_start(self) -> Result<Server, Failure> {
        let child = self.launch()?;
        Ok(Server {
            service: self,
            child: Mutex::new(Some(child)),
        })
    }

    fn launch(&self) -> Result<Child, Failure> {
        // Else the probe would ask the other program before ours has found that it cannot listen.
        if connect(self.port).is_some() {
            return Err(Failure::PortTaken(self.port));
        }
        let mut child = self.spawn()?;
        for _ in 0..LOOKS_AT_START {
            let answers = (self.probe)(self.port);
            if let Some(status) = ended(&mut child) {
                return Err(Failure::Ended {
                    program: self.program.clone(),
                    port: self.port,
                    status,
                    log: self.log(),
                });
            }
            if answers {
                return Ok(child);
            }
            sleep(LOOK_EVERY);
        }
        end(&mut child, self.stop_signal);
        Err(Failure::Silent {
            program: self.program.clone(),
            port: self.port,
            log: self.log(),
        })
    }

    fn spawn(&self) -> Result<Child, Failure> {
        let program = find_program(&self.program)?;
        let mut command = Command::new(find_program("setpriv")?);
        if let Some(user) = self.user {
            command.args(user.setpriv_arguments());
        }
        command.args(["--pdeathsig", self.stop_signal, "--"]);
        if !self.environment.is_empty() {
            // For the program alone: a library that is preloaded must not run in setpriv, before the change of user.
            command.arg(find_program("env")?).args(&self.environment);
        }
        command.arg(program).args(&self.arguments);

        let failed = || Failure::io(format!("starting `{}`", self.program));
        let log = File::create(self.log_path()).map_err(failed())?;
        let errors = log.try_clone().map_err(failed())?;
        command
            .current_dir(&self.folder)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        nursery::spawn(command).map_err(failed())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", name_of(Path::new(&self.program))))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

/// A running program. It is stopped on drop, and when the test process dies.
pub struct Server {
    service: Service,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts what `service` describes on a free port, and on another one where somebody took that port first.
    #[track_caller]
    pub fn on_free_port(service: impl FnMut(u16) -> Service) -> Self {
        or_fail(Self::try_on_free_port(service))
    }

    /// As [`Server::on_free_port`].
    ///
    /// # Errors
    /// A [`Failure`] that holds what the program wrote.
    pub fn try_on_free_port(mut service: impl FnMut(u16) -> Service) -> Result<Self, Failure> {
        let mut tries = PORTS;
        loop {
            tries -= 1;
            match service(try_free_port()?).try_start() {
                Err(failure) if failure.is_port_taken() && tries > 0 => {}
                result => return result,
            }
        }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.service.port))
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        &self.service.folder
    }

    /// What it wrote on its standard output and error since its last start.
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Ends it, as a fault for a test: abruptly, and with everything it keeps on disk left there.
    pub fn stop(&self) {
        if let Some(mut child) = self.child().take() {
            // A stopped process takes no signal but KILL and CONT.
            signal(&child, "CONT");
            end(&mut child, self.service.stop_signal);
        }
    }

    /// Starts it again on the same port and with the same data, after stopping it if it runs.
    #[track_caller]
    pub fn restart(&self) {
        or_fail(self.try_restart());
    }

    /// As [`Server::restart`].
    ///
    /// # Errors
    /// A [`Failure`] that holds what the program wrote; it is stopped then.
    pub fn try_restart(&self) -> Result<(), Failure> {
        self.stop();
        let child = self.service.launch()?;
        *self.child() = Some(child);
        Ok(())
    }

    /// Stops all its threads: connections stay open and nothing is answered. Only its own process, not its children.
    /// When this returns, no thread of it runs: the signal itself arrives later than the call that sends it.
    pub fn pause(&self) {
        if let Some(child) = &*self.child() {
            signal(child, "STOP");
            for _ in 0..LOOKS_AT_STOP {
                if is_stopped(child.id()) {
                    return;
                }
                sleep(LOOK_EVERY);
            }
        }
    }

    /// Lets it go on after [`Server::pause`].
    pub fn resume(&self) {
        if let Some(child) = &*self.child() {
            signal(child, "CONT");
        }
    }

    /// Sends it a signal that it handles itself: a name as `kill -s` takes it, such as `HUP`. Only its own process, not its children.
    pub fn signal(&self, name: &str) {
        if let Some(child) = &*self.child() {
            signal(child, name);
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("program", &self.service.program)
            .field("port", &self.service.port)
            .finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A connection to a port of this machine, if something listens there.
pub(crate) fn connect(port: u16) -> Option<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT_TIMEOUT).ok()
}

/// Whether no thread of the process runs: each is stopped or has ended (proc(5), the third field of `stat`).
fn is_stopped(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before it may hold spaces and parentheses.
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.trim_start().chars().next());
        !matches!(state, Some('R' | 'S' | 'D'))
    })
}

fn ended(child: &mut Child) -> Option<ExitStatus> {
    child.try_wait().ok().flatten()
}

/// Sends `signal`, waits, kills what is still there, and leaves no zombie.
fn end(child: &mut Child, name: &str) {
    signal(child, name);
    for _ in 0..LOOKS_AT_STOP {
        if ended(child).is_some() {
            return;
        }
        sleep(LOOK_EVERY);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The shell's own `kill`: the standard library can only send KILL, and not every machine has the program.
fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    // It fails where the process ended by itself, which is as good.
    let _ = run(Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &id]));
}
