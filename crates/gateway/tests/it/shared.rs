//! What several tests share: kept while a test uses it, and until eight others were used after it.
//!
//! Tests run in the order of their names, so those that share something follow each other. A gateway that is kept to the end polls its database all the time; sixty of
//! them leave no processor time to the tests.

use std::{
    any::Any,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use crate::house::Kind;

/// How many are kept.
const MOST: usize = 8;

type Key = (&'static str, Kind);

static KEPT: Mutex<Vec<(Key, Arc<dyn Any + Send + Sync>)>> = Mutex::new(Vec::new());

/// What has this name on stores of this kind. The first call makes it.
pub fn shared<T: Send + Sync + 'static>(name: &'static str, kind: Kind, make: impl FnOnce() -> T) -> Arc<T> {
    let (cell, evicted) = {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| *known == (name, kind));
        let cell = at.map_or_else(
            || Arc::new(OnceLock::<Arc<T>>::new()) as Arc<dyn Any + Send + Sync>,
            |at| kept.remove(at).1,
        );
        kept.push(((name, kind), Arc::clone(&cell)));
        let over = kept.len().saturating_sub(MOST);
        (cell, kept.drain(..over).collect::<Vec<_>>())
    };
    // Not under the lock: what no test uses any more stops its processes here.
    drop(evicted);
    let cell = cell.downcast::<OnceLock<Arc<T>>>().unwrap();
    Arc::clone(cell.get_or_init(|| Arc::new(make())))
}
