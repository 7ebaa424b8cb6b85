//! What is sent, and what becomes of a mail that is not.

use std::time::Duration;

use bekci_core::mail::EmailAddress;
use bekci_mail::{MOST_ATTEMPTS, Transport};
use bekci_test_support::{Smtp, SmtpManner, TempDir};

use crate::world::{NOW, attempt, claimed, code, plain, result_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_with_text_and_html_for_its_one_recipient() {
    let smtp = Smtp::start();
    assert_eq!(result_of(&plain(&smtp), code("a@customer.test", &[])).await, "sent");
    let mail = smtp.wait_for("a@customer.test", 1).remove(0);
    assert_eq!(mail.to, ["a@customer.test"]);
    assert!(mail.head().contains("Subject: Your code for Shop"), "{}", mail.head());
    assert!(
        mail.head().contains("From: Shop <no-reply@example.com>"),
        "{}",
        mail.head()
    );
    assert!(
        mail.head().contains("Auto-Submitted: auto-generated"),
        "{}",
        mail.head()
    );
    assert!(mail.text().contains("123456"), "{}", mail.text());
    assert!(mail.data.contains("Content-Type: text/html"), "{}", mail.data);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_or_value_adds_a_recipient_or_a_header() {
    let smtp = Smtp::start();
    for evil in [
        "a@x\r\nBcc: v@y.test",
        "a@x,v@y.test",
        "<a@x> v@y.test",
        "a@x\nRCPT TO:<v@y.test>",
    ] {
        assert!(EmailAddress::new(evil).is_err(), "{evil:?}");
    }
    let evil = "1\r\nBcc: v@y.test\r\n\r\n.\r\nMAIL FROM:<x@y.test>\r\nRCPT TO:<v@y.test>\r\nDATA\r\n";
    let mail = code(
        "a@customer.test",
        &[("code", evil), ("service", evil), ("minutes", evil)],
    );
    assert_eq!(result_of(&plain(&smtp), mail).await, "sent");
    let received = smtp.wait_for("a@customer.test", 1);
    assert_eq!(smtp.received().len(), 1);
    assert_eq!(received[0].to, ["a@customer.test"]);
    let head = received[0].head().to_ascii_lowercase();
    assert!(!head.lines().any(|line| line.starts_with("bcc")), "{head}");
    // In the text it stands within a line, too.
    assert!(
        !received[0].text().lines().any(|line| line.starts_with("Bcc")),
        "{}",
        received[0].text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_for_good_is_given_up_and_the_rest_is_tried_again() {
    let smtp = Smtp::start();
    let settings = plain(&smtp);
    let refusing = |refuse| SmtpManner {
        refuse: Some(refuse),
        ..SmtpManner::default()
    };
    smtp.become_of(&refusing("550 5.1.1 no such mailbox"));
    assert_eq!(result_of(&settings, code("a@customer.test", &[])).await, "given_up");
    smtp.become_of(&refusing("451 4.7.1 come again"));
    assert_eq!(result_of(&settings, code("a@customer.test", &[])).await, "deferred");
    smtp.become_of(&SmtpManner {
        drop: true,
        ..SmtpManner::default()
    });
    assert_eq!(result_of(&settings, code("a@customer.test", &[])).await, "deferred");
    smtp.become_of(&SmtpManner::default());
    assert_eq!(result_of(&settings, code("a@customer.test", &[])).await, "sent");
    assert_eq!(smtp.received().len(), 1);
    smtp.server().stop();
    assert_eq!(result_of(&settings, code("a@customer.test", &[])).await, "deferred");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_after_ten_seconds_is_waited_for() {
    let smtp = Smtp::start_with(&SmtpManner {
        delay_seconds: 10,
        ..SmtpManner::default()
    });
    assert_eq!(result_of(&plain(&smtp), code("a@customer.test", &[])).await, "sent");
    assert_eq!(smtp.wait_for("a@customer.test", 1).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_given_up_when_its_time_or_its_attempts_are_over_or_it_cannot_be_read() {
    let smtp = Smtp::start_with(&SmtpManner {
        refuse: Some("451 later"),
        ..SmtpManner::default()
    });
    let transport = || Transport::smtp(&plain(&smtp)).unwrap();
    let mail = || Some(code("a@customer.test", &[]));
    let mut late = code("a@customer.test", &[]);
    late.expires_at = NOW;
    let mails = vec![
        claimed("00", 1, mail()),
        claimed("01", 11, mail()),
        claimed("02", MOST_ATTEMPTS, mail()),
        claimed("03", 1, Some(late)),
        claimed("04", 1, None),
    ];
    let queue = attempt(transport(), mails).await;
    let mut finished = queue.finished.lock().clone();
    finished.sort_unstable();
    assert_eq!(finished, ["02", "03", "04"]);
    let mut deferred = queue.deferred.lock().clone();
    deferred.sort();
    let waits = [("00", 2), ("01", 2_048)].map(|(id, seconds)| (id.to_owned(), Duration::from_secs(seconds)));
    assert_eq!(deferred, waits);
    assert_eq!(
        queue
            .counted
            .lock()
            .iter()
            .filter(|(_, result)| *result == "given_up")
            .count(),
        3
    );
    assert!(smtp.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn into_a_folder_each_mail_is_a_file_of_its_own_that_others_cannot_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new("mails");
    let into = folder.path().join("mails");
    let mails = vec![claimed("0a", 1, Some(code("a@customer.test", &[])))];
    attempt(Transport::file(&into), mails).await;
    let file = into.join("0a.eml");
    assert!(std::fs::read_to_string(&file).unwrap().contains("123456"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&into).unwrap().permissions().mode() & 0o777, 0o700);
}
