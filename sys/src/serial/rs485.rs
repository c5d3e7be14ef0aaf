use super::refused::refused;
use crate::ffi::serial as ffi;
use bitflags::bitflags;
use std::io;
use std::time::Duration;

bitflags! {
    /// How a port drives an RS-485 bus: `linux/serial.h`. Unknown bits are kept.
    ///
    /// ```
    /// use becket_sys::serial::Rs485Flags;
    ///
    /// let usual = Rs485Flags::ENABLED | Rs485Flags::RTS_ON_SEND;
    /// assert_eq!(usual.bits(), 3);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Rs485Flags: u32 {
        /// The driver switches between sending and receiving. Without it, nothing else here counts.
        #[doc(alias = "SER_RS485_ENABLED")]
        const ENABLED = 1;
        /// RTS is asserted while sending.
        #[doc(alias = "SER_RS485_RTS_ON_SEND")]
        const RTS_ON_SEND = 1 << 1;
        /// RTS is asserted while not sending. Where this and `RTS_ON_SEND` are equal, the driver chooses.
        #[doc(alias = "SER_RS485_RTS_AFTER_SEND")]
        const RTS_AFTER_SEND = 1 << 2;
        /// What is sent is received, too.
        #[doc(alias = "SER_RS485_RX_DURING_TX")]
        const RX_DURING_TX = 1 << 4;
        /// The bus is terminated here.
        #[doc(alias = "SER_RS485_TERMINATE_BUS")]
        const TERMINATE_BUS = 1 << 5;
        /// Characters have a ninth bit that marks addresses.
        #[doc(alias = "SER_RS485_ADDRB")]
        const ADDRESS_BIT = 1 << 6;
        /// Only what follows our own [`address`](Rs485::receive_address) is received.
        #[doc(alias = "SER_RS485_ADDR_RECV")]
        const RECEIVE_ADDRESS = 1 << 7;
        /// What is sent goes to an [`address`](Rs485::send_address).
        #[doc(alias = "SER_RS485_ADDR_DEST")]
        const SEND_ADDRESS = 1 << 8;
        /// RS-422: both directions at once, with a pair of wires each.
        #[doc(alias = "SER_RS485_MODE_RS422")]
        const RS422 = 1 << 9;

        const _ = !0;
    }
}

/// What a port does about RS-485. The default is: nothing.
///
/// Take it from [`Port::rs485`](super::Port::rs485), change it, and give it to
/// [`Port::set_rs485`](super::Port::set_rs485), so that what the driver knows and this type does not stays.
///
/// ```
/// use becket_sys::serial::{Rs485, Rs485Flags};
/// use std::time::Duration;
///
/// let mut rs485 = Rs485::default();
/// rs485.set_flags(Rs485Flags::ENABLED | Rs485Flags::RTS_ON_SEND);
/// rs485.set_delay_before_send(Duration::from_micros(1500));
/// assert_eq!(rs485.delay_before_send(), Duration::from_millis(2)); // rounded up
/// ```
#[doc(alias = "serial_rs485")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rs485 {
    raw: ffi::Rs485,
}

impl Rs485 {
    pub(super) fn from_raw(raw: ffi::Rs485) -> Rs485 {
        Rs485 { raw }
    }

    pub(super) fn raw(self) -> ffi::Rs485 {
        self.raw
    }

    /// Which parts are in use.
    pub fn flags(&self) -> Rs485Flags {
        Rs485Flags::from_bits_retain(self.raw.flags)
    }

    /// Says which parts to use, and no others.
    pub fn set_flags(&mut self, flags: Rs485Flags) {
        self.raw.flags = flags.bits();
    }

    /// How long RTS is in its state for sending before the first bit.
    pub fn delay_before_send(&self) -> Duration {
        Duration::from_millis(self.raw.delay_before.into())
    }

    /// As [`delay_before_send`](Self::delay_before_send): whole milliseconds, rounded up. Most drivers take at most
    /// 100 ms.
    #[doc(alias = "delay_rts_before_send")]
    pub fn set_delay_before_send(&mut self, delay: Duration) {
        self.raw.delay_before = milliseconds(delay);
    }

    /// How long RTS stays in its state for sending after the last bit.
    pub fn delay_after_send(&self) -> Duration {
        Duration::from_millis(self.raw.delay_after.into())
    }

    /// As [`delay_after_send`](Self::delay_after_send): whole milliseconds, rounded up.
    #[doc(alias = "delay_rts_after_send")]
    pub fn set_delay_after_send(&mut self, delay: Duration) {
        self.raw.delay_after = milliseconds(delay);
    }

    /// Our own address, with [`Rs485Flags::RECEIVE_ADDRESS`].
    pub fn receive_address(&self) -> u8 {
        self.raw.addr_recv
    }

    /// Sets our own address.
    pub fn set_receive_address(&mut self, address: u8) {
        self.raw.addr_recv = address;
    }

    /// Whom we send to, with [`Rs485Flags::SEND_ADDRESS`].
    pub fn send_address(&self) -> u8 {
        self.raw.addr_dest
    }

    /// Sets whom we send to.
    pub fn set_send_address(&mut self, address: u8) {
        self.raw.addr_dest = address;
    }

    /// Drivers pass over what they cannot do: see whether `got` has all of it.
    pub(super) fn verify(&self, got: &Rs485) -> io::Result<()> {
        if !self.flags().contains(Rs485Flags::ENABLED) {
            // The driver clears the rest.
            let off = !got.flags().contains(Rs485Flags::ENABLED);
            return if off { Ok(()) } else { Err(refused("ENABLED", "off", "on")) };
        }
        for (name, flag) in self.flags().iter_names() {
            if !got.flags().contains(flag) {
                return Err(refused(name, "on", "off"));
            }
        }
        let millis = |d: Duration| format!("{} ms", d.as_millis());
        for (name, want, got) in [
            ("delay before send", self.delay_before_send(), got.delay_before_send()),
            ("delay after send", self.delay_after_send(), got.delay_after_send()),
        ] {
            if want != got {
                return Err(refused(name, millis(want), millis(got)));
            }
        }
        Ok(())
    }
}

fn milliseconds(d: Duration) -> u32 {
    d.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Rs485, Rs485Flags};
    use crate::serial::Refused;
    use std::time::Duration;

    #[test]
    fn what_the_driver_leaves_out_is_named() {
        let mut want = Rs485::default();
        want.verify(&want).unwrap();
        want.set_flags(Rs485Flags::ENABLED | Rs485Flags::RTS_ON_SEND | Rs485Flags::TERMINATE_BUS);
        want.set_delay_after_send(Duration::from_millis(250));
        let mut got = want;
        want.verify(&got).unwrap();
        got.set_flags(want.flags() | Rs485Flags::RX_DURING_TX); // more than asked for is the driver's business
        want.verify(&got).unwrap();
        got.set_delay_after_send(Duration::from_millis(100));
        let e = want.verify(&got).unwrap_err();
        assert_eq!(Refused::of(&e).unwrap().to_string(), {
            "the device does not take delay after send 250 ms, it stays at 100 ms"
        });
        got.set_flags(Rs485Flags::ENABLED | Rs485Flags::RTS_ON_SEND);
        let e = want.verify(&got).unwrap_err();
        assert_eq!((Refused::of(&e).unwrap().setting(), Refused::of(&e).unwrap().got()), ("TERMINATE_BUS", "off"));
        want.set_flags(Rs485Flags::empty());
        assert_eq!(Refused::of(&want.verify(&got).unwrap_err()).unwrap().setting(), "ENABLED");
    }
}
