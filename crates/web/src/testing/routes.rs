//! Which routes an application has.
//!
//! Actix keeps them in its `ResourceMap`, which shows itself in no other way than by `Debug`. What is read of that is what the tests below pin, and where nothing can be read the
//! test that asked fails: an application without routes is none.

/// The patterns of all resources in a map that was printed with `{:#?}`, each with those of the scopes round it. `None`: it is printed in another way.
pub(super) fn patterns(printed: &str) -> Option<Vec<String>> {
    let lines: Vec<&str> = printed.lines().collect();
    let mut found = Vec::new();
    read(&lines, 0, &[String::new()], &mut found)?;
    found.sort();
    found.dedup();
    Some(found)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Reads the map that begins at this line.
fn read(lines: &[&str], begin: usize, bases: &[String], found: &mut Vec<String>) -> Option<()> {
    let depth = indent(lines.get(begin)?);
    lines.get(begin)?.trim_start().strip_prefix("ResourceMap {")?;
    let rest = lines.iter().enumerate().skip(begin + 1);
    let body: Vec<(usize, &str)> = rest
        .take_while(|(_, line)| indent(line) > depth)
        .map(|(at, line)| (at, *line))
        .collect();
    let field = |name: &str| {
        body.iter()
            .position(|(_, line)| indent(line) == depth + 4 && line.trim_start().starts_with(name))
    };
    let (pattern, named, nodes) = (field("pattern: ResourceDef {")?, field("named: ")?, field("nodes: ")?);
    let own = own_patterns(body.get(pattern..named)?, depth + 8)?;
    let full: Vec<String> = bases
        .iter()
        .flat_map(|base| own.iter().map(move |own| format!("{base}{own}")))
        .collect();
    if body.get(nodes)?.1.trim_start().starts_with("nodes: None") {
        found.extend(full);
        return Some(());
    }
    for (at, line) in body.get(nodes..)? {
        if indent(line) == depth + 12 && line.trim_start().starts_with("ResourceMap {") {
            read(lines, *at, &full, found)?;
        }
    }
    Some(())
}

/// What stands between `patterns: Single(` or `patterns: List(` and its `),`.
fn own_patterns(lines: &[(usize, &str)], depth: usize) -> Option<Vec<String>> {
    let begin = lines
        .iter()
        .position(|(_, line)| indent(line) == depth && line.trim_start().starts_with("patterns: "))?;
    let inner = lines
        .get(begin + 1..)?
        .iter()
        .take_while(|(_, line)| indent(line) > depth);
    let texts = inner.map(|(_, line)| line.trim()).filter(|line| line.starts_with('"'));
    texts
        .map(|text| serde_json::from_str::<String>(text.trim_end_matches(',')).ok())
        .collect()
}

/// Paths that may be of the pattern, each with another text for what varies.
pub(super) fn examples(pattern: &str) -> impl Iterator<Item = String> + '_ {
    const TEXTS: [&str; 7] = [
        "1",
        "a",
        "a-1",
        "00000000-0000-4000-8000-000000000001",
        "2027-01-15",
        "a.b",
        "1234",
    ];
    TEXTS.iter().map(|text| filled(pattern, text))
}

/// The pattern with this text for each `{name}` and `{name:expression}`; a tail's `*` goes with its braces.
fn filled(pattern: &str, text: &str) -> String {
    let (mut path, mut depth, mut closed) = (String::new(), 0_usize, false);
    for letter in pattern.chars() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    path.push_str(text);
                    closed = true;
                    continue;
                }
            }
            '*' if closed => {}
            _ if depth == 0 => path.push(letter),
            _ => {}
        }
        closed = false;
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// Whether a pattern of a test (`/posts/{id}`, or `/admin/**` for all below) speaks of a route.
pub(super) fn covers(said: &str, route: &str) -> bool {
    match said.strip_suffix("/**") {
        Some(above) => route
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        None => said == route,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, test, web};

    use super::*;

    #[actix_web::test]
    async fn the_routes_of_an_application_are_found_in_its_scopes_and_lists() {
        let nothing = || web::to(|| async { HttpResponse::Ok().finish() });
        let app = App::new()
            .route("/", nothing())
            .service(web::resource("/named/{id}").name("named").route(nothing()))
            .service(web::resource(["/one", "/two/{n:\\d{2}}"]).route(nothing()))
            .service(
                web::scope("/admin")
                    .route("", nothing())
                    .service(web::scope("/posts/{id}").route("/comments/{tail}*", nothing())),
            )
            .external_resource("elsewhere", "https://example.com/{id}");
        let app = test::init_service(app).await;
        let answer = test::call_service(&app, test::TestRequest::get().uri("/").to_request()).await;
        let found = patterns(&format!("{:#?}", answer.request().resource_map())).unwrap();
        assert_eq!(
            found,
            [
                "/",
                "/admin",
                "/admin/posts/{id}/comments/{tail}*",
                "/named/{id}",
                "/one",
                "/two/{n:\\d{2}}"
            ]
        );
        for pattern in &found[..4] {
            let path = examples(pattern).next().unwrap();
            assert!(answer.request().resource_map().has_resource(&path), "{path}");
        }
    }

    #[::core::prelude::v1::test]
    fn what_is_printed_in_another_way_is_not_taken_for_an_application_without_routes() {
        assert_eq!(patterns(""), None);
        assert_eq!(patterns("ResourceMap {\n    routes: [],\n}"), None);
        assert_eq!(patterns("Map {\n}"), None);
    }

    #[::core::prelude::v1::test]
    fn what_varies_is_filled_in() {
        assert_eq!(filled("/a/{id}/{n:\\d{2}}/b", "1"), "/a/1/1/b");
        assert_eq!(filled("/files/{tail}*", "a"), "/files/a");
        assert_eq!(filled("", "a"), "/");
        assert!(covers("/admin/**", "/admin") && covers("/admin/**", "/admin/x"));
        assert!(!covers("/admin/**", "/administration") && !covers("/admin", "/admin/x"));
    }
}
