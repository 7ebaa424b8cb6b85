//! Writers: each changes rights of its own in its own way, and knows exactly from when on a change counts.

mod api;
mod change;
mod commands;
mod library;
mod outside;
mod sessions;

use std::sync::Arc;

use bekci_test_support::Chance;

use crate::world::World;

/// One change, begun and brought to its end.
type Step = Box<dyn FnMut(&World, &mut Chance) + Send>;

/// Starts every writer, each in a thread.
pub(crate) fn start(world: &Arc<World>) -> Vec<std::thread::JoinHandle<()>> {
    let mut steps: Vec<(u64, Step)> = api::steps();
    steps.extend(sessions::steps());
    steps.extend(commands::steps());
    steps.extend(outside::steps(world));
    if world.options.gateway.is_none() {
        steps.extend(library::steps(world));
    }
    let mut threads = Vec::new();
    for (at, (rest, mut step)) in steps.into_iter().enumerate() {
        let world = Arc::clone(world);
        let seed = world
            .options
            .seed
            .wrapping_mul(1_000)
            .wrapping_add(u64::try_from(at).unwrap_or_default());
        threads.push(std::thread::spawn(move || {
            let mut chance = Chance::new(seed);
            while world.runs() {
                {
                    let _phase = world.gate.read();
                    step(&world, &mut chance);
                }
                let most = usize::try_from(rest).unwrap_or_default();
                world.rest(20 + u64::try_from(chance.below(most)).unwrap_or_default());
            }
        }));
    }
    threads
}
