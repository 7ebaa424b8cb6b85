-- The database of a shop as it was before Bekci: made by a PHP application, with its own names, states and bcrypt hashes.
CREATE TABLE "Customers" (
    customer_id INTEGER PRIMARY KEY AUTOINCREMENT,
    mail VARCHAR(190) NOT NULL UNIQUE,
    full_name VARCHAR(100) NOT NULL,
    pass CHAR(60) NOT NULL,
    state VARCHAR(10) NOT NULL
);
-- The password is: lantern orbit meadow seven
INSERT INTO "Customers" (mail, full_name, pass, state) VALUES
    ('can@example.com', 'Can', '$2y$10$abcdefghijklmnopqrstuutIQKNHC2HVvV7321hAcEuJ1cxeRwsWC', 'enabled'),
    ('bea@example.com', 'Bea', '$2y$10$abcdefghijklmnopqrstuutIQKNHC2HVvV7321hAcEuJ1cxeRwsWC', 'blocked');

CREATE TABLE staff (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    login VARCHAR(40) NOT NULL UNIQUE,
    pass CHAR(60) NOT NULL
);
-- The password is: seven meadow orbit lantern
INSERT INTO staff (login, pass) VALUES ('ada', '$2y$10$ABCDEFGHIJKLMNOPQRSTUuK5w/nznkgyfAar6FkHA3sjqaC7BUcMO');
