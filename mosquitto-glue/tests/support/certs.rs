//! Certificates of the tests' own.

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef};

/// A certificate and its key.
pub struct Pair {
    pub cert: X509,
    pub key: PKey<Private>,
}

impl Pair {
    pub fn cert_pem(&self) -> Vec<u8> {
        self.cert.to_pem().unwrap()
    }

    pub fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    pub fn encrypted_key_pem(&self, password: &str) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), password.as_bytes()).unwrap()
    }
}

/// An authority that signs for the tests.
pub struct Authority(pub Pair);

impl Authority {
    pub fn new(name: &str) -> Authority {
        let (mut b, key) = begin(name, 1);
        let issuer = name_of(name);
        b.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        Authority(finish(b, &issuer, &key.clone(), key))
    }

    pub fn pem(&self) -> Vec<u8> {
        self.0.cert_pem()
    }

    /// A certificate for these names and addresses, good for as many days from now.
    pub fn issue(&self, names: &[&str], ips: &[&str], days: i64) -> Pair {
        let (mut b, key) = begin(names.first().copied().unwrap_or("nameless"), days);
        let mut alternatives = SubjectAlternativeName::new();
        for name in names {
            alternatives.dns(name);
        }
        for ip in ips {
            alternatives.ip(ip);
        }
        if !names.is_empty() || !ips.is_empty() {
            let extension = alternatives.build(&b.x509v3_context(Some(&self.0.cert), None)).unwrap();
            b.append_extension(extension).unwrap();
        }
        finish(b, self.0.cert.subject_name(), &self.0.key, key)
    }
}

fn name_of(name: &str) -> X509Name {
    let mut b = X509Name::builder().unwrap();
    b.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    b.build()
}

fn begin(name: &str, days: i64) -> (X509Builder, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut b = X509::builder().unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(100, MsbOption::MAYBE_ZERO, false).unwrap();
    b.set_version(2).unwrap();
    b.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let day = 24 * 3600;
    b.set_not_before(&Asn1Time::from_unix(now - 10 * day).unwrap()).unwrap();
    b.set_not_after(&Asn1Time::from_unix(now + days * day).unwrap()).unwrap();
    b.set_subject_name(&name_of(name)).unwrap();
    b.set_pubkey(&key).unwrap();
    (b, key)
}

fn finish(mut b: X509Builder, issuer: &X509NameRef, signer: &PKey<Private>, key: PKey<Private>) -> Pair {
    b.set_issuer_name(issuer).unwrap();
    b.sign(signer, MessageDigest::sha256()).unwrap();
    Pair { cert: b.build(), key }
}
