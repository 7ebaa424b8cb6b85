//! The calls as one table: what is mounted is what is described.
//!
//! 1. A call is an [`Operation`]: method, path, handler, and what can be said of it. Nothing is mounted beside the tables, so the document cannot leave a call out.
//! 2. What is common to calls is not repeated: that it takes a body, a query, somebody signed in or a permission brings the codes that go with it.
//! 3. A guard's calls stand under its own path, with its own security schemes; an application's document describes the application's guards.

mod account;
mod document;
mod page;
pub(crate) mod schema;

use actix_web::{
    Route, Scope,
    http::Method,
    web::{self, ServiceConfig},
};
use bekci_core::ErrorCode;
use serde_json::Value;

pub(crate) use document::{Described, Standing};
pub(crate) use page::{mount as mount_page, paths as page_paths};

/// Makes a schema.
pub(crate) type Schema = fn() -> Value;

/// Who may make a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asks {
    /// Anybody.
    Nobody,
    /// Who is signed in through the guard.
    SignedIn,
    /// Who holds this permission.
    Permission(&'static str),
}

/// What a call reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    None,
    /// JSON, or nothing.
    Optional(Schema),
    /// JSON.
    Required(Schema),
    /// `application/x-www-form-urlencoded`.
    Form(Schema),
}

/// What a call answers when it is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    /// `{"success": true, "data": …}`.
    Data(Schema),
    /// JSON of another standard.
    Json(Schema),
    /// Something that is no JSON.
    Other(&'static str),
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    method: Method,
    /// Below where it is mounted, as Actix and OpenAPI write it.
    path: &'static str,
    handler: fn(Route) -> Route,
    id: &'static str,
    summary: &'static str,
    asks: Asks,
    query: &'static [&'static str],
    body: Body,
    answers: Answers,
    pending: bool,
    accepted: Option<(&'static str, Schema)>,
    bare: bool,
    /// Its refusals have the shape of RFC 6749 section 5.2.
    oauth: bool,
    refusals: &'static [ErrorCode],
}

impl Operation {
    pub(crate) fn new(method: Method, path: &'static str, handler: fn(Route) -> Route) -> Self {
        Self {
            method,
            path,
            handler,
            id: "",
            summary: "",
            asks: Asks::Nobody,
            query: &[],
            body: Body::None,
            answers: Answers::Data(schema::nothing),
            pending: false,
            accepted: None,
            bare: false,
            oauth: false,
            refusals: &[],
        }
    }

    /// Its name, for clients that are generated, and one line about it.
    pub(crate) fn named(mut self, id: &'static str, summary: &'static str) -> Self {
        (self.id, self.summary) = (id, summary);
        self
    }

    pub(crate) fn asks(mut self, asks: Asks) -> Self {
        self.asks = asks;
        self
    }

    /// The parameters that it takes behind `?`.
    pub(crate) fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// It waits for every node, and may be answered 202.
    pub(crate) fn pending(mut self) -> Self {
        self.pending = true;
        self
    }

    /// It may be answered 202, with this and these data.
    pub(crate) fn accepts(mut self, about: &'static str, data: Schema) -> Self {
        self.accepted = Some((about, data));
        self
    }

    /// It answers without an envelope.
    pub(crate) fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// It refuses as RFC 6749 section 5.2 describes: a client that does not authenticate, and a store that cannot answer.
    pub(crate) fn refuses_as_oauth(mut self) -> Self {
        self.oauth = true;
        self
    }

    /// Where it stands below its mount.
    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// Codes beside those that come with what it asks and reads.
    pub(crate) fn refuses(mut self, codes: &'static [ErrorCode]) -> Self {
        self.refusals = codes;
        self
    }

    /// Its routes: `HEAD` answers as `GET` does, and actix leaves the body out (RFC 9110 section 9.3.2).
    fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        let head = (self.method == Method::GET).then_some(Method::HEAD);
        let methods = std::iter::once(self.method.clone()).chain(head);
        methods.map(move |method| (self.handler)(web::method(method)))
    }

    /// Adds its routes to the resource of its path.
    fn add_to(&self, resource: actix_web::Resource) -> actix_web::Resource {
        self.routes().fold(resource, actix_web::Resource::route)
    }
}

/// The operations by path, each path once, in the order of the table. As resources, so that another method is 405 with what is allowed.
fn resources(operations: &[Operation]) -> Vec<actix_web::Resource> {
    let mut paths: Vec<&str> = operations.iter().map(|operation| operation.path).collect();
    let mut seen = std::collections::HashSet::new();
    paths.retain(|path| seen.insert(*path));
    let resource = |path: &str| {
        let here = operations.iter().filter(|operation| operation.path == path);
        here.fold(web::resource(path), |resource, operation| operation.add_to(resource))
    };
    paths.into_iter().map(resource).collect()
}

/// Mounts the operations in a scope.
pub(crate) fn mount_in(scope: Scope, operations: &[Operation]) -> Scope {
    resources(operations).into_iter().fold(scope, Scope::service)
}

/// Mounts the operations at the root.
pub(crate) fn mount_at_root(config: &mut ServiceConfig, operations: &[Operation]) {
    for resource in resources(operations) {
        config.service(resource);
    }
}

/// Mounts operations at another path than their own, with what they share.
pub(crate) fn mount_at<T: 'static>(
    config: &mut ServiceConfig,
    path: &str,
    operations: &[&Operation],
    shared: &web::Data<T>,
) {
    let resource = web::resource(path).app_data(shared.clone());
    let resource = operations
        .iter()
        .fold(resource, |resource, operation| operation.add_to(resource));
    config.service(resource);
}
