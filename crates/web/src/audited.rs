//! Whether security events are taken where they go.

use std::{fmt, sync::Arc};

/// Whether what is told to the target `bekci::audit` is taken now. While it is not, the management API changes nothing: nobody could say later who did it. All else goes on.
#[derive(Clone)]
pub struct AuditTrail(Arc<dyn Fn() -> bool + Send + Sync>);

impl AuditTrail {
    /// Nobody watches where events go: they count as taken.
    #[must_use]
    pub fn unwatched() -> Self {
        Self::new(|| true)
    }

    /// Taken as long as the function says so. It is asked by each call of the management API that may change something, and must not block.
    pub fn new(is_taken: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_taken))
    }

    /// Whether events are taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AuditTrail")
    }
}
