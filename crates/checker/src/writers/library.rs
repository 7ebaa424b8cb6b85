//! One node inside this process, which writes as an application does: by entities with their hooks, in bulk, and so that a role's end takes it from who holds it.

use std::sync::Arc;

use bekci_core::{AuthGuard, GuardName, IdKind, ModelName, ModelSpec, RootSecret, Unmetered};
use bekci_store::{Barrier, CacheSettings, Committed, GuardedTransaction, Store, StoreSettings, SystemClock, entity};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, ConnectionTrait as _, DbErr, TransactionTrait as _};
use tokio::runtime::Runtime;

use super::Step;
use crate::{
    clock::{now, pause},
    history::Register,
    setup::{BY_CASCADE, BY_ENTITY, CASCADE_ROLE, IN_BULK},
    world::World,
};

/// The node and the runtime of its tasks.
struct Library {
    runtime: Runtime,
    store: Store,
}

pub(super) fn steps(world: &Arc<World>) -> Vec<(u64, Step)> {
    let library = Arc::new(Library::open(world));
    let (by_entity, in_bulk, cascade, crowd) = (
        Arc::clone(&library),
        Arc::clone(&library),
        Arc::clone(&library),
        library,
    );
    vec![
        (100, Box::new(move |world, _| by_entity.grant(world))),
        (150, Box::new(move |world, _| in_bulk.bulk(world, "bulk", "b.n", 0))),
        (200, Box::new(move |world, _| cascade.cascade(world))),
        (
            4_000,
            Box::new(move |world, _| crowd.bulk(world, "bulk of a thousand", "w.n", 1)),
        ),
    ]
}

impl Library {
    fn open(world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let url = world.cluster.database.url(None).into();
        let guard = |name: &str| {
            let (guard, model) = (GuardName::new(name).unwrap(), ModelName::new(name).unwrap());
            Arc::new(AuthGuard::new(guard, model, IdKind::Integer, false))
        };
        let model = |name: &str, table: &str| ModelSpec::new(ModelName::new(name).unwrap(), table);
        let settings = StoreSettings {
            models: vec![model("admin", "admins"), model("customer", "customers")],
            providers: bekci_store::Providers::default(),
            guards: vec![guard("admin"), guard("customer")],
            cache: CacheSettings {
                poll: std::time::Duration::from_millis(world.options.poll_ms),
                ..CacheSettings::default()
            },
            redis: None,
            policy: None,
            root: Arc::new(RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(bekci_token::OsEntropy),
            meter: Arc::new(Unmetered),
        };
        let store = runtime.block_on(async {
            let db = bekci_store::connect(&url, 6).await.unwrap();
            Store::open(db, settings).await.unwrap()
        });
        Self { runtime, store }
    }

    /// Until it is committed and confirmed. One that was committed already is written again, and waits all the same.
    fn change<F>(&self, world: &World, kind: &'static str, register: &Register, value: u32, write: F)
    where
        F: AsyncFn(&GuardedTransaction) -> Result<(), DbErr>,
    {
        register.begin(value, now());
        while world.runs() {
            let sent = now();
            let committed: Result<Committed, String> = self.runtime.block_on(async {
                let transaction = self
                    .store
                    .connection()
                    .begin()
                    .await
                    .map_err(|error| error.to_string())?;
                write(&transaction).await.map_err(|error| error.to_string())?;
                transaction
                    .commit_with(Barrier::Always)
                    .await
                    .map_err(|error| error.to_string())
            });
            let read = now();
            match committed {
                Ok(committed) if committed.effective => {
                    world.tally.write(kind, |writes| writes.took.push(read - sent));
                    register.in_force(read, read);
                    return;
                }
                Ok(_) => world.tally.write(kind, |writes| writes.pending += 1),
                Err(_) => world.tally.write(kind, |writes| writes.unknown += 1),
            }
            pause(50);
        }
    }

    /// A grant that an entity takes and another one gives.
    fn grant(&self, world: &World) {
        let subject = world.subject(BY_ENTITY);
        let Some((_, register)) = subject.rights.first() else {
            return;
        };
        let before = register.value();
        let next = u32::try_from(register.len()).unwrap_or_default() + 1;
        let row = |number: u32| entity::principal_permission::ActiveModel {
            model: Set("customer".to_owned()),
            id: Set(subject.id.clone()),
            guard: Set("customer".to_owned()),
            tenant: Set(String::new()),
            permission: Set(format!("h.n{number}")),
            denied: Set(false),
        };
        self.change(world, "entity", register, next, async |transaction| {
            row(before).delete(transaction).await?;
            // A try whose outcome was unknown may have given it already.
            row(next).delete(transaction).await?;
            row(next).insert(transaction).await?;
            Ok(())
        });
    }

    /// One statement for all who hold a permission.
    fn bulk(&self, world: &World, kind: &'static str, prefix: &'static str, place: usize) {
        let Some((_, register)) = world.subject(IN_BULK).rights.get(place) else {
            return;
        };
        let next = u32::try_from(register.len()).unwrap_or_default() + 1;
        let sql = format!(
            "UPDATE bekci_principal_permissions SET permission = '{prefix}{next}' WHERE permission LIKE '{prefix}%'"
        );
        self.change(world, kind, register, next, async |transaction| {
            transaction.execute_unprepared(&sql).await.map(drop)
        });
    }

    /// A role is deleted, and with it who holds it; then it is made and given again.
    fn cascade(&self, world: &World) {
        let subject = world.subject(BY_CASCADE);
        let Some((_, register)) = subject.rights.first() else {
            return;
        };
        let next = 1 - register.value();
        let delete =
            format!("DELETE FROM bekci_roles WHERE guard = 'customer' AND tenant = '' AND name = '{CASCADE_ROLE}'");
        let make = format!("INSERT INTO bekci_roles (guard, tenant, name) VALUES ('customer', '', '{CASCADE_ROLE}')");
        let give = format!(
            "INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) VALUES ('customer', '{}', 'customer', '', '{CASCADE_ROLE}')",
            subject.id
        );
        self.change(world, "cascade", register, next, async |transaction| {
            transaction.execute_unprepared(&delete).await?;
            if next == 1 {
                transaction.execute_unprepared(&make).await?;
                transaction.execute_unprepared(&give).await?;
            }
            Ok(())
        });
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let closed = async { tokio::time::timeout(std::time::Duration::from_secs(3), self.store.close()).await };
        let _closed = self.runtime.block_on(closed);
    }
}
