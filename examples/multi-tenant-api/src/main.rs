//! Orders of several tenants: customers place them, admins look after them. `cargo run -p multi-tenant-api` serves it on SQLite in a folder of its own and prints
//! `curl` lines that work; docs/getting-started-library.md builds it step by step.
#![expect(unreachable_pub, reason = "the parts of a program are for the program alone")]

mod models;
mod routes;
mod setup;
#[cfg(test)]
mod tests;

use std::error::Error;

use actix_web::{App, HttpServer, web};

const ADDRESS: (&str, u16) = ("127.0.0.1", 8088);

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let password = uuid::Uuid::new_v4().to_string();
    let folder = std::env::temp_dir().join(format!("multi-tenant-api-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder)?;
    let url = format!("http://{}:{}", ADDRESS.0, ADDRESS.1);
    let bekci = setup::bekci(&folder, &url).await?;
    setup::roles(&bekci).await?;
    setup::accounts(&bekci, &password).await?;
    let orders = web::Data::new(routes::Orders::default());

    let shared = bekci.clone();
    let server = HttpServer::new(move || {
        App::new()
            .wrap(shared.middleware())
            .configure(routes::routes(&shared, &orders))
    });
    let server = server.bind(ADDRESS)?;
    tell(&url, &password);
    server.run().await?;
    bekci.close().await;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what to try is for whoever started it")]
fn tell(url: &str, password: &str) {
    println!(
        r#"{url} — Ctrl-C ends it and removes its folder. In another terminal:

sign() {{ curl -s {url}/auth/$1/login -H 'Content-Type: application/json' -d '{{"email":"'$2'","password":"{password}"}}' | sed 's/.*"accessToken":"\([^"]*\)".*/\1/'; }}
CARA=$(sign customer cara@example.com) ADA=$(sign admin ada@example.com)

curl -i {url}/t/acme/shop/orders -H "Authorization: Bearer $CARA" -H 'Content-Type: application/json' -d '{{"item":"lamp"}}'   # 201
curl -i {url}/t/acme/shop/orders -H "Authorization: Bearer $CARA"               # 200, her order
curl -i {url}/t/globex/shop/orders -H "Authorization: Bearer $CARA"             # 403: she does not belong to globex
curl -i {url}/t/acme/desk/orders -H "Authorization: Bearer $CARA"               # 401: the desk is for another guard
curl -i {url}/t/acme/desk/orders -H "Authorization: Bearer $ADA"                # 200
curl -i -X DELETE {url}/t/acme/desk/orders/1 -H "Authorization: Bearer $ADA"    # 204
curl -i -X POST {url}/auth/customer/logout -H "Authorization: Bearer $CARA"     # 200
curl -i {url}/t/acme/shop/orders -H "Authorization: Bearer $CARA"               # 401, at once
"#
    );
}
