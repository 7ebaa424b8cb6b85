//! Many people over the same kept connections and workers: nobody is taken for somebody else.

use std::{collections::VecDeque, sync::Mutex};

use crate::{
    house::{House, Kind},
    http::{Wire, get},
};

const PEOPLE: usize = 20;
const REQUESTS: usize = 200;
const CONNECTIONS: usize = 4;

#[test]
fn twenty_people_over_shared_connections_are_each_told_apart_every_time() {
    let house = House::shared(Kind::Sqlite);
    let people: Vec<_> = (0..PEOPLE)
        .map(|number| {
            let guard = if number % 2 == 0 { "customer" } else { "admin" };
            let role = if number % 2 == 0 { "buyer" } else { "super-admin" };
            let person = house.person(guard, role);
            (person.key(), person.sign_in(house.address()).access)
        })
        .collect();
    // Each connection carries everybody's requests, in another order, and what comes next is whoever is next in the queue.
    let asked: VecDeque<usize> = (0..PEOPLE * REQUESTS)
        .map(|number| (number * 7 + number / PEOPLE) % PEOPLE)
        .collect();
    let queue = Mutex::new(asked);
    let next = || queue.lock().unwrap().pop_front();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut wire = Wire::open(house.address());
                while let Some(number) = next() {
                    let (key, token) = &people[number];
                    let answer = get("/both/who").bearer(token).on(&mut wire);
                    assert_eq!(answer.verdict(), "200");
                    assert_eq!(answer.json()["headers"]["x-auth-key"][0], key.as_str());
                }
            });
        }
    });
}

#[test]
fn pipelined_requests_of_different_people_keep_their_order_and_their_identities() {
    let house = House::shared(Kind::Sqlite);
    let people: Vec<_> = (0..4)
        .map(|_| {
            let person = house.customer();
            (person.key(), person.sign_in(house.address()).access)
        })
        .collect();
    let mut wire = Wire::open(house.address());
    for _ in 0..20 {
        let all: Vec<u8> = people
            .iter()
            .flat_map(|(_, token)| get("/me/pipelined").bearer(token).bytes())
            .collect();
        wire.write(&all);
        for (key, _) in &people {
            assert_eq!(wire.read().json()["headers"]["x-auth-key"][0], key.as_str());
        }
    }
}
