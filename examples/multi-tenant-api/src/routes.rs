//! What the application answers.

use std::sync::{Mutex, PoisonError};

use actix_web::{HttpResponse, delete, get, post, web};
use bekci::{Auth, Bekci, permission, permissions};
use serde::{Deserialize, Serialize};

use crate::models::{Admin, Customer};

permissions! { pub mod orders { create, delete } }

/// The orders of all tenants, in memory.
#[derive(Debug, Default)]
pub struct Orders(Mutex<Vec<Order>>);

#[derive(Clone, Debug, Serialize)]
struct Order {
    id: u64,
    tenant: String,
    by: String,
    item: String,
}

#[derive(Deserialize)]
struct NewOrder {
    item: String,
}

impl Orders {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Order>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, tenant: &str) -> Vec<Order> {
        self.change(|all| all.iter().filter(|order| order.tenant == tenant).cloned().collect())
    }
}

#[get("/orders")]
async fn mine(who: Auth<Customer>, tenant: web::Path<String>, orders: web::Data<Orders>) -> HttpResponse {
    let mut orders = orders.of(&tenant);
    orders.retain(|order| order.by == who.key().as_str());
    HttpResponse::Ok().json(orders)
}

#[post("/orders")]
#[permission(orders::create)]
async fn place(
    who: Auth<Customer>,
    tenant: web::Path<String>,
    new: web::Json<NewOrder>,
    orders: web::Data<Orders>,
) -> HttpResponse {
    let placed = orders.change(|all| {
        let order = Order {
            id: all.last().map_or(1, |last| last.id + 1),
            tenant: tenant.into_inner(),
            by: who.key().to_string(),
            item: new.into_inner().item,
        };
        all.push(order.clone());
        order
    });
    HttpResponse::Created().json(placed)
}

#[get("/orders")]
async fn everyones(_: Auth<Admin>, tenant: web::Path<String>, orders: web::Data<Orders>) -> HttpResponse {
    HttpResponse::Ok().json(orders.of(&tenant))
}

#[delete("/orders/{id}")]
#[permission(orders::delete)]
async fn remove(_: Auth<Admin>, path: web::Path<(String, u64)>, orders: web::Data<Orders>) -> HttpResponse {
    let (tenant, id) = path.into_inner();
    let gone = orders.change(|all| {
        let before = all.len();
        all.retain(|order| (order.id, &order.tenant) != (id, &tenant));
        before > all.len()
    });
    match gone {
        true => HttpResponse::NoContent().finish(),
        false => HttpResponse::NotFound().finish(),
    }
}

/// All routes: `App::new().wrap(bekci.middleware()).configure(routes(&bekci, &orders))`.
pub fn routes(bekci: &Bekci, orders: &web::Data<Orders>) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let (bekci, orders) = (bekci.clone(), orders.clone());
    move |config| {
        config
            .app_data(orders)
            .configure(bekci.mount("/auth"))
            .route("/health", web::get().to(HttpResponse::Ok))
            .service(
                web::scope("/t/{tenant}/shop")
                    .wrap(bekci.require::<Customer>().policy())
                    .service(mine)
                    .service(place),
            )
            .service(
                web::scope("/t/{tenant}/desk")
                    .wrap(bekci.require::<Admin>().policy())
                    .service(everyones)
                    .service(remove),
            );
    }
}
