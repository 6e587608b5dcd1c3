//! Addresses that modules may reach: those of the public internet, and no others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, c: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

/// IANA's registry of special addresses, and those under which clouds keep their metadata, where
/// these are no others anyway.
const REFUSED_V4: [Ipv4Net; 17] = [
    v4(0, 0, 0, 0, 8),        // this host
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // shared by a provider's customers
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // Azure's own services, which look public
    v4(169, 254, 0, 0, 16),   // link-local: metadata nearly everywhere
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocols, and a cloud's metadata
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 31, 196, 0, 24),  // name servers that answer for private networks
    v4(192, 88, 99, 0, 24),   // relays to 6to4
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast
];

/// All that is public so far is in here: loopback, link-local, unique-local, multicast and whatever
/// holds an address of IPv4 are not.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// What is not public in there.
const REFUSED_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 0, 23),     // protocols; Teredo, which holds addresses of IPv4
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4, which holds addresses of IPv4
    v6(0x3fff, 0, 0, 20),     // documentation
];

/// Addresses of IPv4 behind a translator, in the last 32 bits.
const TRANSLATED: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// Whether an address is one of the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    // `::ffff:10.0.0.1` is 10.0.0.1 to the system.
    match address.to_canonical() {
        IpAddr::V4(address) => !REFUSED_V4.iter().any(|refused| refused.contains(&address)),
        IpAddr::V6(address) if TRANSLATED.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address)
                && !REFUSED_V6.iter().any(|refused| refused.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_known_in_every_form() {
        let refused = "
            0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1
            127.255.255.254 168.63.129.16 169.254.169.254 172.16.0.1 172.31.255.255
            192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255
            198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 ::
            ::1 ::10.0.0.1 ::8.8.8.8 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254
            64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b::127.0.0.1 64:ff9b:1::8.8.8.8
            100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1 2001:db8::1
            2002:7f00:1::1 2002:0808:0808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
            fec0::1 ff02::1 ff0e::1
        ";
        for text in refused.split_whitespace() {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        let allowed = "
            1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1
            192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.255.255.255
            168.63.129.17 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:4860:4860::8888
            2606:4700:4700::1111 2a00:1450:4001:810::200e
        ";
        for text in allowed.split_whitespace() {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
