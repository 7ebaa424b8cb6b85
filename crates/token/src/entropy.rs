//! Chance: the operating system's, and a stream drawn from one seed of it.

use bekci_core::Entropy;
use hmac::{Hmac, Mac};
use p256::elliptic_curve::rand_core::{CryptoRng, Error, RngCore};
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::error::KeyStoreError;

/// The operating system's source of random bytes (`getrandom(2)` and its kin).
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), String> {
        getrandom::fill(buffer).map_err(|error| error.to_string())
    }
}

/// Random bytes of a fixed number, wiped when dropped.
pub(crate) fn random<const N: usize>(entropy: &dyn Entropy) -> Result<Zeroizing<[u8; N]>, KeyStoreError> {
    let mut bytes = Zeroizing::new([0; N]);
    entropy.fill(&mut *bytes).map_err(KeyStoreError::Entropy)?;
    Ok(bytes)
}

/// HMAC-SHA-512 over a counter, keyed by 32 random bytes. The search for RSA primes draws from a generator that cannot say that it failed; this one cannot
/// fail once it is seeded, so an empty source never turns into a weak key.
pub(crate) struct SeededRng {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
    block: Zeroizing<Vec<u8>>,
}

impl SeededRng {
    pub(crate) fn new(entropy: &dyn Entropy) -> Result<Self, KeyStoreError> {
        Ok(Self {
            seed: random(entropy)?,
            counter: 0,
            block: Zeroizing::default(),
        })
    }

    fn next_byte(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.block.pop() {
                return byte;
            }
            self.counter += 1;
            // HMAC takes a key of any length; there is no failure to handle but the type has one, and the loop would go on.
            if let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(&*self.seed) {
                mac.update(&self.counter.to_be_bytes());
                self.block = Zeroizing::new(mac.finalize().into_bytes().to_vec());
            }
        }
    }
}

impl RngCore for SeededRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.next_byte();
        }
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(buffer);
        Ok(())
    }
}

impl CryptoRng for SeededRng {}
