//! A link that is half open takes what is sent and answers nothing. No request waits for it for long, and what it swallowed is not waited for when it is well again.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bekci_core::Clock;
use bekci_store::{CacheSettings, Store, StoreSettings, SystemClock};
use secrecy::SecretString;

use crate::scene::{Ask, Kind, Scene, key, until};

/// 2 s by the design. A machine that does much else beside the test takes longer, and never as long as a request that nothing bounds.
const NO_REQUEST_TAKES: Duration = Duration::from_secs(4);
/// For each request, so that the loop ends in any case.
const AT_MOST: Duration = Duration::from_secs(30);

fn now() -> Duration {
    SystemClock.uptime()
}

/// A link to a server that can be half open.
struct Link {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    swallows: AtomicBool,
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut chunk = vec![0; 16_384];
    let mut lost = false;
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        // What lost something is never in step again.
        lost |= state.swallows.load(Ordering::SeqCst);
        if !lost && to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(std::net::Shutdown::Both);
}

impl Link {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let flag = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(there) = TcpStream::connect(server) else {
                    continue;
                };
                let (back, forth) = (Arc::clone(&flag), Arc::clone(&flag));
                let (from, to) = (client.try_clone().unwrap(), there.try_clone().unwrap());
                std::thread::spawn(move || carry(client, there, &forth));
                std::thread::spawn(move || carry(to, from, &back));
            }
        });
        Self { address, state }
    }

    fn half_open(&self, is_half_open: bool) {
        self.state.swallows.store(is_half_open, Ordering::SeqCst);
    }
}

/// The URL with another host and port, and the one that it had.
fn through(url: &str, link: impl FnOnce(SocketAddr) -> SocketAddr) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(at, path)| (at, path));
    let (user, host) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(user, host)| (user, host));
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}{}/{path}", link(host.parse().unwrap()))
}

/// The slowest of these reads, each asked again and again until this moment.
async fn slowest(store: &Store, scene: &Scene, ends: Duration) -> Duration {
    let next = AtomicU32::new(1_000);
    let readers = (0..8).map(|reader| {
        let next = &next;
        async move {
            let mut slowest = Duration::ZERO;
            while now() < ends {
                // Half of them look at the database by themselves, half miss memory.
                let who = match reader % 2 {
                    0 => key("customer:2"),
                    _ => key(&format!("customer:{}", next.fetch_add(1, Ordering::SeqCst))),
                };
                let ask = Ask::of(&who, &scene.customer);
                let ask = if reader % 2 == 0 { ask.direct() } else { ask };
                let began = now();
                let answer = tokio::time::timeout(AT_MOST, ask.try_view(store)).await;
                assert!(answer.is_ok(), "a read took {AT_MOST:?}");
                slowest = slowest.max(now() - began);
            }
            slowest
        }
    });
    let each = futures_util::future::join_all(readers).await;
    each.into_iter().max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_waits_for_a_database_that_does_not_answer() {
    let scene = Scene::new(Kind::Postgres).await;
    let mut link = None;
    let url = through(scene.url(), |server| link.insert(Link::to(server)).address);
    let link = link.unwrap();
    let settings = StoreSettings {
        cache: CacheSettings::default(),
        ..scene.settings()
    };
    let pool = bekci_store::connect(&SecretString::from(url), 5).await.unwrap();
    let store = Store::open(pool, settings).await.unwrap();
    until(|| store.is_trusted()).await;
    assert!(slowest(&store, &scene, now() + Duration::from_millis(200)).await < NO_REQUEST_TAKES);

    link.half_open(true);
    let slowest = slowest(&store, &scene, now() + Duration::from_secs(5)).await;
    assert!(slowest < NO_REQUEST_TAKES, "{slowest:?}");
    link.half_open(false);

    // The pool has all its connections again: none is lost to a statement that has no answer.
    let healed = now();
    let who = key("customer:2");
    for _ in 0..16 {
        while Ask::of(&who, &scene.customer).direct().try_view(&store).await.is_err() {
            assert!(now() - healed < AT_MOST, "the store does not recover");
        }
    }
    until(|| store.is_trusted()).await;
    let all = (0..16).map(|_| async { Ask::of(&who, &scene.customer).direct().try_view(&store).await.is_ok() });
    let all = futures_util::future::join_all(all).await;
    assert!(all.into_iter().all(|served| served));
    let _told = writeln!(std::io::stderr(), "the slowest read took {slowest:?}");
    store.close().await;
}
