//! Our cookies are the gateway's affair: an upstream neither sees nor sets them.

use std::borrow::Cow;

/// Whether a cookie's name is one of ours, of any guard: `bekci_*`, also with the prefixes of RFC 6265bis section 4.1.3. Case does not count here, since browsers
/// read the prefixes without it.
fn is_ours(name: &str) -> bool {
    let name = name.trim_matches([' ', '\t']);
    let bare = without(name, "__host-").or_else(|| without(name, "__secure-"));
    without(bare.unwrap_or(name), "bekci_").is_some()
}

fn without<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// A `Cookie` header without our cookies, the others in their order and as they were; `None` where nothing is left.
pub(super) fn without_ours(header: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Ok(text) = std::str::from_utf8(header) else {
        return without_ours_in_bytes(header);
    };
    if !text.split(';').any(|pair| is_ours(name_of(pair))) {
        return Some(Cow::Borrowed(header));
    }
    let kept: Vec<&str> = text
        .split(';')
        .filter(|pair| !is_ours(name_of(pair)))
        .map(|pair| pair.trim_matches([' ', '\t']))
        .filter(|pair| !pair.is_empty())
        .collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join("; ").into_bytes()))
}

/// The same for a header that is not UTF-8: pairs that are not are somebody else's.
fn without_ours_in_bytes(header: &[u8]) -> Option<Cow<'_, [u8]>> {
    let is_foreign = |pair: &&[u8]| !is_ours(name_of(&String::from_utf8_lossy(pair)));
    let kept: Vec<&[u8]> = header.split(|byte| *byte == b';').filter(is_foreign).collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join(&b';')))
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// Whether a `Set-Cookie` header would set one of ours. A cookie without a name (`=bekci_x_at=1`) counts by its value, since browsers send that back alone.
pub(super) fn sets_ours(header: &[u8]) -> bool {
    let text = String::from_utf8_lossy(header);
    let pair = text.split(';').next().unwrap_or_default();
    is_ours(name_of(pair.trim_start_matches([' ', '\t', '='])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(header: &str) -> Option<String> {
        without_ours(header.as_bytes()).map(|bytes| String::from_utf8(bytes.into_owned()).unwrap())
    }

    #[test]
    fn our_cookies_go_and_the_others_stay_in_order() {
        assert_eq!(left("b=2;  a=\"1\";c").as_deref(), Some("b=2;  a=\"1\";c"));
        assert_eq!(
            left("z=1; __Host-bekci_customer_at=t; a=2; __Secure-bekci_admin_rt=r; a=3").as_deref(),
            Some("z=1; a=2; a=3")
        );
        for ours in [
            "bekci_customer_at=t",
            "__Host-bekci_x_csrf=t",
            "__host-BEKCI_x_at=t",
            "bekci_x_at =t",
            "\tbekci_x_at=t",
            "bekci_x_at",
            "bekci_x_at=a=b; bekci_y_at=c",
        ] {
            assert_eq!(left(ours), None, "{ours}");
        }
        assert_eq!(
            left("mybekci_x=1; __Host-other=2").as_deref(),
            Some("mybekci_x=1; __Host-other=2")
        );
    }

    #[test]
    fn bytes_that_are_no_text_hide_no_cookie_of_ours() {
        assert_eq!(
            without_ours(b"a=\xff; bekci_x_at=t;b=2").as_deref(),
            Some(&b"a=\xff;b=2"[..])
        );
    }

    #[test]
    fn an_upstream_cannot_set_our_cookies() {
        for ours in [
            "__Host-bekci_customer_at=x; Path=/; Secure",
            "bekci_customer_at=x",
            " BEKCI_customer_at=x",
            "=bekci_customer_at=x",
            "bekci_customer_at",
        ] {
            assert!(sets_ours(ours.as_bytes()), "{ours}");
        }
        for other in ["sid=bekci_x_at", "my_bekci_x=1", "__Host-sid=1", ""] {
            assert!(!sets_ours(other.as_bytes()), "{other}");
        }
    }
}
