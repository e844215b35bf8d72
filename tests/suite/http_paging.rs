//! Paging over HTTP on the built binary: cursors, orders, totals, and following what arrives.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{
    end_to_end::Place,
    service::{Answer, Service, eventually},
};

/// Small, so that a test meets them.
const LIMITS: [(&str, &str); 2] = [("COUNT_CAP", "5"), ("CURSOR_LAG", "300ms")];

#[test]
fn pages_go_on_by_cursor_on_the_embedded_engine() {
    every_case(&Place::embedded());
}

#[test]
fn pages_go_on_by_cursor_on_servers() {
    if let Some(place) = Place::servers() {
        every_case(&place);
    }
}

fn every_case(place: &Place) {
    let service = place.start_with(&LIMITS);
    service.wait_until_ready();
    an_empty_store_can_be_followed(&service);
    for n in 0..9 {
        let (user, day) = (format!("user{}", n % 2), 9 - n);
        service.store(&json!({"userId": user, "action": format!("auth.{n}"), "timestamp": format!("2024-01-0{day}"),
            "metadata": {"n": n, "tags": ["x", format!("t{n}")]}}));
    }
    every_order_is_walked_through(&service);
    totals_end_at_the_cap(&service);
    the_newer_filters_select(&service);
    a_cursor_belongs_to_its_question(&service);
    the_link_is_the_next_page(&service);
    new_logs_are_followed(&service);
    service.stop();
}

fn page(service: &Service, query: &str) -> Answer {
    let answer = service.get(&format!("/api/logs?{query}"));
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    answer
}

fn ids(answer: &Answer) -> Vec<i64> {
    answer.body["logs"].as_array().unwrap().iter().map(|log| log["id"].as_i64().unwrap()).collect()
}

fn next_cursor(answer: &Answer) -> String {
    answer.body["nextCursor"].as_str().unwrap().to_owned()
}

fn an_empty_store_can_be_followed(service: &Service) {
    let first = page(service, "limit=3");
    assert_eq!(first.body["logs"], json!([]));
    let again = page(service, &format!("limit=3&cursor={}", next_cursor(&first)));
    assert_eq!((&again.body["logs"], &again.body["total"]), (&json!([]), &json!(0)));
}

/// All that comes, a page after the other, until there is no more.
fn walk(service: &Service, query: &str) -> Vec<i64> {
    let mut answer = page(service, query);
    let mut all = ids(&answer);
    while !ids(&answer).is_empty() {
        answer = page(service, &format!("{query}&cursor={}", next_cursor(&answer)));
        all.extend(ids(&answer));
    }
    all
}

fn every_order_is_walked_through(service: &Service) {
    let ascending: Vec<i64> = ids(&page(service, "limit=100"));
    let descending: Vec<i64> = ascending.iter().rev().copied().collect();
    assert_eq!(ascending.len(), 9);
    // The timestamps fall as the ids grow.
    for (sort, expected) in
        [("id", &ascending), ("-id", &descending), ("timestamp", &descending), ("-timestamp", &ascending)]
    {
        for limit in [1, 2, 3, 9, 100] {
            let found = walk(service, &format!("sort={sort}&limit={limit}&count=none"));
            assert_eq!(found, *expected, "sort={sort} limit={limit}");
        }
    }
    // A page by number leads to the page behind it.
    let third = page(service, "page=3&limit=2&sort=-id");
    let fourth = page(service, &format!("limit=2&sort=-id&cursor={}", next_cursor(&third)));
    assert_eq!(ids(&fourth), descending[6..8]);
}

fn totals_end_at_the_cap(service: &Service) {
    let figures = |query: &str| {
        let body = page(service, query).body;
        (body["total"].clone(), body["totalIsExact"].clone(), body["totalPages"].clone())
    };
    assert_eq!(figures("userId=user1&limit=2"), (json!(4), json!(true), json!(2)));
    assert_eq!(figures("userId=user0&limit=2"), (json!(5), json!(true), json!(3)));
    assert_eq!(figures("actionPrefix=auth&limit=2"), (json!(5), json!(false), json!(3)));
    assert_eq!(figures("limit=2"), (json!(9), json!(true), json!(5)), "all are known without counting");
    assert_eq!(figures("limit=2&count=none"), (Value::Null, Value::Null, Value::Null));
    // Pages beyond the capped total still work.
    assert_eq!(ids(&page(service, "actionPrefix=auth&limit=2&page=4")).len(), 2);
    let body = page(service, "userId=user0&limit=2").body;
    let behind = page(service, &format!("userId=user0&limit=2&cursor={}", body["nextCursor"].as_str().unwrap())).body;
    assert_eq!((&behind["total"], behind.get("page")), (&json!(5), None));
}

fn the_newer_filters_select(service: &Service) {
    let found = |query: &str| ids(&page(service, query)).len();
    assert_eq!(found("actionPrefix=auth."), 9);
    assert_eq!(found("actionPrefix=auth.3"), 1);
    assert_eq!(found("actionPrefix=%25"), 0);
    assert_eq!(found("metadata.n=3"), 1);
    assert_eq!(found("metadata.n=3.0"), 1);
    assert_eq!(found("metadata.tags=x"), 9);
    assert_eq!(found("metadata.tags=x&metadata.n=3&userId=user1"), 1);
    assert_eq!(found("metadata.tags=x&metadata.n=3&userId=user0"), 0);
    assert_eq!(found("metadata.n.x=3"), 0);
    let taken = service.post(&json!({"userId": "by-event", "action": "other"}));
    let event = taken.body["eventId"].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("/api/logs/events/{event}?wait=30")).status, 200);
    let answer = page(service, &format!("eventId={event}"));
    assert_eq!((answer.body["total"].clone(), &answer.body["logs"][0]["userId"]), (json!(1), &json!("by-event")));
    assert_eq!(found(&format!("eventId={event}&userId=user0")), 0);
    let id = answer.body["logs"][0]["id"].clone();
    assert_eq!(service.delete(&format!("/api/logs/{id}")).status, 200);
}

fn a_cursor_belongs_to_its_question(service: &Service) {
    let cursor = next_cursor(&page(service, "userId=user0&limit=2&sort=-id"));
    let code = |query: String| {
        let answer = service.get(&format!("/api/logs?{query}"));
        assert_eq!(answer.status, 400, "{query} {answer:?}");
        answer.code().to_owned()
    };
    for query in
        ["userId=user1&sort=-id", "sort=-id", "userId=user0&sort=id", "userId=user0", "userId=user0&sort=-id&action=x"]
    {
        assert_eq!(code(format!("{query}&cursor={cursor}")), "invalid_cursor", "{query}");
    }
    assert_eq!(code(format!("userId=user0&sort=-id&page=1&cursor={cursor}")), "invalid_cursor");
    let broken = format!("{}A", &cursor[..cursor.len() - 1]);
    assert_eq!(code(format!("userId=user0&sort=-id&cursor={broken}x")), "invalid_cursor");
    // The limit may change on the way.
    assert_eq!(ids(&page(service, &format!("userId=user0&sort=-id&limit=1&cursor={cursor}"))).len(), 1);
}

fn the_link_is_the_next_page(service: &Service) {
    let answer = page(service, "userId=user0&action=auth.0&action=auth.2&page=1&limit=1&x=%C3%BC");
    let link = answer.header("link").unwrap();
    let (address, relation) = link.split_once('>').unwrap();
    assert_eq!(relation, "; rel=\"next\"");
    let next = service.get(address.strip_prefix('<').unwrap());
    assert_eq!((next.status, ids(&next).len()), (200, 1), "{link}");
    assert!(ids(&next)[0] > ids(&answer)[0]);
}

/// A follower sees each new log once, also those that arrive while he looks.
fn new_logs_are_followed(service: &Service) {
    let mut cursor = next_cursor(&page(service, "limit=1000"));
    let mut wanted = HashSet::new();
    let mut seen: Vec<String> = Vec::new();
    let mut look = |service: &Service, seen: &mut Vec<String>| {
        let answer = page(service, &format!("limit=3&count=none&cursor={cursor}"));
        let actions =
            answer.body["logs"].as_array().unwrap().iter().map(|log| log["action"].as_str().unwrap().to_owned());
        seen.extend(actions.filter(|action| action.starts_with("new")));
        cursor = next_cursor(&answer);
    };
    for n in 0..20 {
        let action = format!("new{n}");
        assert_eq!(service.post(&json!({"userId": format!("user{n}"), "action": action})).status, 202);
        wanted.insert(action);
        look(service, &mut seen);
    }
    eventually("all that arrived", || {
        look(service, &mut seen);
        (seen.len() >= wanted.len()).then_some(())
    });
    assert_eq!(seen.iter().cloned().collect::<HashSet<_>>(), wanted);
    assert_eq!(seen.len(), wanted.len(), "each once: {seen:?}");
}
