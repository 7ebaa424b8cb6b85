//! One thread that starts every server.
//!
//! The kernel sends the parent-death signal (`prctl(2)`, PR_SET_PDEATHSIG) when the *thread* that made the child ends, not when
//! its process does. A test is a thread that ends, so a server that is shared by tests would die with the first of them. This
//! thread lives until the process ends.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

/// Starts `command` from the thread that never ends.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, received) = channel::<Order>();
        thread::spawn(move || {
            for mut order in received {
                // Who asked may be gone by now; the child is then killed at the end of the process.
                let _ = order.answer.send(order.command.spawn());
            }
        });
        orders
    });
    let (answer, answered) = channel();
    let gone = |_| io::Error::other("the thread that starts servers is gone");
    orders
        .send(Order { command, answer })
        .map_err(|_| io::Error::other("the thread that starts servers is gone"))?;
    answered.recv().map_err(gone)?
}
